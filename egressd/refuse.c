/*
 * refuse: saying no so that the program in the guest understands it: an HTTP response with x-deny-reason, a
 * TLS alert, or a reset. The event comes first; a denial whose event cannot be written stays a denial.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include "egressd/conn.h"
#include "egressd/egress.h"
#include "egressd/registry.h"
#include "egressd/stats.h"

#define LINGER_MS 1000

static const uint8_t alert_denied[] = {0x15, 3, 3, 0, 2, 2, 49}; /* fatal access_denied, RFC 8446 6 */
static const uint8_t alert_failed[] = {0x15, 3, 3, 0, 2, 2, 80}; /* fatal internal_error */

static const char *phrase(int status)
{
	static const struct {
		int status;
		const char *text;
	} phrases[] = {{400, "Bad Request"},
	               {403, "Forbidden"},
	               {429, "Too Many Requests"},
	               {502, "Bad Gateway"},
	               {503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	return "Refused";
}

static size_t http_answer(const struct conn *c, int code, char *out, size_t size)
{
	char body[512];
	int status = ocu_err_http(code);
	const char *reason = ocu_err_reason(code);

	int n = snprintf(body, sizeof body,
	                 "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"correlation_id\":\"%s\"}}\n",
	                 reason, ocu_err_text(code), c->trace);
	n = snprintf(out, size,
	             "HTTP/1.1 %d %s\r\nx-deny-reason: %s\r\nx-correlation-id: %s\r\nContent-Type: "
	             "application/json\r\n"
	             "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
	             status, phrase(status), reason, c->trace, n, body);
	return (size_t)n < size ? (size_t)n : 0;
}

/* A new connection's send buffer takes these few bytes; if it does not, the guest gets the end without the
 * words. */
static void send_answer(struct conn *c, int code)
{
	char text[1024];
	bool denied = ocu_err_http(code) == 403;

	if (c->speaks == SPEAKS_HTTP) {
		size_t n = http_answer(c, code, text, sizeof text);
		(void)!send(c->guest.fd, text, n, MSG_NOSIGNAL);
	} else {
		(void)!send(c->guest.fd, denied ? alert_denied : alert_failed, sizeof alert_denied,
		            MSG_NOSIGNAL);
	}
}

static void answer(struct conn *c, int code)
{
	struct worker *w = conn_worker(c);

	/* Once bytes of the upstream are on their way to the guest, an answer of ours would be forged data.
	 */
	if (c->speaks == SPEAKS_UNKNOWN || c->in.bytes || c->in.pending.len) {
		conn_reset(c, ocu_err_reason(code));
		return;
	}
	send_answer(c, code);
	shutdown(c->guest.fd, SHUT_WR);
	c->state = CONN_LINGER;
	if (worker_watch(w, &c->guest, EPOLLIN)) {
		conn_end(c, ocu_err_reason(code));
		return;
	}
	conn_timer(c, LINGER_MS);
}

void refuse_linger(struct conn *c)
{
	struct worker *w = conn_worker(c);
	ssize_t n = recv(c->guest.fd, w->scratch, WORKER_SCRATCH, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		conn_end(c, ocu_err_reason(c->deny));
}

/* Stops everything that goes on; the descriptors of the upstream go at once. */
static void settle(struct conn *c, int code)
{
	struct worker *w = conn_worker(c);

	c->deny = code;
	c->state = CONN_DENIED;
	lookup_cancel(&c->lookup);
	timers_cancel(&w->timers, &c->timer);
	timers_cancel(&w->timers, &c->head_timer);
	worker_watch(w, &c->guest, 0);
	worker_unwatch(w, &c->up);
	stats_denied(code);
}

static struct record record_of(const struct conn *c, const char *dest, int code, const char *why, bool denied)
{
	char asked[ADDR_TEXT_MAX];

	addr_format(&c->asked, asked);
	return (struct record){
	    .class_uid = OCU_OCSF_NETWORK_ACTIVITY,
	    .activity = denied ? NET_REFUSE : NET_FAIL,
	    .action = denied ? "net.deny" : "net.fail",
	    .resource = dest,
	    .trace = c->trace,
	    .outcome = denied ? OCU_OUTCOME_DENIED : OCU_OUTCOME_FAILURE,
	    .reason = code,
	    .detail = json_pack("{s:s, s:s, s:s}", "via", conn_via_name(c), "guest_dst", asked, "why", why),
	};
}

static void on_denied(struct verdict *v)
{
	struct conn *c = (struct conn *)((char *)v - offsetof(struct conn, verdict));

	c->committing = false;
	if (c->ended)
		worker_bury(conn_worker(c), &c->grave);
	else
		answer(c, c->deny);
}

void refuse(struct conn *c, int code, const char *fmt, ...)
{
	char why[OCU_ERROR_TEXT_MAX], dest[CONN_TEXT_MAX];
	struct worker *w = conn_worker(c);
	va_list ap;

	if (c->ended)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	settle(c, code);
	/* No event can be had of a trail that cannot be written; counted in STAT_UNAUDITED. */
	if (code == OCU_E_AUDIT || !shape_denial(&c->edge->shape, w->now_ms, SHAPE_NET, code)) {
		answer(c, code);
		return;
	}
	conn_destination(c, dest);
	struct record r = record_of(c, dest, code, why, true);
	c->committing = true;
	c->verdict.done = on_denied;
	events_commit(w, c->edge->session, &r, &c->verdict);
}

void refuse_failed(struct conn *c, int code, const char *fmt, ...)
{
	char why[OCU_ERROR_TEXT_MAX], dest[CONN_TEXT_MAX];
	va_list ap;

	if (c->ended)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	settle(c, code);
	stats_add(STAT_FAILED, 1);
	conn_destination(c, dest);
	struct record r = record_of(c, dest, code, why, false);
	events_report(conn_worker(c)->egress, c->edge->session, &r);
	answer(c, code);
}
