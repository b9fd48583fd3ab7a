/* session: the steps in a file system's life. */
#include "brokerd/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/evidence.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/registry.h"
#include "brokerd/store.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"

#define SETTLE_MS                                                                                            \
	2500 /* what waits longer, for its record, finds its mount dead and does nothing any more            \
	      */

static int check_denied(struct broker *b, const char *session_id, const char *caller, struct ocu_error *err)
{
	int r = ocu_denylist_check(b->denylist, OCU_DENY_SESSION, session_id, err);
	return r ? r : ocu_denylist_check(b->denylist, OCU_DENY_CALLER, caller, err);
}

static int check_ids(const struct volume_id *id, struct ocu_error *err)
{
	if (!ocu_id_valid(OCU_ID_SESSION, id->session_id) ||
	    !ocu_id_valid(OCU_ID_FILESYSTEM, id->filesystem_id))
		return ocu_error_set(err, OCU_E_PARAMS, "malformed session or filesystem id");
	if (!*id->caller || strlen(id->caller) >= VOLUME_CALLER_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "caller is empty or too long");
	return 0;
}

static int commit_control(struct broker *b, enum file_op op, const struct volume_id *id, const char *trace,
                          struct ocu_error *err)
{
	struct file_event e = {
	    .op = op,
	    .face = FACE_CONTROL,
	    .session_id = id->session_id,
	    .filesystem_id = id->filesystem_id,
	    .actor = "system:operatord",
	    .trace = trace,
	    .bytes = BYTES_UNKNOWN,
	    .downloadable = b->downloadable,
	};
	return evidence_commit(b->audit, &e, err);
}

static int make_volume(struct broker *b, const struct volume_id *id, struct ocu_error *err)
{
	struct volume *v = NULL;
	pthread_mutex_lock(&b->coming);
	int r = registry_room(b->registry, id, err);
	if (r == 0)
		r = volume_new(&v, b->store, id, &b->fds, err);
	if (r == 0)
		r = registry_add(b->registry, v, err);
	pthread_mutex_unlock(&b->coming);
	/* A denial that arrived meanwhile did not find it. */
	if (r == 0 && check_denied(b, id->session_id, id->caller, err) < 0) {
		volume_close(v, VOLUME_DENIED);
		r = err ? err->code : OCU_E_SESSION_DENIED;
	}
	volume_unref(v);
	return r;
}

int session_register(struct broker *b, const struct volume_id *id, const char *trace, struct ocu_error *err)
{
	int r = check_ids(id, err);
	if (r == 0)
		r = check_denied(b, id->session_id, id->caller, err);
	if (r < 0)
		return r;
	struct volume *v = registry_session(b->registry, id->session_id);
	if (v) {
		if (!volume_is(v, id) || volume_state(v) != VOLUME_ACTIVE)
			r = ocu_error_set(err, OCU_E_STATE,
			                  "the session is registered for something else, or ending");
		volume_unref(v);
		return r;
	}
	r = commit_control(b, FILE_OP_REGISTER, id, trace, err);
	return r ? r : make_volume(b, id, err);
}

int session_attach(struct broker *b, const char *session_id, int fd, unsigned guest_uid,
                   struct ocu_error *err)
{
	struct volume *v = registry_session(b->registry, session_id);
	if (!v) {
		close(fd);
		return ocu_error_set(err, OCU_E_NOT_FOUND, "the session is not registered");
	}
	struct file_event e = {
	    .op = FILE_OP_ATTACH,
	    .face = FACE_MOUNT,
	    .volume = v,
	    .actor = "system:sandboxd",
	    .bytes = BYTES_UNKNOWN,
	    .downloadable = b->downloadable,
	};
	int r = check_denied(b, v->session_id, v->caller, err);
	if (r == 0)
		r = evidence_commit(b->audit, &e, err);
	if (r < 0)
		close(fd);
	else
		r = mount_start(b, v, fd, guest_uid, err);
	volume_unref(v);
	return r;
}

static void cut(struct volume *v, enum volume_state state)
{
	volume_close(v, state);
	struct mount *m = volume_mount(v);
	if (m)
		mount_abort(m);
	mount_unref(m);
}

/* Nothing of the session is under way afterwards, unless it hangs longer than anything may. */
static void settle(struct volume *v)
{
	struct mount *m = volume_mount(v);
	if (m)
		mount_wait(m, SETTLE_MS);
	mount_unref(m);
	volume_drain(v, SETTLE_MS);
}

struct scrubber {
	struct broker *broker;
	const char *trace; /* NULL: one is made */
};

static int record_gone(void *arg, const char *filesystem_id, const char *session_id, struct ocu_error *err)
{
	const struct scrubber *s = arg;
	struct file_event e = {
	    .op = FILE_OP_SCRUBBED,
	    .face = FACE_CONTROL,
	    .session_id = session_id,
	    .filesystem_id = filesystem_id,
	    .trace = s->trace,
	    .bytes = BYTES_UNKNOWN,
	    .downloadable = s->broker->downloadable,
	};
	return evidence_commit(s->broker->audit, &e, err);
}

