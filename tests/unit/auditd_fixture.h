/* What auditd's tests share: a store in a folder of the test, and events. */
#ifndef OCU_TEST_AUDITD_FIXTURE_H
#define OCU_TEST_AUDITD_FIXTURE_H

#include "auditd/store.h"
#include "libocu/clock.h"
#include "libocu/ocsf.h"
#include "tests/unit/libocu_trail_fixture.h"

struct af {
	char dir[64];
	struct ocu_signer *signer;
	struct ocu_jwks *keys;
	struct store_opts opts;
	struct store *store;
};

static inline void af_init(struct af *f)
{
	memset(f, 0, sizeof *f);
	tf_dir(f->dir);
	ck_assert_int_eq(ocu_signer_generate(&f->signer, NULL), 0);
	f->keys = tf_keys(f->signer);
	f->opts = (struct store_opts){.dir = f->dir,
	                              .signer = f->signer,
	                              .keys = f->keys,
	                              .segment_size = 1 << 20,
	                              .preallocate = 8192};
}

static inline int af_open(struct af *f, struct ocu_error *err)
{
	f->store = NULL;
	return store_open(&f->store, &f->opts, err);
}

static inline void af_must_open(struct af *f)
{
	struct ocu_error err = {0};
	ck_assert_msg(af_open(f, &err) == 0, "%s", err.text);
}

static inline void af_close(struct af *f)
{
	store_close(f->store);
	f->store = NULL;
}

static inline void af_done(struct af *f)
{
	af_close(f);
	tf_rmdir(f->dir);
	ocu_signer_free(f->signer);
	ocu_jwks_free(f->keys);
}

/* One batch of n small events. */
static inline int af_batch(struct af *f, const char *source, unsigned n, struct ocu_error *err)
{
	char event[64];
	uint64_t number;
	int rc = store_begin(f->store, err);
	for (unsigned i = 0; i < n && !rc; i++) {
		int len = snprintf(event, sizeof event, "{\"i\":%u}", i);
		rc = store_add(f->store, source, ocu_wall_ms(), event, (size_t)len, &number, err);
	}
	return rc ? rc : store_commit(f->store, err);
}

static inline void af_must_batch(struct af *f, const char *source, unsigned n)
{
	struct ocu_error err = {0};
	ck_assert_msg(af_batch(f, source, n, &err) == 0, "%s", err.text);
}

static inline uint64_t af_records(struct af *f)
{
	struct store_head h;
	store_head(f->store, &h);
	return h.records;
}

static inline void af_must_verify(const struct af *f, struct ocu_trail_report *r)
{
	struct ocu_error err = {0};
	int rc = ocu_trail_verify(f->dir, f->keys, r, &err);
	ck_assert_msg(rc == 0, "%d %s", rc, err.text);
}

static inline char *af_segment(const struct af *f, unsigned n)
{
	static char path[120];
	snprintf(path, sizeof path, "%s/%08u.jsonl", f->dir, n);
	return path;
}

struct af_count {
	const char *needle;
	unsigned found;
};

static inline int af_count_one(void *arg, uint64_t number, const char *source, const char *event,
                               uint64_t len)
{
	struct af_count *c = arg;
	(void)number;
	(void)source;
	c->found += memmem(event, len, c->needle, strlen(c->needle)) != NULL;
	return 0;
}

/* Records whose event has the text. */
static inline unsigned af_count(const struct af *f, const char *needle)
{
	struct af_count c = {.needle = needle};
	ck_assert_int_eq(ocu_trail_each(f->dir, af_count_one, &c, NULL), 0);
	return c.found;
}

/* A complete OCSF event as a daemon would send it. */
static inline void af_event(struct ocu_buf *out, const char *session, const char *resource)
{
	struct ocu_event ev = {.class_uid = OCU_OCSF_PROCESS_ACTIVITY,
	                       .activity_id = 1,
	                       .action = "tool.call",
	                       .resource = resource,
	                       .actor_id = "alice",
	                       .session_id = session};
	ck_assert_int_eq(ocu_event_render(&ev, out, NULL), 0);
}

static inline int af_main(const char *name, void (*add)(TCase *))
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);
	tcase_set_timeout(tc, 300);
	add(tc);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}

#endif
