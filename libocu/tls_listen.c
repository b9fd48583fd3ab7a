/* tls_listen: opening a socket on every address it is told; see tls_engine.h. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/tls_engine.h"

#define SCHEME  "tls+tcp://"
#define URL_MAX 300

static int listen_one(nng_socket socket, const char *url, nng_tls_config *tls, nng_listener *ret,
                      struct ocu_error *err)
{
	int rv;

	if (strncmp(url, SCHEME, sizeof SCHEME - 1) != 0)
		return ocu_error_set(err, OCU_E_CONFIG, "%s: must start with " SCHEME, url);
	rv = nng_listener_create(ret, socket, url);
	if (rv == 0)
		rv = nng_listener_set_ptr(*ret, NNG_OPT_TLS_CONFIG, tls);
	/* A peer whose host is gone leaves no sign but silence. */
	if (rv == 0)
		rv = nng_listener_set_bool(*ret, NNG_OPT_TCP_KEEPALIVE, true);
	if (rv == 0)
		rv = nng_listener_start(*ret, 0);
	return rv ? ocu_error_set(err, rv == NNG_ENOMEM ? OCU_E_NOMEM : OCU_E_IO, "%s: %s", url,
	                          nng_strerror(rv))
	          : 0;
}

int ocu_tls_listen(nng_socket socket, const char *urls, nng_tls_config *tls, nng_listener *ret_first,
                   struct ocu_error *err)
{
	const char *p = urls;
	bool first = true;

	for (;;) {
		size_t n = strcspn(p, ",");
		char url[URL_MAX];
		nng_listener l;
		int rc;

		if (n == 0 || n >= sizeof url)
			return ocu_error_set(err, OCU_E_CONFIG, "not a list of addresses: %.64s", urls);
		snprintf(url, sizeof url, "%.*s", (int)n, p);
		if ((rc = listen_one(socket, url, tls, &l, err)))
			return rc;
		if (first)
			*ret_first = l;
		first = false;
		if (p[n] == '\0')
			return 0;
		p += n + 1;
	}
}
