/* registry: one session a pair, quotas, epochs, and nothing acknowledged is ever lost. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "operatord/registry.h"

static char dir[64];
static struct ocu_error err;
static const struct registry_limits roomy = {.per_caller = 100000, .total = 100000};

static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/ocu-registry-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void drop_dir(void)
{
	static const char *const names[] = {"registry.db", "registry.db-wal", "registry.db-journal",
	                                    "registry.reserve"};
	char path[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static struct registry *reopen(struct registry *r)
{
	registry_close(r);
	ck_assert_msg(registry_open(&r, dir, &err) == 0, "%s", err.text);
	return r;
}

static struct session make(const char *caller, const char *hint)
{
	struct session s = {.created_ms = ocu_wall_ms(), .created_mono = (int64_t)ocu_mono_ms()};

	ocu_id_new(OCU_ID_SESSION, s.session_id);
	ocu_id_new(OCU_ID_CONTAINER, s.container_name);
	ocu_id_new(OCU_ID_FILESYSTEM, s.filesystem_id);
	snprintf(s.caller, sizeof s.caller, "%s", caller);
	snprintf(s.hint, sizeof s.hint, "%s", hint);
	snprintf(s.token_id, sizeof s.token_id, "tok-of-%s", caller);
	return s;
}

static struct deny_entry entry(enum ocu_deny_kind kind, const char *value)
{
	struct deny_entry e = {
	    .kind = kind, .reason = "test", .added_by = "operator:test", .added_ms = ocu_wall_ms()};

	snprintf(e.value, sizeof e.value, "%s", value);
	return e;
}

static uint64_t deny(struct registry *r, enum ocu_deny_kind kind, const char *value)
{
	struct deny_entry e = entry(kind, value);
	uint64_t epoch = 0;
	bool changed;

	ck_assert_msg(registry_deny_add(r, &e, 1, &epoch, &changed, &err) == 0, "%s", err.text);
	return epoch;
}

/* shows: NFR-REL-01 */
START_TEST(state_survives_reopening)
{
	struct registry *r = reopen(NULL);
	struct session s = make("alice", "h1"), got;
	char history[OCU_ID_MAX];
	uint64_t epoch = deny(r, OCU_DENY_CALLER, "mallory");

	snprintf(history, sizeof history, "%s", registry_history(r));
	snprintf(s.label, sizeof s.label, "first");
	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
	ck_assert_int_eq(registry_session_activate(r, s.session_id, "crun", "runc", 77, &err), 0);
	ck_assert_int_eq(registry_session_touch(r, s.session_id, s.created_mono + 5000, &err), 0);
	ck_assert_int_eq(registry_activity_flush(r, &err), 0);
	r = reopen(r);
	ck_assert_str_eq(registry_history(r), history);
	ck_assert_uint_eq(registry_epoch(r), epoch);
	ck_assert_int_eq(registry_deny_check(r, OCU_DENY_CALLER, "mallory", &err), OCU_E_CALLER_DENIED);
	ck_assert_int_eq(registry_session_find(r, "alice", "h1", &got, &err), 0);
	ck_assert_str_eq(got.session_id, s.session_id);
	ck_assert_str_eq(got.container_name, s.container_name);
	ck_assert_str_eq(got.filesystem_id, s.filesystem_id);
	ck_assert_str_eq(got.label, "first");
	ck_assert_str_eq(got.tier, "runc");
	ck_assert_int_eq(got.state, SESSION_ACTIVE);
	ck_assert_int_eq(got.created_mono, s.created_mono);
	ck_assert_int_eq(got.active_mono, s.created_mono + 5000);
	registry_close(r);
}
END_TEST