static void scrub_trash(struct broker *b, const char *trash, const char *trace, uint64_t deadline,
                        struct session_released *ret)
{
	struct scrubber s = {.broker = b, .trace = trace};
	struct store_sweep w = {.deadline = deadline, .gone = record_gone, .arg = &s};
	struct ocu_error late = {0};
	ret->pending = store_scrub(b->store, trash, &w, &late) < 0;
	ret->removed = w.removed;
	meter_scrubbed(w.removed);
	/* Out of reach already; the reaper removes what is left. */
	if (ret->pending)
		ocu_log_error(OCU_LOG_WARN, "scrub.unfinished", trace, &late);
}

int session_scrub_rest(struct broker *b, uint64_t deadline, uint64_t *removed, struct ocu_error *err)
{
	struct scrubber s = {.broker = b};
	struct store_sweep w = {.deadline = deadline, .gone = record_gone, .arg = &s};
	int r = store_empty_trash(b->store, &w, err);
	*removed += w.removed;
	return r;
}

static int discard(struct broker *b, const struct volume_id *id, const char *trace, uint64_t deadline,
                   struct session_released *ret, struct ocu_error *err)
{
	char trash[STORE_TRASH_MAX];
	int r = store_discard(b->store, id->filesystem_id, trash, err);
	if (r == OCU_E_NOT_FOUND)
		r = store_find_trash(b->store, id->session_id, trash);
	if (r == 0)
		scrub_trash(b, trash, trace, deadline, ret);
	return r == OCU_E_NOT_FOUND ? 0 : r;
}

/* A session that is not registered: released before, when what is left of it is on its way already; or one of
 * an earlier life of this daemon, known by what the volume itself says. */
static int release_forgotten(struct broker *b, const char *session_id, const char *trace, uint64_t deadline,
                             struct session_released *ret, struct ocu_error *err)
{
	char filesystem_id[OCU_ID_MAX] = "";
	struct volume_id id = {.session_id = session_id, .filesystem_id = filesystem_id};
	char trash[STORE_TRASH_MAX];
	int r = store_find_session(b->store, session_id, filesystem_id);
	if (r == OCU_E_NOT_FOUND) {
		r = store_find_trash(b->store, session_id, trash);
		if (r == 0)
			scrub_trash(b, trash, trace, deadline, ret);
		return r == OCU_E_IO ? ocu_error_set(err, r, "the trash cannot be read") : 0;
	}
	if (r < 0)
		return ocu_error_set(err, r, "volume_dir cannot be read");
	r = commit_control(b, FILE_OP_SCRUB, &id, trace, err);
	return r ? r : discard(b, &id, trace, deadline, ret, err);
}

int session_release(struct broker *b, const char *session_id, bool scrub, const char *trace,
                    uint64_t deadline, struct session_released *ret, struct ocu_error *err)
{
	*ret = (struct session_released){0};
	if (!ocu_id_valid(OCU_ID_SESSION, session_id))
		return ocu_error_set(err, OCU_E_PARAMS, "malformed session id");
	struct volume *v = registry_session(b->registry, session_id);
	if (!v)
		return scrub ? release_forgotten(b, session_id, trace, deadline, ret, err) : 0;
	struct volume_id id = {
	    .session_id = v->session_id, .filesystem_id = v->filesystem_id, .caller = v->caller};
	int r = commit_control(b, scrub ? FILE_OP_SCRUB : FILE_OP_RELEASE, &id, trace, err);
	if (r == 0) {
		cut(v, VOLUME_ENDED);
		settle(v);
		if (scrub)
			r = discard(b, &id, trace, deadline, ret, err);
		/* Only now: while it is registered, nobody can register the same file system anew. */
		if (r == 0)
			registry_remove(b->registry, v);
	}
	volume_unref(v);
	return r;
}

static void for_all(struct broker *b, void (*each)(struct volume *v, const void *arg), const void *arg)
{
	size_t count;
	struct volume **all = registry_all(b->registry, &count);
	for (size_t i = 0; i < count; i++) {
		each(all[i], arg);
		volume_unref(all[i]);
	}
	free(all);
}

struct denial {
	enum ocu_deny_kind kind;
	const char *value;
};

static void deny_one(struct volume *v, const void *arg)
{
	const struct denial *d = arg;
	if (strcmp(d->kind == OCU_DENY_SESSION ? v->session_id : v->caller, d->value) != 0)
		return;
	ocu_log(OCU_LOG_WARN, "session.cut", NULL, "why", "denylist", NULL);
	cut(v, VOLUME_DENIED);
}

void session_denied(enum ocu_deny_kind kind, const char *value, void *arg)
{
	struct denial d = {.kind = kind, .value = value};
	if (kind == OCU_DENY_SESSION || kind == OCU_DENY_CALLER)
		for_all(arg, deny_one, &d);
}

static void end_one(struct volume *v, const void *arg)
{
	(void)arg;
	cut(v, VOLUME_ENDED);
}

static void settle_one(struct volume *v, const void *arg)
{
	(void)arg;
	settle(v);
}

void session_cut_all(struct broker *b)
{
	for_all(b, end_one, NULL);
	for_all(b, settle_one, NULL);
}
