/* registry: opening, schema, transactions and the reserved disk space; see registry.h. */
#include "operatord/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "operatord/registry_db.h"

#define SCHEMA_VERSION 2
#define RESERVE_BYTES  (1 << 20)
#define TEXT_OF(x)     #x
#define TEXT(x)        TEXT_OF(x)

static const char *const statements[] = {
#define X(id, sql) sql,
    REGISTRY_STATEMENTS(X)
#undef X
};

static const char schema[] =
    "CREATE TABLE fact(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE sessions("
    " session_id TEXT PRIMARY KEY, container_name TEXT NOT NULL UNIQUE, filesystem_id TEXT NOT NULL UNIQUE,"
    " caller TEXT NOT NULL, token_id TEXT NOT NULL, hint TEXT NOT NULL, label TEXT NOT NULL,"
    " state INTEGER NOT NULL CHECK(state BETWEEN 1 AND 4), reason TEXT NOT NULL DEFAULT '',"
    " runtime TEXT NOT NULL DEFAULT '', tier TEXT NOT NULL DEFAULT '',"
    " created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,"
    " created_mono INTEGER NOT NULL, active_mono INTEGER NOT NULL, token_mono INTEGER NOT NULL,"
    " node TEXT NOT NULL DEFAULT ''"
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
    "PRAGMA user_version = " TEXT(SCHEMA_VERSION) ";";

/* From one version to the next; each is one transaction together with the new version number. */
static const char *const upgrades[SCHEMA_VERSION] = {
    [1] = "ALTER TABLE sessions ADD COLUMN node TEXT NOT NULL DEFAULT '';"
          "PRAGMA user_version = 2;",
};

/* Exclusive locking before the first WAL access: one process, and the WAL index in heap memory, so that a
 * full disk can never turn into SIGBUS on a mapped file. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
                               "PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 4194304;";

/* Activity comes with every Route; it is kept in memory and written once a tick. */
static const char scratch[] =
    "CREATE TEMP TABLE activity(session_id TEXT PRIMARY KEY, mono INTEGER NOT NULL) WITHOUT ROWID;";

int registry_fail(struct registry *r, struct ocu_error *err)
{
	int rc = sqlite3_extended_errcode(r->db);

	if ((rc & 0xff) == SQLITE_FULL || rc == SQLITE_IOERR_SHMSIZE ||
	    ((rc & 0xff) == SQLITE_IOERR && sqlite3_system_errno(r->db) == ENOSPC))
		return ocu_error_set(err, OCU_E_NO_SPACE, "registry: %s", sqlite3_errmsg(r->db));
	if ((rc & 0xff) == SQLITE_NOMEM)
		return ocu_error_set(err, OCU_E_NOMEM, "registry");
	if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		return ocu_error_set(err, OCU_E_EXISTS, "registry: %s", sqlite3_errmsg(r->db));
	if ((rc & 0xff) == SQLITE_BUSY)
		return ocu_error_set(err, OCU_E_STATE, "registry: another process holds the database");
	return ocu_error_set(err, OCU_E_IO, "registry: %s (%d)", sqlite3_errmsg(r->db), rc);
}

static int exec(struct registry *r, const char *sql, struct ocu_error *err)
{
	return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : registry_fail(r, err);
}

void registry_enter(struct registry *r)
{
	gate_enter(&r->gate, GATE_ORDINARY);
}

void registry_leave(struct registry *r)
{
	gate_leave(&r->gate);
}

sqlite3_stmt *registry_bind(struct registry *r, enum registry_statement which, const char *kinds, ...)
{
	sqlite3_stmt *st = r->st[which];
	va_list ap;

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	va_start(ap, kinds);
	for (int i = 0; kinds[i]; i++) {
		if (kinds[i] == 's')
			sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC);
		else
			sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
	}
	va_end(ap);
	return st;
}

int registry_row(struct registry *r, sqlite3_stmt *st, struct ocu_error *err)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		sqlite3_reset(st);
		return 0;
	}
	rc = registry_fail(r, err);
	sqlite3_reset(st);
	return rc;
}

int registry_run(struct registry *r, sqlite3_stmt *st, struct ocu_error *err)
{
	int rc = registry_row(r, st, err);

	sqlite3_reset(st);
	return rc < 0 ? rc : 0;
}

