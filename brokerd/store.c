/* store: the folder of volumes. */
#include "brokerd/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/confine.h"
#include "brokerd/scrub.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"

#define TRASH "trash"
#define STAMP "stamp"

struct store {
	int root;
	int trash;
	pthread_mutex_t sweeping; /* one sweep at a time */
};

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* mkdir when missing, then a readable descriptor. *ret_made tells whether it was missing. */
static int sub_folder(int dir, const char *name, mode_t mode, bool *ret_made, struct ocu_error *err)
{
	*ret_made = mkdirat(dir, name, mode) == 0;
	if (!*ret_made && errno != EEXIST)
		return ocu_error_errno(err, errno == ENOSPC ? OCU_E_NO_SPACE : OCU_E_IO, errno, "making %s",
		                       name);
	int fd = confine_list(dir, name);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_IO, -fd, "opening %s", name);
	/* The umask is not to decide what a guest sees. */
	if (*ret_made && fchmod(fd, mode) < 0) {
		int e = errno;
		close(fd);
		return ocu_error_errno(err, OCU_E_IO, e, "mode of %s", name);
	}
	return fd;
}

int store_open(struct store **ret, const char *path, struct ocu_error *err)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return ocu_error_set(err, OCU_E_NOMEM, "store");
	bool made;
	pthread_mutex_init(&s->sweeping, NULL);
	s->trash = -1;
	s->root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->root < 0 || faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0) {
		int e = errno;
		store_close(s);
		return ocu_error_errno(err, OCU_E_IO, e, "volume_dir %s", path);
	}
	s->trash = sub_folder(s->root, TRASH, 0700, &made, err);
	if (s->trash < 0) {
		int r = s->trash;
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->root >= 0)
		close(s->root);
	if (s->trash >= 0)
		close(s->trash);
	pthread_mutex_destroy(&s->sweeping);
	free(s);
}

int store_fd(const struct store *s)
{
	return s->root;
}

/* The stamp says when the volume was last in use, and by whom: after a restart it is the only one who knows.
 */
