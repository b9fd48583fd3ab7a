/* A small signed trail segment in memory, and one change to it taken from the fuzzer's bytes. */
#ifndef OCU_FUZZ_TRAIL_BUILD_H
#define OCU_FUZZ_TRAIL_BUILD_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/jwt.h"
#include "libocu/trail_format.h"

#define REQUIRE(x)                                                                                           \
	do {                                                                                                 \
		if (!(x))                                                                                    \
			abort();                                                                             \
	} while (0)

struct build {
	struct ocu_signer *signer;
	struct ocu_jwks *keys;
	struct ocu_trail_hasher *hasher;
	struct ocu_buf file;
	char dir[64];
	char path[96];
};

static struct build *build_at_exit;

static inline void build_remove(void)
{
	unlink(build_at_exit->path);
	rmdir(build_at_exit->dir);
}

static inline void build_init(struct build *b)
{
	build_at_exit = b;
	atexit(build_remove);
	REQUIRE(ocu_signer_generate(&b->signer, NULL) == 0);
	json_t *set = json_pack("{s:[o]}", "keys", ocu_signer_jwk(b->signer));
	REQUIRE(ocu_jwks_new(&b->keys, set, NULL) == 0);
	json_decref(set);
	REQUIRE(ocu_trail_hasher_new(&b->hasher, NULL) == 0);
	ocu_buf_init(&b->file, 1 << 20);
	snprintf(b->dir, sizeof b->dir, "%s/ocu-fuzz-XXXXXX",
	         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	REQUIRE(mkdtemp(b->dir));
	snprintf(b->path, sizeof b->path, "%s/00000001.jsonl", b->dir);
}

/* n records of two sources; heads for the last record and the one before. */
static inline void build_segment(struct build *b, unsigned n)
{
	struct ocu_trail_sources sources;
	struct ocu_trail_opening o = {
	    .trail = "trl_FUZZ", .segment = 1, .first = 1, .time = "2026-11-23T20:51:00.123Z"};
	struct ocu_trail_hash last, zero = OCU_TRAIL_HASH_ZERO;
	char slots[2][OCU_TRAIL_SLOT] = {{0}};
	ocu_trail_sources_init(&sources);
	ocu_buf_reset(&b->file);
	ocu_buf_put(&b->file, slots, sizeof slots);
	REQUIRE(ocu_trail_opening_put(&b->file, b->hasher, &o, &sources, &zero, &last, NULL) == 0);
	for (unsigned i = 0; i <= n; i++) {
		struct ocu_trail_head h = {
		    .number = i, .segment = 1, .end = b->file.len, .last = last, .generation = i + 1};
		memcpy(h.trail, o.trail, sizeof h.trail);
		memcpy(h.time, o.time, sizeof h.time);
		REQUIRE(ocu_trail_head_put(slots[h.generation & 1], &h, b->signer, NULL) == 0);
		if (i == n)
			break;
		struct ocu_trail_new r = {.number = i + 1,
		                          .sequence = i / 2 + 1,
		                          .time = o.time,
		                          .source = i % 2 ? "gateway" : "sandboxd/a",
		                          .event = "{\"x\":1}",
		                          .event_len = 7};
		REQUIRE(ocu_trail_record_put(&b->file, b->hasher, &r, &last, &last, NULL) == 0);
	}
	memcpy(b->file.data, slots, sizeof slots);
	ocu_trail_sources_done(&sources);
}

static inline uint32_t take(const uint8_t **data, size_t *size, uint32_t below)
{
	uint32_t v = 0;
	for (int i = 0; i < 3 && *size; i++, (*size)--)
		v = v << 8 | *(*data)++;
	return below ? v % below : 0;
}

/* Overwrites, removes, doubles, moves or appends; true when the bytes are others than before. */
static inline bool build_change(struct build *b, const uint8_t **data, size_t *size)
{
	struct ocu_buf before = OCU_BUF_INIT(1 << 20), out = OCU_BUF_INIT(1 << 20);
	ocu_buf_put(&before, b->file.data, b->file.len);
	uint32_t how = take(data, size, 5), len = (uint32_t)b->file.len;
	uint32_t from = take(data, size, len), n = take(data, size, len - from) + 1,
	         to = take(data, size, len);
	char *f = b->file.data;
	if (how == 0) {
		for (uint32_t i = from; i < len && *size; i++, (*size)--)
			f[i] = (char)*(*data)++;
		ocu_buf_put(&out, f, len);
	} else if (how == 1) {
		ocu_buf_put(&out, f, from);
		ocu_buf_put(&out, f + from + n, len - from - n);
	} else if (how == 2) {
		ocu_buf_put(&out, f, from + n);
		ocu_buf_put(&out, f + from, len - from);
	} else if (how == 3) {
		memmove(f + to, before.data + from, to + n > len ? len - to : n);
		ocu_buf_put(&out, f, len);
	} else {
		ocu_buf_put(&out, f, len);
		ocu_buf_put(&out, *data, *size);
		*size = 0;
	}
	bool changed = out.len != before.len || memcmp(out.data, before.data, out.len) != 0;
	ocu_buf_done(&before);
	ocu_buf_done(&b->file);
	b->file = out;
	return changed;
}

static inline void build_write(const struct build *b)
{
	int fd = open(b->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0);
	REQUIRE(write(fd, b->file.data ? b->file.data : "", b->file.len) == (ssize_t)b->file.len);
	close(fd);
}

#endif
