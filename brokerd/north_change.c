/* north_change: placing and removing. */
#include "brokerd/north_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/confine.h"
#include "brokerd/mount.h"
#include "brokerd/notify.h"
#include "brokerd/path.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"
#include "libocu/cleanup.h"

#define NOTIFY_MS 1000

/* What the guest's kernel may believe about the path: the first name of it, from the root, whose folder it
 * knows. */
struct believed {
	struct mount *mount; /* referenced, or NULL: nobody believes anything */
	struct node *parent; /* of path's last name, referenced; NULL when the kernel does not know it */
	uint64_t known;      /* deepest folder on the way that it knows */
	char name[PATH_COMPONENT_MAX + 1]; /* the name in that */
};

static void believe(struct volume *v, const char *path, struct believed *b)
{
	*b = (struct believed){.mount = volume_mount(v)};
	if (!b->mount)
		return;
	struct nodes *t = &b->mount->nodes;
	struct node *n = node_get(t, NODE_ROOT);
	for (const char *p = path;;) {
		size_t len = strcspn(p, "/");
		memcpy(b->name, p, len);
		b->name[len] = 0;
		b->known = n->id;
		if (!p[len])
			break;
		struct node *next = node_child(t, n, b->name);
		node_unref(t, n);
		n = next;
		if (!n)
			return;
		p += len + 1;
	}
	b->parent = n;
}

static void tell_kernel(struct believed *b, bool changed)
{
	if (!b->mount)
		return;
	if (changed)
		notify_entry(b->mount, b->known, b->name, NOTIFY_MS);
	node_unref(&b->mount->nodes, b->parent);
	mount_unref(b->mount);
}

/* The name went (or another file took it): bytes, names and table follow. */
static void gone(struct volume *v, struct believed *b, struct serve_victim *victim)
{
	if (b->mount) {
		serve_victim_gone(b->mount, victim);
		return;
	}
	if (S_ISREG(victim->st.st_mode))
		readers_gone(&v->readers, victim->st.st_ino, (uint64_t)victim->st.st_size);
	quota_drop_file(&v->quota);
}

static void kept(struct believed *b, struct serve_victim *victim)
{
	if (b->mount)
		serve_victim_kept(b->mount, victim);
}

/* What stands there; a victim without a node when no mount is attached. */
static int find_victim(struct believed *b, int dir, const char *leaf, struct serve_victim *ret)
{
	return serve_victim(b->mount ? &b->mount->nodes : NULL, b->mount ? b->parent : NULL, dir, leaf, ret);
}

static int make_folder(struct volume *v, int dir, const char *name)
{
	int r = quota_add_file(&v->quota);
	if (r < 0)
		return r;
	r = CONFINE_LENT(dir, mkdirat(dir, name, 0755));
	if (r < 0)
		quota_drop_file(&v->quota);
	return r == -EEXIST ? 0 : r;
}

/* The folder path's last name belongs in, made when missing. */
static int parent_made(struct volume *v, const char *path)
{
	int dir = confine_parent(v->disk.data, path);
	if (dir != -ENOENT)
		return dir;
	dir = confine_dir(v->disk.data, ".");
	for (const char *p = path, *slash; dir >= 0 && (slash = strchr(p, '/')); p = slash + 1) {
		char name[PATH_COMPONENT_MAX + 1];
		memcpy(name, p, (size_t)(slash - p));
		name[slash - p] = 0;
		int next = confine_dir(dir, name);
		if (next == -ENOENT) {
			next = make_folder(v, dir, name);
			next = next < 0 ? next : confine_dir(dir, name);
		}
		close(dir);
		dir = next;
	}
	return dir;
}

/* The folder is on disk before anyone is told. */
static int keep_folder(int dir)
{
	OCU_CLOSE int fd = confine_list(dir, ".");
	return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

static int place_locked(struct volume *v, struct believed *b, const char *staged, const char *path,
                        change_check *check, void *arg, struct placed *ret)
{
	const char *leaf = path + path_leaf(path);
	struct serve_victim victim = {.pin = -1};
	OCU_CLOSE int dir = confine_parent(v->disk.data, path);
	int r = dir < 0 ? dir : find_victim(b, dir, leaf, &victim);
	ret->replaced = r == 0;
	if (r < 0 && r != -ENOENT)
		return r;
	r = check(ret->replaced ? &victim.st : NULL, arg);
	if (r == 0 && ret->replaced && !S_ISREG(victim.st.st_mode))
		r = S_ISDIR(victim.st.st_mode) ? -EISDIR : -ELOOP;
	if (r == 0 && dir < 0) {
		dir = parent_made(v, path);
		r = dir < 0 ? dir : 0;
	}
	if (r == 0)
		r = CONFINE_LENT(
		    dir, renameat2(v->disk.staging, staged, dir, leaf, ret->replaced ? 0 : RENAME_NOREPLACE));
	ret->there = r == 0;
	if (ret->there && ret->replaced)
		gone(v, b, &victim);
	else
		kept(b, &victim);
	if (r == 0)
		r = confine_stat(dir, leaf, &ret->st);
	return r < 0 ? r : keep_folder(dir);
}

int change_place(struct volume *v, const char *staged, const char *path, change_check *check, void *arg,
                 struct placed *ret)
{
	struct believed b;
	*ret = (struct placed){0};
	int r = quota_add_file(&v->quota);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&v->tree);
	believe(v, path, &b);
	r = place_locked(v, &b, staged, path, check, arg, ret);
	pthread_rwlock_unlock(&v->tree);
	if (!ret->there)
		quota_drop_file(&v->quota);
	tell_kernel(&b, ret->there);
	return r;
}

static int remove_locked(struct volume *v, struct believed *b, const char *path, change_check *check,
                         void *arg)
{
	const char *leaf = path + path_leaf(path);
	struct serve_victim victim = {.pin = -1};
	OCU_CLOSE int dir = confine_parent(v->disk.data, path);
	int r = dir < 0 ? dir : find_victim(b, dir, leaf, &victim);
	if (r < 0)
		return r;
	r = check(&victim.st, arg);
	if (r == 0)
		r = CONFINE_LENT(dir, unlinkat(dir, leaf, S_ISDIR(victim.st.st_mode) ? AT_REMOVEDIR : 0));
	if (r == 0)
		gone(v, b, &victim);
	else
		kept(b, &victim);
	return r;
}

int change_remove(struct volume *v, const char *path, change_check *check, void *arg)
{
	struct believed b;
	pthread_rwlock_wrlock(&v->tree);
	believe(v, path, &b);
	int r = remove_locked(v, &b, path, check, arg);
	pthread_rwlock_unlock(&v->tree);
	tell_kernel(&b, r == 0);
	return r;
}
