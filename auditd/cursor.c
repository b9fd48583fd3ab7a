#include "auditd/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/log.h"

#define CURSOR_MAX 4096

uint64_t cursor_load(struct cursor *c, const char *trail, uint64_t limit)
{
	OCU_JSON json_t *j = NULL;
	snprintf(c->trail, sizeof c->trail, "%s", trail);
	c->saved = 0;
	int rc = ocu_json_load_file(c->path, CURSOR_MAX, &j, NULL);
	if (rc == OCU_E_NOT_FOUND)
		return 0;
	json_int_t n = ocu_json_int(j, "n", -1);
	if (rc || n < 0 || strcmp(ocu_json_str(j, "trail", ""), trail) != 0 || (uint64_t)n > limit) {
		ocu_log(OCU_LOG_WARN, "cursor.foreign", NULL, "file", c->path, "text",
		        "the cursor is not of this trail: everything is sent again", NULL);
		return 0;
	}
	c->saved = (uint64_t)n;
	return c->saved;
}

void cursor_save(struct cursor *c, uint64_t n)
{
	struct ocu_error err = {0};
	char text[OCU_TRAIL_ID_MAX + 64], part[1100];
	if (c->saved == n)
		return;
	int len = snprintf(text, sizeof text, "{\"trail\":\"%s\",\"n\":%" PRIu64 "}\n", c->trail, n);
	snprintf(part, sizeof part, "%s.part", c->path);
	OCU_FILE FILE *f = fopen(part, "we");
	if (!f || fwrite(text, 1, (size_t)len, f) != (size_t)len || fflush(f) || fdatasync(fileno(f)) ||
	    rename(part, c->path)) {
		ocu_error_set(&err, OCU_E_IO, "%s", c->path);
		ocu_log_error(OCU_LOG_WARN, "cursor.save", NULL, &err);
	}
	c->saved = n; /* the next one is tried anew */
}