START_TEST(one_process_owns_it)
{
	struct registry *r = reopen(NULL), *second = NULL;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(registry_open(&second, dir, &err) == OCU_E_STATE ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	registry_close(r);
}
END_TEST

START_TEST(states_go_one_way)
{
	struct registry *r = reopen(NULL);
	struct session s = make("alice", "h"), got;

	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
	ck_assert_int_eq(registry_session_ended(r, s.session_id, &err), OCU_E_STATE);
	ck_assert_int_eq(registry_session_ending(r, s.session_id, "killed", &err), 0);
	ck_assert_int_eq(registry_session_activate(r, s.session_id, "crun", "runc", 1, &err), OCU_E_STATE);
	ck_assert_int_eq(registry_session_ending(r, s.session_id, "again", &err), OCU_E_STATE);
	ck_assert_int_eq(registry_session_find(r, "alice", "h", &got, &err), OCU_E_NOT_FOUND);
	ck_assert_int_eq(registry_session_ended(r, s.session_id, &err), 0);
	ck_assert_int_eq(registry_session_ended(r, s.session_id, &err), OCU_E_STATE);
	ck_assert_int_eq(registry_session_get(r, s.session_id, &got, &err), 0);
	ck_assert_str_eq(got.reason, "killed");
	ck_assert_int_gt(got.ended_ms, 0);
	ck_assert_int_eq(registry_session_get(r, "ses_none", &got, &err), OCU_E_NOT_FOUND);
	registry_close(r);
}
END_TEST

struct race {
	struct registry *r;
	struct registry_limits limits;
	bool same_pair;
	atomic_int added, refused, number;
	int refusal;
	pthread_barrier_t start;
};

static void *racer(void *arg)
{
	struct race *race = arg;
	struct ocu_error own = {0};
	char hint[32];
	int number = atomic_fetch_add(&race->number, 1);

	snprintf(hint, sizeof hint, "h%d", race->same_pair ? 0 : number);
	struct session s = make("alice", hint);
	pthread_barrier_wait(&race->start);
	int rc = registry_session_add(race->r, &s, &race->limits, &own);
	if (rc == 0)
		atomic_fetch_add(&race->added, 1);
	else if (rc == race->refusal)
		atomic_fetch_add(&race->refused, 1);
	return NULL;
}

static void run_race(struct race *race, int threads)
{
	pthread_t t[32];

	pthread_barrier_init(&race->start, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, racer, race), 0);
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&race->start);
}

START_TEST(a_pair_has_one_session)
{
	struct race race = {.r = reopen(NULL), .limits = roomy, .same_pair = true, .refusal = OCU_E_EXISTS};

	run_race(&race, 16);
	ck_assert_int_eq(atomic_load(&race.added), 1);
	ck_assert_int_eq(atomic_load(&race.refused), 15);
	registry_close(race.r);
}
END_TEST

/* shows: NFR-SEC-53 (in part), NFR-COST-06 (in part) */
START_TEST(quota_holds_in_a_race)
{
	struct race race = {
	    .r = reopen(NULL), .limits = {.per_caller = 5, .total = 100}, .refusal = OCU_E_QUOTA};
	unsigned live;

	run_race(&race, 16);
	ck_assert_int_eq(atomic_load(&race.added), 5);
	ck_assert_int_eq(atomic_load(&race.refused), 11);
	ck_assert_int_eq(registry_session_count(race.r, &live, &err), 0);
	ck_assert_uint_eq(live, 5);
	struct session other = make("bob", "h");
	struct registry_limits total = {.per_caller = 5, .total = 5};
	ck_assert_int_eq(registry_session_add(race.r, &other, &total, &err), OCU_E_QUOTA);
	ck_assert_int_eq(registry_session_add(race.r, &other, &race.limits, &err), 0);
	registry_close(race.r);
}
END_TEST

/* shows: NFR-SEC-01, NFR-SEC-04 */
START_TEST(a_denied_name_gets_no_session)
{
	struct registry *r = reopen(NULL);
	struct session s = make("alice", "h"), got;

	deny(r, OCU_DENY_CALLER, "alice");
	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), OCU_E_CALLER_DENIED);
	uint64_t epoch;
	ck_assert_int_eq(registry_deny_lift(r, OCU_DENY_CALLER, "alice", &epoch, &err), 0);
	deny(r, OCU_DENY_TOKEN, s.token_id);
	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), OCU_E_TOKEN_REVOKED);
	ck_assert_int_eq(registry_deny_lift(r, OCU_DENY_TOKEN, s.token_id, &epoch, &err), 0);
	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
	deny(r, OCU_DENY_SESSION, s.session_id);
	ck_assert_int_eq(registry_session_get(r, s.session_id, &got, &err), 0);
	ck_assert_int_eq(got.state, SESSION_ENDING);
	/* The same conversation cannot simply be started again. */
	ck_assert_int_eq(registry_session_find(r, "alice", "h", &got, &err), OCU_E_SESSION_DENIED);
	struct session again = make("alice", "h");
	ck_assert_int_eq(registry_session_add(r, &again, &roomy, &err), OCU_E_SESSION_DENIED);
	ck_assert_int_eq(registry_deny_lift(r, OCU_DENY_SESSION, s.session_id, &epoch, &err), 0);
	ck_assert_int_eq(registry_session_add(r, &again, &roomy, &err), 0);
	registry_close(r);
}
END_TEST

