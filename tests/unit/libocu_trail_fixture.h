/* A trail made by hand from the format functions, so that a verifier is tested without the daemon that
 * appends. */
#ifndef OCU_TEST_TRAIL_FIXTURE_H
#define OCU_TEST_TRAIL_FIXTURE_H

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/trail.h"
#include "libocu/trail_format.h"
#include "libocu/trail_segment.h"

#define TF_TIME "2026-11-23T20:51:00.123Z"

struct tf {
	char dir[64];
	const char *trail;
	struct ocu_signer *signer;
	struct ocu_jwks *keys;
	struct ocu_trail_hasher *hasher;
	struct ocu_trail_sources sources;
	struct ocu_trail_hash last;
	struct ocu_trail_head before; /* where the trail ended one record earlier */
	struct ocu_buf lines;         /* of the segment being made */
	uint64_t number, segment, generation;
};

static inline int tf_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Memory-backed where there is such a place: these tests are about bytes, not about disks. */
static inline void tf_dir(char out[64])
{
	snprintf(out, 64, "%s/ocu-trail-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline void tf_rmdir(const char *dir)
{
	nftw(dir, tf_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct ocu_jwks *tf_keys(const struct ocu_signer *signer)
{
	struct ocu_jwks *keys = NULL;
	json_t *set = json_pack("{s:[o]}", "keys", ocu_signer_jwk(signer));
	ck_assert_int_eq(ocu_jwks_new(&keys, set, NULL), 0);
	json_decref(set);
	return keys;
}

static inline void tf_init(struct tf *t)
{
	memset(t, 0, sizeof *t);
	t->trail = "trl_TEST";
	tf_dir(t->dir);
	ck_assert_int_eq(ocu_signer_generate(&t->signer, NULL), 0);
	t->keys = tf_keys(t->signer);
	ck_assert_int_eq(ocu_trail_hasher_new(&t->hasher, NULL), 0);
	ocu_trail_sources_init(&t->sources);
	t->last = OCU_TRAIL_HASH_ZERO;
	ocu_buf_init(&t->lines, 64 << 20);
	t->generation = 1;
}

static inline void tf_done(struct tf *t)
{
	tf_rmdir(t->dir);
	ocu_signer_free(t->signer);
	ocu_jwks_free(t->keys);
	ocu_trail_hasher_free(t->hasher);
	ocu_trail_sources_done(&t->sources);
	ocu_buf_done(&t->lines);
}

static inline struct ocu_trail_head tf_here(const struct tf *t)
{
	struct ocu_trail_head h = {.number = t->number,
	                           .segment = t->segment,
	                           .end = OCU_TRAIL_HEADER + t->lines.len,
	                           .last = t->last,
	                           .time = TF_TIME};
	snprintf(h.trail, sizeof h.trail, "%s", t->trail);
	return h;
}

static inline void tf_open(struct tf *t)
{
	struct ocu_trail_opening o = {.segment = ++t->segment, .first = t->number + 1, .time = TF_TIME};
	struct ocu_trail_hash hash;
	snprintf(o.trail, sizeof o.trail, "%s", t->trail);
	ocu_buf_reset(&t->lines);
	ck_assert_int_eq(ocu_trail_opening_put(&t->lines, t->hasher, &o, &t->sources, &t->last, &hash, NULL),
	                 0);
	t->last = hash;
	t->before = tf_here(t);
}

static inline void tf_record(struct tf *t, const char *source, const char *event)
{
	int at = ocu_trail_sources_add(&t->sources, source, strlen(source));
	ck_assert_int_ge(at, 0);
	t->before = tf_here(t);
	struct ocu_trail_new r = {.number = ++t->number,
	                          .sequence = ++t->sources.v[at].sequence,
	                          .time = TF_TIME,
	                          .source = source,
	                          .event = event,
	                          .event_len = strlen(event)};
	struct ocu_trail_hash hash;
	ck_assert_int_eq(ocu_trail_record_put(&t->lines, t->hasher, &r, &t->last, &hash, NULL), 0);
	t->last = hash;
}

static inline char *tf_path(const struct tf *t, uint64_t segment)
{
	static char path[2][160];
	static unsigned turn;
	char name[OCU_TRAIL_NAME_MAX];
	ocu_trail_segment_name(segment, name);
	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", t->dir, name);
	return path[turn];
}

static inline void tf_write(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static inline size_t tf_read(const char *path, char **ret)
{
	FILE *f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	fseek(f, 0, SEEK_END);
	size_t len = (size_t)ftell(f);
	rewind(f);
	*ret = malloc(len + 1);
	ck_assert_uint_eq(fread(*ret, 1, len, f), len);
	(*ret)[len] = '\0';
	fclose(f);
	return len;
}

/* Writes the segment with two heads: sealed twice, or the last two positions. */
static inline void tf_close(struct tf *t, bool sealed)
{
	struct ocu_buf file = OCU_BUF_INIT(65 << 20);
	char slots[2][OCU_TRAIL_SLOT];
	struct ocu_trail_head h = sealed ? tf_here(t) : t->before;
	for (int i = 0; i < 2; i++) {
		h.sealed = sealed;
		h.generation = t->generation++;
		ck_assert_int_eq(ocu_trail_head_put(slots[h.generation & 1], &h, t->signer, NULL), 0);
		h = tf_here(t);
	}
	ocu_buf_put(&file, slots, sizeof slots);
	ocu_buf_put(&file, t->lines.data, t->lines.len);
	tf_write(tf_path(t, t->segment), file.data, file.len);
	ocu_buf_done(&file);
}

static inline int tf_verify(const struct tf *t, struct ocu_trail_report *r)
{
	struct ocu_error err = {0};
	return ocu_trail_verify(t->dir, t->keys, r, &err);
}

#endif
