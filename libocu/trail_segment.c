/* trail_segment: names, slots and lines of segment files. */
#include "libocu/trail_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/err.h"

#define BUFFER (256u << 10)
_Static_assert(BUFFER > 2 * OCU_TRAIL_LINE_MAX, "a line fits the buffer");

void ocu_trail_segment_name(uint64_t number, char out[OCU_TRAIL_NAME_MAX])
{
	snprintf(out, OCU_TRAIL_NAME_MAX, "%08llu.jsonl", (unsigned long long)number);
}

/* 0 when the name is not a segment's. */
static uint64_t name_number(const char *name)
{
	char again[OCU_TRAIL_NAME_MAX];
	char *end;
	if (name[0] < '0' || name[0] > '9' || strlen(name) > 24)
		return 0;
	uint64_t number = strtoull(name, &end, 10);
	ocu_trail_segment_name(number, again);
	return strcmp(again, name) == 0 ? number : 0;
}

int ocu_trail_dir_open(const char *dir, struct ocu_error *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ocu_error_errno(err, errno == ENOENT ? OCU_E_NOT_FOUND : OCU_E_IO, errno,
		                       "trail folder");
	return fd;
}

static int missing(uint64_t number, struct ocu_error *err)
{
	return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %llu is missing", (unsigned long long)number);
}

static int first_missing(int dirfd, uint64_t first, uint64_t last, struct ocu_error *err)
{
	char name[OCU_TRAIL_NAME_MAX];
	for (uint64_t n = first; n < last; n++) {
		ocu_trail_segment_name(n, name);
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW))
			return missing(n, err);
	}
	return 0;
}

int ocu_trail_list(int dirfd, uint64_t *ret_first, uint64_t *ret_last, struct ocu_error *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		int saved = errno;
		if (fd >= 0)
			close(fd);
		return ocu_error_errno(err, OCU_E_IO, saved, "reading the trail folder");
	}
	uint64_t first = 0, last = 0, count = 0;
	for (struct dirent *e; (e = readdir(d));) {
		uint64_t number = name_number(e->d_name);
		count += number > 0;
		if (number > last)
			last = number;
		if (number && (number < first || first == 0))
			first = number;
	}
	closedir(d);
	*ret_first = first;
	*ret_last = last;
	return count == 0 || count == last - first + 1 ? 0 : first_missing(dirfd, first, last, err);
}

int ocu_trail_segment_open(int dirfd, uint64_t number, struct ocu_error *err)
{
	char name[OCU_TRAIL_NAME_MAX];
	ocu_trail_segment_name(number, name);
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return missing(number, err);
	return fd >= 0 ? fd
	               : ocu_error_errno(err, OCU_E_IO, errno, "segment %llu", (unsigned long long)number);
}

int ocu_trail_read_at(int fd, void *buf, size_t len, uint64_t offset, struct ocu_error *err)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(fd, (char *)buf + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ocu_error_errno(err, OCU_E_IO, errno, "reading a segment");
		if (n == 0)
			return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the segment ends at byte %" PRIu64,
			                     offset + got);
		got += (size_t)n;
	}
	return 0;
}

/* keys NULL: form only. */
static int read_slots(int fd, const struct ocu_jwks *keys, struct ocu_trail_slots *ret, struct ocu_error *err)
{
	char raw[OCU_TRAIL_HEADER];
	unsigned char sig[64];
	size_t signed_len;
	memset(ret, 0, sizeof *ret);
	int rc = ocu_trail_read_at(fd, raw, sizeof raw, 0, err);
	if (rc)
		return rc;
	for (int i = 0; i < 2; i++) {
		struct ocu_error why = {0};
		const char *slot = raw + i * OCU_TRAIL_SLOT;
		rc = keys ? ocu_trail_head_verify(&ret->head[i], slot, keys, &why)
		          : ocu_trail_head_parse(&ret->head[i], slot, &signed_len, sig, &why);
		if (!rc && (ret->head[i].generation & 1) != (uint64_t)i)
			rc = ocu_error_set(&why, OCU_E_PARSE, "a head in the other head's slot");
		ret->valid[i] = rc == 0;
		if (rc && !ret->why.code)
			ret->why = why;
	}
	return 0;
}

int ocu_trail_slots_read(int fd, const struct ocu_jwks *keys, struct ocu_trail_slots *ret,
                         struct ocu_error *err)
{
	return read_slots(fd, keys, ret, err);
}

int ocu_trail_slots_peek(int fd, struct ocu_trail_slots *ret, struct ocu_error *err)
{
	return read_slots(fd, NULL, ret, err);
}

const struct ocu_trail_head *ocu_trail_slots_newest(const struct ocu_trail_slots *s)
{
	if (s->valid[0] && s->valid[1])
		return &s->head[s->head[1].generation > s->head[0].generation];
	return s->valid[0] ? &s->head[0] : s->valid[1] ? &s->head[1] : NULL;
}

bool ocu_trail_slots_settled(const struct ocu_trail_slots *s)
{
	uint64_t a = s->head[0].generation, b = s->head[1].generation;
	return s->valid[0] && s->valid[1] && (a + 1 == b || b + 1 == a);
}

int ocu_trail_lines_init(struct ocu_trail_lines *l, struct ocu_error *err)
{
	memset(l, 0, sizeof *l);
	l->fd = -1;
	l->buf = malloc(BUFFER);
	return l->buf ? 0 : ocu_error_set(err, OCU_E_NOMEM, "trail reader");
}

void ocu_trail_lines_done(struct ocu_trail_lines *l)
{
	free(l->buf);
	l->buf = NULL;
}

void ocu_trail_lines_seek(struct ocu_trail_lines *l, int fd, uint64_t offset, uint64_t limit)
{
	l->fd = fd;
	l->offset = offset;
	l->limit = limit;
	l->start = l->end = 0;
}

/* Moves what is left to the front and reads on, never past the limit. Bytes read, 0 at the end, or an error.
 */
static long fill(struct ocu_trail_lines *l, struct ocu_error *err)
{
	size_t have = l->end - l->start;
	memmove(l->buf, l->buf + l->start, have);
	l->start = 0;
	l->end = have;
	uint64_t at = l->offset + have;
	uint64_t left = l->limit > at ? l->limit - at : 0;
	size_t room = BUFFER - have;
	ssize_t n;
	do
		n = pread(l->fd, l->buf + have, left < room ? (size_t)left : room, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading a segment");
	l->end += (size_t)n;
	return (long)n;
}

int ocu_trail_lines_next(struct ocu_trail_lines *l, const char **line, size_t *len, struct ocu_error *err)
{
	if (l->offset >= l->limit)
		return 0;
	size_t searched = 0;
	for (;;) {
		char *from = l->buf + l->start + searched;
		char *newline = memchr(from, '\n', (size_t)(l->buf + l->end - from));
		if (newline) {
			*line = l->buf + l->start;
			*len = (size_t)(newline - *line);
			l->start += *len + 1;
			l->offset += *len + 1;
			return 1;
		}
		searched = l->end - l->start;
		if (searched > OCU_TRAIL_LINE_MAX)
			return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "a line of over %d bytes at byte %llu",
			                     OCU_TRAIL_LINE_MAX, (unsigned long long)l->offset);
		long n = fill(l, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "an unfinished line at byte %llu",
			                     (unsigned long long)l->offset);
	}
}
