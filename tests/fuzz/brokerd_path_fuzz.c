/* path: whatever bytes come in, an accepted path stays below its root and evidence text stays clean and
 * bounded. */
/* shows: NFR-SEC-31, NFR-SEC-79, NFR-MAINT-11 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/path.h"
#include "libocu/err.h"

static void require(int holds)
{
	if (!holds)
		abort();
}

/* What acceptance promises, checked by other means than the validator's. */
static void check_accepted(const char *path)
{
	int depth = 0;
	require(path[0] != '/' && path[0] != 0);
	for (const char *p = path; *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");
		require(n > 0 && n <= PATH_COMPONENT_MAX);
		require(!(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.'));
		require(strncmp(p + n, "//", 2) != 0);
		depth++;
		p += n;
	}
	require(depth > 0 && depth <= PATH_DEPTH_MAX);
	require(path[strlen(path) - 1] != '/' && strlen(path) <= PATH_NORTH_MAX);
	for (const char *p = path; *p; p++)
		require((unsigned char)*p >= 0x20 && *p != 0x7f);
	require(path_leaf(path) < strlen(path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[PATH_HANDLE_MAX];
	struct ocu_error err = {0};
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (path_north_check(text, &err) == 0)
		check_accepted(text);
	else
		require(err.code == OCU_E_PARAMS || err.code == OCU_E_TOO_LARGE);
	if (path_name_ok(text))
		require(!strchr(text, '/') && strlen(text) <= PATH_COMPONENT_MAX &&
		        path_name_error(text) == 0);
	path_handle((const char *)data, size, out);
	require(strlen(out) < PATH_HANDLE_MAX);
	for (const char *p = out; *p; p++)
		require((unsigned char)*p >= 0x20 && *p != 0x7f);
	free(text);
	return 0;
}
