/* conf: any bytes as a configuration file either load, with every value in its range, or are refused by name.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libocu/conf.h"
#include "libocu/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ocu_conf_opt options[] = {
    {"s", OCU_CONF_STRING, "d", 0, 0, NULL, "text"},
    {"p", OCU_CONF_PATH, "", 0, 0, NULL, "path"},
    {"i", OCU_CONF_INT, "4", -8, 64, NULL, "number"},
    {"b", OCU_CONF_BOOL, "false", 0, 0, NULL, "flag"},
    {"d", OCU_CONF_DURATION, "15m", 1000, 86400000, NULL, "duration"},
    {"z", OCU_CONF_SIZE, "8MiB", 1024, INT64_C(1) << 40, NULL, "size"},
    {"e", OCU_CONF_ENUM, "auto", 0, 0, "auto|crun|runc", "word"},
    {"j", OCU_CONF_JSON, "[]", 0, 0,
     "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"host\":{\"type\":\"string\"},"
     "\"ports\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}},\"required\":[\"host\"]}}",
     "list"},
    {"x", OCU_CONF_JSON, "{}", 0, 0, NULL, "anything"},
    {0},
};

static void inspect(const struct ocu_conf *c)
{
	const char *e = ocu_conf_str(c, "e");
	const char *p = ocu_conf_str(c, "p");
	if (ocu_conf_int(c, "i") < -8 || ocu_conf_int(c, "i") > 64)
		abort();
	if (ocu_conf_ms(c, "d") < 1000 || ocu_conf_ms(c, "d") > 86400000)
		abort();
	if (ocu_conf_int(c, "z") < 1024 || ocu_conf_int(c, "z") > INT64_C(1) << 40)
		abort();
	if (strcmp(e, "auto") != 0 && strcmp(e, "crun") != 0 && strcmp(e, "runc") != 0)
		abort();
	if ((p[0] && p[0] != '/') || strlen(ocu_conf_str(c, "s")) >= 4096)
		abort();
	if (!json_is_array(ocu_conf_json(c, "j")) || !ocu_conf_json(c, "x"))
		abort();
}

/* shows: NFR-MAINT-11 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	if (fd < 0) {
		fd = memfd_create("conf", MFD_CLOEXEC);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	struct ocu_conf *c = NULL;
	struct ocu_error err = {0};
	int rc = ocu_conf_load(&c, "fuzz", options, path, &err);
	if (rc == 0)
		inspect(c);
	else if (rc != OCU_E_CONFIG || err.code != rc || strncmp(err.text, path, strlen(path)) != 0)
		abort();
	ocu_conf_free(c);
	return 0;
}