void registry_column_text(sqlite3_stmt *st, int column, char *out, size_t size)
{
	const unsigned char *s = sqlite3_column_text(st, column);

	snprintf(out, size, "%s", s ? (const char *)s : "");
}

static int transaction(struct registry *r, registry_body *body, void *arg, struct ocu_error *err)
{
	uint64_t epoch = r->epoch;
	int rc = exec(r, "BEGIN IMMEDIATE", err);

	if (rc)
		return rc;
	rc = body(r, arg, err);
	if (rc == 0)
		rc = exec(r, "COMMIT", err);
	if (rc) {
		/* Some failures roll back by themselves. */
		if (!sqlite3_get_autocommit(r->db))
			sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
		r->epoch = epoch;
	}
	return rc;
}

int registry_write(struct registry *r, enum gate_class class, registry_body *body, void *arg,
                   struct ocu_error *err)
{
	int rc;

	gate_enter(&r->gate, class);
	rc = transaction(r, body, arg, err);
	if (rc == OCU_E_NO_SPACE && class == GATE_URGENT && unlink(r->reserve_path) == 0)
		rc = transaction(r, body, arg, err);
	gate_leave(&r->gate);
	return rc;
}

/* Space that only a revocation may use. Without it (the disk is full already) the daemon still runs. */
static void reserve_make(struct registry *r)
{
	OCU_CLOSE int fd = open(r->reserve_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
		unlink(r->reserve_path);
}

static int run_body(struct registry *r, void *arg, struct ocu_error *err)
{
	return exec(r, arg, err);
}

static int schema_version(struct registry *r, int *ret, struct ocu_error *err)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(r->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return registry_fail(r, err);
	*ret = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
	sqlite3_finalize(st);
	return 0;
}

static int schema_check(struct registry *r, struct ocu_error *err)
{
	int version = -1, rc = schema_version(r, &version, err);

	if (rc == 0 && version == 0)
		return registry_write(r, GATE_ORDINARY, run_body, (char *)schema, err);
	if (rc == 0 && (version < 0 || version > SCHEMA_VERSION))
		rc = ocu_error_set(err, OCU_E_STATE, "registry: schema version %d, this program knows %d",
		                   version, SCHEMA_VERSION);
	for (; rc == 0 && version < SCHEMA_VERSION; version++)
		rc = registry_write(r, GATE_ORDINARY, run_body, (char *)upgrades[version], err);
	return rc;
}

static int prepare(struct registry *r, struct ocu_error *err)
{
	for (int i = 0; i < ST_COUNT; i++)
		if (sqlite3_prepare_v3(r->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &r->st[i],
		                       NULL) != SQLITE_OK)
			return registry_fail(r, err);
	return 0;
}

static int first_facts(struct registry *r, void *arg, struct ocu_error *err)
{
	int rc;

	(void)arg;
	ocu_id_new("his_", r->history);
	rc = registry_fact_set_held(r, "history", r->history, err);
	return rc ? rc : registry_fact_set_held(r, "epoch", "0", err);
}

static int load_facts(struct registry *r, struct ocu_error *err)
{
	char epoch[32];
	int rc = registry_fact_get(r, "history", r->history, sizeof r->history, err);

	if (rc == 0 && r->history[0] == '\0')
		rc = registry_write(r, GATE_ORDINARY, first_facts, NULL, err);
	if (rc == 0)
		rc = registry_fact_get(r, "epoch", epoch, sizeof epoch, err);
	if (rc == 0)
		r->epoch = strtoull(epoch, NULL, 10);
	return rc;
}

/* After a reboot the monotonic clock starts anew: what was t ago by the wall clock becomes now - t, and at
 * least now. The activity of a session is taken back to its creation, which can only end it earlier. */
static int rebase_body(struct registry *r, void *arg, struct ocu_error *err)
{
	char sql[512];
	int rc;

	snprintf(sql, sizeof sql,
	         "UPDATE sessions SET active_mono = %lld - max(0, %lld - created_ms),"
	         " created_mono = %lld - max(0, %lld - created_ms), token_mono = 0 WHERE state < 4",
	         (long long)ocu_mono_ms(), (long long)ocu_wall_ms(), (long long)ocu_mono_ms(),
	         (long long)ocu_wall_ms());
	rc = exec(r, sql, err);
	return rc ? rc : registry_fact_set_held(r, "boot", arg, err);
}

static int read_boot_id(char *out, size_t size, struct ocu_error *err)
{
	OCU_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

	if (n <= 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading the kernel's boot id");
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static int rebase_after_reboot(struct registry *r, struct ocu_error *err)
{
	char now[64], then[64];
	int rc = read_boot_id(now, sizeof now, err);

	if (rc == 0)
		rc = registry_fact_get(r, "boot", then, sizeof then, err);
	if (rc == 0 && strcmp(now, then) != 0)
		rc = registry_write(r, GATE_ORDINARY, rebase_body, now, err);
	return rc;
}

static int open_database(struct registry *r, const char *dir, struct ocu_error *err)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/registry.db", dir) >= (int)sizeof path ||
	    asprintf(&r->reserve_path, "%s/registry.reserve", dir) < 0)
		return ocu_error_set(err, OCU_E_NOMEM, "registry path");
	/* SQLite would say of a read-only folder that it cannot lock. */
	if (faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", dir);
	if (sqlite3_open_v2(path, &r->db,
	                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
	                        SQLITE_OPEN_NOFOLLOW,
	                    NULL) != SQLITE_OK)
		return r->db ? registry_fail(r, err) : ocu_error_set(err, OCU_E_NOMEM, "registry");
	sqlite3_extended_result_codes(r->db, 1);
	return exec(r, settings, err);
}

int registry_open(struct registry **ret, const char *dir, struct ocu_error *err)
{
	struct registry *r = calloc(1, sizeof *r);
	int rc;

	if (!r)
		return ocu_error_set(err, OCU_E_NOMEM, "registry");
	gate_init(&r->gate);
	rc = open_database(r, dir, err);
	if (rc == 0)
		rc = schema_check(r, err);
	if (rc == 0)
		rc = exec(r, scratch, err);
	if (rc == 0)
		rc = prepare(r, err);
	if (rc == 0)
		rc = load_facts(r, err);
	if (rc == 0)
		rc = rebase_after_reboot(r, err);
	if (rc) {
		registry_close(r);
		return rc;
	}
	reserve_make(r);
	*ret = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(r->st[i]);
	sqlite3_close(r->db);
	gate_done(&r->gate);
	free(r->reserve_path);
	free(r);
}

const char *registry_history(const struct registry *r)
{
	return r->history;
}

int registry_fact_get(struct registry *r, const char *key, char *value, size_t size, struct ocu_error *err)
{
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_FACT_GET, "s", key);
	row = registry_row(r, st, err);
	if (row == 1)
		registry_column_text(st, 0, value, size);
	else if (row == 0)
		value[0] = '\0';
	sqlite3_reset(st);
	registry_leave(r);
	return row < 0 ? row : 0;
}

int registry_fact_set_held(struct registry *r, const char *key, const char *value, struct ocu_error *err)
{
	return registry_run(r, registry_bind(r, ST_FACT_SET, "ss", key, value), err);
}

static int fact_body(struct registry *r, void *arg, struct ocu_error *err)
{
	const char *const *pair = arg;

	return registry_fact_set_held(r, pair[0], pair[1], err);
}

int registry_fact_set(struct registry *r, const char *key, const char *value, struct ocu_error *err)
{
	const char *pair[] = {key, value};

	return registry_write(r, GATE_ORDINARY, fact_body, pair, err);
}

struct prune {
	int64_t ended, expired;
};

static int prune_body(struct registry *r, void *arg, struct ocu_error *err)
{
	const struct prune *p = arg;
	int rc = registry_run(r, registry_bind(r, ST_SESSION_PRUNE, "i", p->ended), err);

	return rc ? rc : registry_run(r, registry_bind(r, ST_TOKEN_PRUNE, "i", p->expired), err);
}

int registry_prunable(struct registry *r, int64_t ended_before_ms, int64_t expired_before_ms,
                      struct ocu_error *err)
{
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_PRUNABLE, "ii", ended_before_ms, expired_before_ms);
	row = registry_row(r, st, err);
	if (row == 1)
		row = sqlite3_column_int(st, 0);
	sqlite3_reset(st);
	registry_leave(r);
	return row;
}

int registry_prune(struct registry *r, int64_t ended_before_ms, int64_t expired_before_ms,
                   struct ocu_error *err)
{
	struct prune p = {.ended = ended_before_ms, .expired = expired_before_ms};

	reserve_make(r);
	return registry_write(r, GATE_ORDINARY, prune_body, &p, err);
}