START_TEST(epochs_only_go_up)
{
	struct registry *r = reopen(NULL);
	uint64_t last = registry_epoch(r), epoch;
	char name[32];
	bool changed;

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "c%d", i % 5);
		if (i % 3 == 2) {
			uint64_t before = registry_epoch(r);
			if (registry_deny_lift(r, OCU_DENY_CALLER, name, &epoch, &err) == 0)
				ck_assert_uint_eq(epoch, before + 1);
		} else {
			epoch = deny(r, OCU_DENY_CALLER, name);
		}
		ck_assert_uint_ge(registry_epoch(r), last);
		last = registry_epoch(r);
		if (i % 7 == 0)
			r = reopen(r);
		ck_assert_uint_eq(registry_epoch(r), last);
	}
	struct deny_entry e = entry(OCU_DENY_CALLER, "again");
	ck_assert_int_eq(registry_deny_add(r, &e, 1, &epoch, &changed, &err), 0);
	ck_assert(changed);
	ck_assert_int_eq(registry_deny_add(r, &e, 1, &last, &changed, &err), 0);
	ck_assert(!changed);
	ck_assert_uint_eq(last, epoch);
	registry_close(r);
}
END_TEST

START_TEST(listing_pages_and_filters)
{
	struct registry *r = reopen(NULL);
	struct session *list;
	char hint[32], ids[10][OCU_ID_MAX];
	size_t n;

	for (int i = 0; i < 10; i++) {
		snprintf(hint, sizeof hint, "h%d", i);
		struct session s = make(i % 2 ? "odd" : "even", hint);
		snprintf(ids[i], sizeof ids[i], "%s", s.session_id);
		ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
	}
	ck_assert_int_eq(registry_session_ending(r, ids[0], "x", &err), 0);
	ck_assert_int_eq(registry_session_ended(r, ids[0], &err), 0);
	ck_assert_int_eq(registry_session_list(r, &(struct session_filter){.limit = 4}, &list, &n, &err), 0);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(list[3].session_id, ids[3]);
	free(list);
	ck_assert_int_eq(
	    registry_session_list(r, &(struct session_filter){.limit = 99, .after = ids[3]}, &list, &n, &err),
	    0);
	ck_assert_uint_eq(n, 6);
	ck_assert_str_eq(list[0].session_id, ids[4]);
	free(list);
	ck_assert_int_eq(
	    registry_session_list(r, &(struct session_filter){.limit = 99, .caller = "even", .live = true},
	                          &list, &n, &err),
	    0);
	ck_assert_uint_eq(n, 4);
	free(list);
	registry_close(r);
}
END_TEST