static int write_stamp(int dir, const char *session_id, struct ocu_error *err)
{
	OCU_CLOSE int fd = confine_open(dir, STAMP, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return ocu_error_errno(err, fd == -ENOSPC ? OCU_E_NO_SPACE : OCU_E_IO, -fd, "volume stamp");
	ssize_t len = (ssize_t)strlen(session_id);
	if (write(fd, session_id, (size_t)len) != len)
		return ocu_error_errno(err, errno == ENOSPC ? OCU_E_NO_SPACE : OCU_E_IO, errno,
		                       "volume stamp");
	return 0;
}

static bool stamp_path(const char *filesystem_id, char out[OCU_ID_MAX + sizeof "/" STAMP])
{
	if (!ocu_id_valid(OCU_ID_FILESYSTEM, filesystem_id))
		return false;
	snprintf(out, OCU_ID_MAX + sizeof "/" STAMP, "%.*s/" STAMP, OCU_ID_MAX - 1, filesystem_id);
	return true;
}

void store_touch(struct store *s, const char *filesystem_id)
{
	char path[OCU_ID_MAX + sizeof "/" STAMP];
	if (stamp_path(filesystem_id, path))
		utimensat(s->root, path, NULL, AT_SYMLINK_NOFOLLOW);
}

/* The session a volume was last registered for; "" when it does not say. */
static void read_stamp(struct store *s, const char *filesystem_id, char session_id[OCU_ID_MAX])
{
	char path[OCU_ID_MAX + sizeof "/" STAMP];
	memset(session_id, 0, OCU_ID_MAX);
	if (!stamp_path(filesystem_id, path))
		return;
	OCU_CLOSE int fd = confine_open(s->root, path, O_RDONLY, 0);
	if (fd < 0 || read(fd, session_id, OCU_ID_MAX - 1) <= 0 || !ocu_id_valid(OCU_ID_SESSION, session_id))
		session_id[0] = 0;
}

struct search {
	struct store *store;
	const char *session_id;
	char *found;
};

static void match_session(void *arg, const char *filesystem_id, int64_t age_s)
{
	(void)age_s;
	struct search *q = arg;
	char session_id[OCU_ID_MAX];
	read_stamp(q->store, filesystem_id, session_id);
	if (strcmp(session_id, q->session_id) != 0)
		return;
	memcpy(q->found, filesystem_id, strlen(filesystem_id) + 1);
}

int store_find_session(struct store *s, const char *session_id, char filesystem_id[OCU_ID_MAX])
{
	struct search q = {.store = s, .session_id = session_id, .found = filesystem_id};
	struct ocu_error err;
	filesystem_id[0] = 0;
	int r = store_each(s, match_session, &q, &err);
	return r < 0 ? r : filesystem_id[0] ? 0 : OCU_E_NOT_FOUND;
}

int store_volume_open(struct store *s, const char *filesystem_id, const char *session_id,
                      struct store_volume *ret, struct ocu_error *err)
{
	bool made, data_made;
	uint64_t stale = 0;
	if (!ocu_id_valid(OCU_ID_FILESYSTEM, filesystem_id))
		return ocu_error_set(err, OCU_E_PARAMS, "not a filesystem id");
	OCU_CLOSE int dir = sub_folder(s->root, filesystem_id, 0700, &made, err);
	if (dir < 0)
		return dir;
	int r = write_stamp(dir, session_id, err);
	if (r < 0)
		return r;
	/* Uploads that a crash interrupted were never acknowledged. */
	r = scrub_tree(dir, "staging", 0, &stale);
	if (r < 0)
		return ocu_error_errno(err, OCU_E_IO, -r, "emptying staging");
	OCU_CLOSE int data = sub_folder(dir, "data", 0755, &data_made, err);
	if (data < 0)
		return data;
	int staging = sub_folder(dir, "staging", 0700, &made, err);
	if (staging < 0)
		return staging;
	*ret = (struct store_volume){.data = ocu_steal_fd(&data), .staging = staging, .existed = !data_made};
	return 0;
}

void store_volume_close(struct store_volume *v)
{
	if (v->data >= 0)
		close(v->data);
	if (v->staging >= 0)
		close(v->staging);
	v->data = v->staging = -1;
}

int store_discard(struct store *s, const char *filesystem_id, char trash_name[STORE_TRASH_MAX],
                  struct ocu_error *err)
{
	char session_id[OCU_ID_MAX], unique[OCU_ID_MAX];
	if (!ocu_id_valid(OCU_ID_FILESYSTEM, filesystem_id))
		return ocu_error_set(err, OCU_E_PARAMS, "not a filesystem id");
	read_stamp(s, filesystem_id, session_id);
	ocu_id_new("", unique);
	snprintf(trash_name, STORE_TRASH_MAX, "%s.%s.%s", filesystem_id, session_id, unique);
	if (renameat(s->root, filesystem_id, s->trash, trash_name) == 0 && fsync(s->trash) == 0)
		return 0;
	if (errno == ENOENT)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such volume");
	return ocu_error_errno(err, OCU_E_IO, errno, "discarding a volume");
}

/* One part of a name in the trash, up to the next dot; the character after it. */
static const char *name_part(const char *p, char out[OCU_ID_MAX])
{
	size_t n = strcspn(p, ".");
	snprintf(out, OCU_ID_MAX, "%.*s", (int)(n < OCU_ID_MAX ? n : 0), p);
	return p + n + (p[n] == '.');
}

/* Whose it was; false for a name that does not say. */
static bool trash_owner(const char *trash_name, char filesystem_id[OCU_ID_MAX], char session_id[OCU_ID_MAX])
{
	name_part(name_part(trash_name, filesystem_id), session_id);
	return ocu_id_valid(OCU_ID_FILESYSTEM, filesystem_id) &&
	       (!*session_id || ocu_id_valid(OCU_ID_SESSION, session_id));
}

/* An unlink that a power failure could take back is none to tell of. */
static int settle_removal(struct store *s, const char *trash_name)
{
	OCU_CLOSE int fd = confine_list(s->trash, trash_name);
	if (fd < 0)
		return fd;
	return fsync(fd) < 0 ? -errno : 0;
}

static int scrub_one(struct store *s, const char *trash_name, struct store_sweep *w, struct ocu_error *err)
{
	char filesystem_id[OCU_ID_MAX], session_id[OCU_ID_MAX];
	int r = scrub_inside(s->trash, trash_name, w->deadline, &w->removed);
	if (r == -ETIME)
		return ocu_error_set(err, OCU_E_TIMEOUT, "trash is not empty yet");
	if (r == 0)
		r = settle_removal(s, trash_name);
	if (r == -ENOENT) /* another thread was first */
		return 0;
	if (r < 0)
		return ocu_error_errno(err, OCU_E_IO, -r, "emptying the trash");
	if (w->gone && trash_owner(trash_name, filesystem_id, session_id)) {
		r = w->gone(w->arg, filesystem_id, session_id, err);
		if (r < 0)
			return r;
	}
	if (unlinkat(s->trash, trash_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return ocu_error_errno(err, OCU_E_IO, errno, "emptying the trash");
	return 0;
}

static int begin_sweep(struct store *s, const struct store_sweep *w, struct ocu_error *err)
{
	const struct timespec until = {.tv_sec = (time_t)(w->deadline / 1000),
	                               .tv_nsec = (long)(w->deadline % 1000) * 1000000};
	int e = w->deadline ? pthread_mutex_clocklock(&s->sweeping, CLOCK_MONOTONIC, &until)
	                    : pthread_mutex_lock(&s->sweeping);
	return e ? ocu_error_set(err, OCU_E_TIMEOUT, "another removal is under way") : 0;
}

int store_scrub(struct store *s, const char *trash_name, struct store_sweep *w, struct ocu_error *err)
{
	int r = begin_sweep(s, w, err);
	if (r < 0)
		return r;
	r = scrub_one(s, trash_name, w, err);
	pthread_mutex_unlock(&s->sweeping);
	return r;
}

static DIR *list_trash(struct store *s)
{
	int fd = confine_open(s->trash, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

static int sweep(struct store *s, struct store_sweep *w, struct ocu_error *err)
{
	OCU_CLEANUP(close_dir) DIR *d = list_trash(s);
	int failed = 0; /* the first; that there was no time is told rather than what stays in any case */
	if (!d)
		return ocu_error_set(err, OCU_E_IO, "trash cannot be read");
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		struct ocu_error why = {0};
		int r = scrub_one(s, e->d_name, w, &why);
		if (r < 0 && (failed == 0 || r == OCU_E_TIMEOUT))
			failed = ocu_error_set(err, r, "%s", why.text);
		/* Without auditd the next would wait as long for its record. */
		if (r == OCU_E_TIMEOUT || r == OCU_E_AUDIT)
			break;
	}
	return failed;
}

int store_empty_trash(struct store *s, struct store_sweep *w, struct ocu_error *err)
{
	int r = begin_sweep(s, w, err);
	if (r < 0)
		return r;
	r = sweep(s, w, err);
	pthread_mutex_unlock(&s->sweeping);
	return r;
}

int store_find_trash(struct store *s, const char *session_id, char trash_name[STORE_TRASH_MAX])
{
	OCU_CLEANUP(close_dir) DIR *d = list_trash(s);
	char filesystem_id[OCU_ID_MAX], owner[OCU_ID_MAX];
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!trash_owner(e->d_name, filesystem_id, owner) || strcmp(owner, session_id) != 0 ||
		    strlen(e->d_name) >= STORE_TRASH_MAX)
			continue;
		memcpy(trash_name, e->d_name, strlen(e->d_name) + 1);
		return 0;
	}
	return d ? OCU_E_NOT_FOUND : OCU_E_IO;
}

int store_each(struct store *s, void (*each)(void *arg, const char *filesystem_id, int64_t age_s), void *arg,
               struct ocu_error *err)
{
	int fd = confine_open(s->root, ".", O_RDONLY | O_DIRECTORY, 0);
	OCU_CLEANUP(close_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return ocu_error_set(err, OCU_E_IO, "volume_dir cannot be read");
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		char stamp[OCU_ID_MAX + sizeof "/" STAMP];
		if (!stamp_path(e->d_name, stamp))
			continue;
		int64_t age = INT64_MAX;
		if (fstatat(s->root, stamp, &st, AT_SYMLINK_NOFOLLOW) == 0)
			age = ocu_wall_s() - (int64_t)st.st_mtim.tv_sec;
		each(arg, e->d_name, age);
	}
	return 0;
}
