/* forward: what is set about the collector, and the process that is made of it. */
#include "auditd/forward.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditd/aside.h"
#include "auditd/aside_page.h"
#include "auditd/forward_run.h"
#include "auditd/metrics.h"
#include "auditd/syslog.h"
#include "libocu/daemon.h"
#include "libocu/err.h"

static int port_of(const char *address)
{
	char *end;
	const char *colon = strrchr(address, ':');
	if (!colon || colon == address || colon[1] < '1' || colon[1] > '9')
		return -1;
	long port = strtol(colon + 1, &end, 10);
	return *end || port > 65535 ? -1 : (int)port;
}

int forward_check(const struct ocu_conf *c, struct ocu_error *err)
{
	const char *address = ocu_conf_str(c, "syslog_address");
	bool cert = *ocu_conf_str(c, "syslog_cert"), key = *ocu_conf_str(c, "syslog_key");
	if (*address && (port_of(address) < 0 || strpbrk(address, "/@ ?#")))
		return ocu_error_set(err, OCU_E_CONFIG, "syslog_address: want host:port");
	if (*address && !*ocu_conf_str(c, "syslog_ca"))
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "syslog_ca: name the file of the authority that signed the collector's "
		                     "certificate; there is no syslog without TLS");
	if (cert != key)
		return ocu_error_set(err, OCU_E_CONFIG, "syslog_cert and syslog_key: set both or neither");
	return 0;
}

static struct link_opts link_opts(const struct ocu_conf *c)
{
	return (struct link_opts){
	    .address = ocu_conf_str(c, "syslog_address"),
	    .name = ocu_conf_str(c, "syslog_server_name"),
	    .ca = ocu_conf_str(c, "syslog_ca"),
	    .cert = ocu_conf_str(c, "syslog_cert"),
	    .key = ocu_conf_str(c, "syslog_key"),
	};
}

static void run(const struct ocu_daemon *d, const char *folder, struct aside_page *page)
{
	char cursor[1100], host[SYSLOG_HOST_MAX] = "";
	const char *set = ocu_conf_str(d->conf, "syslog_hostname");
	snprintf(cursor, sizeof cursor, "%s/syslog", folder);
	gethostname(host, sizeof host - 1);
	const struct forward_opts o = {
	    .link = link_opts(d->conf),
	    .trail_dir = d->state_dir,
	    .cursor = cursor,
	    .host = *set ? set : host,
	    .facility = (unsigned)ocu_conf_int(d->conf, "syslog_facility"),
	};
	forward_run(&o, page);
}

static void observe(const struct aside_page *page, uint64_t durable)
{
	metrics_forward(atomic_load(&page->state) == ASIDE_REACHED, atomic_load(&page->done), durable);
}

static const struct aside_kind kind = {
    .name = "forward",
    .event = "collector",
    .files = {"syslog_ca", "syslog_cert", "syslog_key"},
    .run = run,
    .observe = observe,
};

int forward_start(struct aside **ret, const struct ocu_daemon *d, struct ocu_error *err)
{
	const char *address = ocu_conf_str(d->conf, "syslog_address");
	*ret = NULL;
	return *address ? aside_start(ret, d, &kind, address, (uint16_t)port_of(address), err) : 0;
}
