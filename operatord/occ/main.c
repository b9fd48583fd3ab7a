/*
 * occ: the operator's tool. It has no power of its own: everything it does to a running deployment goes
 * through the operator API with an assertion signed by the operator key, and only who can read that key can
 * use it.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "operatord/occ/command.h"

int main(int argc, char **argv)
{
	const struct command *c;
	struct args a;
	int rc = command_parse(argc, argv, &a, &c);

	if (rc >= 0)
		return rc;
	umask(077);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return OCC_FAILED;
	rc = c->run(&a);
	curl_global_cleanup();
	/* Output cut short by a full disk or a closed pipe is not success. */
	if (fflush(stdout) != 0 || ferror(stdout))
		rc = rc ? rc : OCC_FAILED;
	return rc;
}