START_TEST(tokens_and_pruning)
{
	struct registry *r = reopen(NULL);
	struct token_record t = {
	    .jti = "tok_1", .caller = "alice", .label = "l", .created_ms = 1, .expires_ms = 1000};
	struct token_record got, *list;
	struct deny_entry *spent;
	size_t n;

	ck_assert_int_eq(registry_token_add(r, &t, &err), 0);
	ck_assert_int_eq(registry_token_add(r, &t, &err), OCU_E_EXISTS);
	deny(r, OCU_DENY_TOKEN, "tok_1");
	deny(r, OCU_DENY_TOKEN, "tok_foreign");
	ck_assert_int_eq(registry_token_get(r, "tok_1", &got, &err), 0);
	ck_assert(got.revoked);
	ck_assert_int_eq(registry_token_list(r, NULL, 10, &list, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	free(list);
	/* A token we know to have expired needs no entry; one we do not know keeps it. */
	ck_assert_int_eq(registry_deny_spent(r, 0, 2000, &spent, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(spent[0].value, "tok_1");
	free(spent);
	ck_assert_int_eq(registry_prune(r, 0, 500, &err), 0);
	ck_assert_int_eq(registry_token_get(r, "tok_1", &got, &err), 0);
	ck_assert_int_eq(registry_prune(r, 0, 2000, &err), 0);
	ck_assert_int_eq(registry_token_get(r, "tok_1", &got, &err), OCU_E_NOT_FOUND);
	registry_close(r);
}
END_TEST

/* The child acknowledges each change on a pipe after the registry returned 0. */
static void crash_child(int out)
{
	struct registry *r;
	char name[OCU_ID_MAX + 2];
	uint64_t epoch;
	bool changed;

	if (registry_open(&r, dir, &err))
		_exit(2);
	for (int i = 0;; i++) {
		struct session s = make("alice", "");
		snprintf(s.hint, sizeof s.hint, "%s", s.session_id);
		if (registry_session_add(r, &s, &roomy, &err))
			_exit(3);
		snprintf(name, sizeof name, "S%s", s.session_id);
		if (write(out, name, sizeof name) != sizeof name)
			_exit(4);
		if (i % 3)
			continue;
		struct deny_entry e = entry(OCU_DENY_SESSION, s.session_id);
		if (registry_deny_add(r, &e, 1, &epoch, &changed, &err))
			_exit(5);
		name[0] = 'D';
		if (write(out, name, sizeof name) != sizeof name)
			_exit(6);
	}
}

static void check_acknowledged(struct registry *r, const char *name)
{
	struct session got;

	ck_assert_msg(registry_session_get(r, name + 1, &got, &err) == 0, "lost %s: %s", name + 1, err.text);
	if (name[0] == 'D') {
		ck_assert_int_eq(registry_deny_check(r, OCU_DENY_SESSION, name + 1, &err),
		                 OCU_E_SESSION_DENIED);
		ck_assert_int_eq(got.state, SESSION_ENDING);
	}
}

/* shows: NFR-REL-01 */
START_TEST(sigkill_loses_nothing_acknowledged)
{
	char name[OCU_ID_MAX + 2];
	uint64_t epoch = 0;
	int total = 0;

	for (int round = 0; round < 12; round++) {
		char(*acked)[OCU_ID_MAX + 2] = calloc(4096, sizeof *acked);
		int fds[2], n = 0, status;

		ck_assert_int_eq(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			crash_child(fds[1]);
		}
		close(fds[1]);
		while (n < 4096 && read(fds[0], name, sizeof name) == sizeof name) {
			memcpy(acked[n++], name, sizeof name);
			if (n == 3 + round * 7)
				kill(pid, SIGKILL);
		}
		close(fds[0]);
		waitpid(pid, &status, 0);
		ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", status);
		struct registry *r = reopen(NULL);
		for (int i = 0; i < n; i++)
			check_acknowledged(r, acked[i]);
		ck_assert_uint_ge(registry_epoch(r), epoch);
		epoch = registry_epoch(r);
		registry_close(r);
		free(acked);
		total += n;
	}
	ck_assert_int_gt(total, 100);
}
END_TEST

static void small_disk(void)
{
	ck_assert_msg(unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) == 0, "unshare: %s",
	              strerror(errno));
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"), 0);
}

/* shows: NFR-REL-01, NFR-SEC-55 */
START_TEST(full_disk_refuses_and_still_kills)
{
	char path[128], hint[32], id[OCU_ID_MAX] = "";
	static char block[4096];
	struct session got;
	uint64_t epoch;
	bool changed;
	int rc = 0, added = 0;

	small_disk();
	struct registry *r = reopen(NULL);
	snprintf(path, sizeof path, "%s/filler", dir);
	for (; added < 20; added++) {
		snprintf(hint, sizeof hint, "h%d", added);
		struct session s = make("alice", hint);
		ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
		snprintf(id, sizeof id, "%s", s.session_id);
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	while (write(fd, block, sizeof block) == sizeof block)
		continue;
	ck_assert_int_eq(errno, ENOSPC);
	for (; added < 5000; added++) {
		snprintf(hint, sizeof hint, "h%d", added);
		struct session s = make("alice", hint);
		rc = registry_session_add(r, &s, &roomy, &err);
		if (rc)
			break;
		snprintf(id, sizeof id, "%s", s.session_id);
	}
	ck_assert_msg(rc == OCU_E_NO_SPACE, "%d %s after %d", rc, err.text, added);
	struct deny_entry e = entry(OCU_DENY_SESSION, id);
	ck_assert_msg(registry_deny_add(r, &e, 1, &epoch, &changed, &err) == 0, "%s", err.text);
	r = reopen(r);
	struct session *list;
	size_t n;
	ck_assert_int_eq(registry_session_list(r, &(struct session_filter){.limit = 9999}, &list, &n, &err),
	                 0);
	ck_assert_uint_eq(n, (size_t)added);
	free(list);
	ck_assert_int_eq(registry_session_get(r, id, &got, &err), 0);
	ck_assert_int_eq(got.state, SESSION_ENDING);
	ck_assert_uint_eq(registry_epoch(r), epoch);
	/* Space again: it works again. */
	close(fd);
	unlink(path);
	struct session s = make("bob", "h");
	ck_assert_int_eq(registry_session_add(r, &s, &roomy, &err), 0);
	ck_assert_int_eq(registry_prune(r, 0, 0, &err), 0);
	snprintf(path, sizeof path, "%s/registry.reserve", dir);
	ck_assert_int_eq(access(path, F_OK), 0);
	registry_close(r);
	umount2(dir, MNT_DETACH);
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	char path[128];
	struct registry *r = reopen(NULL);

	registry_close(r);
	/* user_version is the big-endian word at offset 60 of the file's header. */
	snprintf(path, sizeof path, "%s/registry.db", dir);
	int fd = open(path, O_RDWR);
	ck_assert_int_eq(pwrite(fd, "\0\0\0\x63", 4, 60), 4);
	close(fd);
	ck_assert_int_eq(registry_open(&r, dir, &err), OCU_E_STATE);
}
END_TEST

/* What the first release wrote, with a session that runs. */
static const char first_schema[] =
    "CREATE TABLE fact(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE sessions("
    " session_id TEXT PRIMARY KEY, container_name TEXT NOT NULL UNIQUE, filesystem_id TEXT NOT NULL UNIQUE,"
    " caller TEXT NOT NULL, token_id TEXT NOT NULL, hint TEXT NOT NULL, label TEXT NOT NULL,"
    " state INTEGER NOT NULL CHECK(state BETWEEN 1 AND 4), reason TEXT NOT NULL DEFAULT '',"
    " runtime TEXT NOT NULL DEFAULT '', tier TEXT NOT NULL DEFAULT '',"
    " created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,"
    " created_mono INTEGER NOT NULL, active_mono INTEGER NOT NULL, token_mono INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX sessions_live ON sessions(caller, hint) WHERE state < 3;"
    "CREATE INDEX sessions_pair ON sessions(caller, hint);"
    "CREATE INDEX sessions_state ON sessions(state) WHERE state < 4;"
    "CREATE TABLE denylist("
    " kind INTEGER NOT NULL CHECK(kind BETWEEN 1 AND 3), value TEXT NOT NULL, epoch INTEGER NOT NULL,"
    " reason TEXT NOT NULL, added_by TEXT NOT NULL, added_ms INTEGER NOT NULL, PRIMARY KEY(kind, value)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens("
    " jti TEXT PRIMARY KEY, caller TEXT NOT NULL, label TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO fact VALUES('history', 'his_old'), ('epoch', '7');"
    "INSERT INTO denylist VALUES(2, 'mallory', 7, '', 'operator:x', 1);"
    "INSERT INTO sessions VALUES('ses_old', 'ocu-old', 'fs_old', 'alice', 't', 'h', 'l', 2, '', 'crun', "
    "'runc',"
    " 1, 0, 1, 1, 1);"
    "PRAGMA user_version = 1;";

START_TEST(an_earlier_schema_is_brought_up_to_date)
{
	struct registry *r = NULL;
	struct session s;
	unsigned live = 0;
	sqlite3 *db = NULL;
	char path[128];

	snprintf(path, sizeof path, "%s/registry.db", dir);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, first_schema, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	/* Twice: it is brought up once and then is what this program makes. */
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(registry_open(&r, dir, &err) == 0, "%s", err.text);
		ck_assert_str_eq(registry_history(r), "his_old");
		ck_assert_uint_eq(registry_epoch(r), 7);
		ck_assert_int_eq(registry_deny_check(r, OCU_DENY_CALLER, "mallory", &err),
		                 OCU_E_CALLER_DENIED);
		ck_assert_int_eq(registry_session_find(r, "alice", "h", &s, &err), 0);
		ck_assert_str_eq(s.session_id, "ses_old");
		ck_assert_str_eq(s.node, "");
		ck_assert_int_eq(registry_session_count_node(r, "", &live, &err), 0);
		ck_assert_uint_eq(live, 1);
		registry_close(r);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operatord_registry");
	TCase *c = tcase_create("registry");

	tcase_add_unchecked_fixture(c, NULL, NULL);
	tcase_add_checked_fixture(c, make_dir, drop_dir);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, state_survives_reopening);
	tcase_add_test(c, one_process_owns_it);
	tcase_add_test(c, states_go_one_way);
	tcase_add_test(c, a_pair_has_one_session);
	tcase_add_test(c, quota_holds_in_a_race);
	tcase_add_test(c, a_denied_name_gets_no_session);
	tcase_add_test(c, epochs_only_go_up);
	tcase_add_test(c, listing_pages_and_filters);
	tcase_add_test(c, tokens_and_pruning);
	tcase_add_test(c, sigkill_loses_nothing_acknowledged);
	tcase_add_test(c, full_disk_refuses_and_still_kills);
	tcase_add_test(c, a_newer_schema_is_refused);
	tcase_add_test(c, an_earlier_schema_is_brought_up_to_date);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
