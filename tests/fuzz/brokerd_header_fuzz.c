/* header, magic: the parts of a request the north face reads itself. Input: fields separated by newlines. */
/* shows: NFR-SEC-51, NFR-SEC-78, NFR-MAINT-11 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/header.h"
#include "brokerd/magic.h"
#include "libocu/err.h"

static void require(int holds)
{
	if (!holds)
		abort();
}

static void try_range(const char *value, uint64_t size)
{
	uint64_t from = 0, len = 0;
	if (header_range(value, size, &from, &len) != RANGE_PART)
		return;
	require(len > 0 && from < size && len <= size - from);
}

static void try_list(char *const *field)
{
	struct list_query q;
	char cursor[CURSOR_MAX];
	if (header_list_query(&q, field[0], field[1], field[2], field[3], NULL) < 0)
		return;
	require(q.limit >= 1 && q.limit <= LIST_LIMIT_MAX);
	require(strlen(q.path) <= PATH_NORTH_MAX && (!*q.path || path_north_check(q.path, NULL) == 0));
	if (!*q.after)
		return;
	require(path_north_check(q.after, NULL) == 0);
	struct list_query again;
	header_cursor(q.after, cursor);
	require(header_list_query(&again, NULL, NULL, NULL, cursor, NULL) == 0);
	require(strcmp(again.after, q.after) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stat st = {.st_size = (off_t)size};
	char etag[ETAG_SIZE], *field[4] = {NULL};
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	require(magic_type(data, size) != NULL);
	header_etag(&st, etag);
	header_etag_listed(text, etag, true);
	require(!header_etag_listed(text, etag, false) || strchr(text, '*') || strstr(text, etag));
	static const uint64_t sizes[] = {0, 1, 10, 1000, UINT64_MAX};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		try_range(text, sizes[i]);
	char *p = text;
	for (int i = 0; i < 4 && p; i++) {
		field[i] = p;
		p = strchr(p, '\n');
		if (p)
			*p++ = 0;
	}
	try_list(field);
	free(text);
	return 0;
}
