/* north_list: what there is: a caller's file systems, and the entries of one. */
#include <stdlib.h>
#include <string.h>

#include "brokerd/broker.h"
#include "brokerd/listing.h"
#include "brokerd/mount.h"
#include "brokerd/north_job.h"
#include "brokerd/registry.h"
#include "libocu/err.h"
#include "libocu/httpd.h"

void north_list(struct job *j)
{
	struct list_query q;
	struct ocu_error err = {0};
	json_t *page = NULL;
	if (header_list_query(&q, ocu_http_query(j->req, "path"), ocu_http_query(j->req, "recursive"),
	                      ocu_http_query(j->req, "limit"), ocu_http_query(j->req, "cursor"), &err) < 0) {
		job_refuse(j, &err);
		return;
	}
	memcpy(j->path, q.path, sizeof j->path);
	path_handle(q.path, strlen(q.path), j->handle);
	if (job_record(j) < 0)
		return;
	int r = listing_page(j->volume->disk.data, &q, &page);
	if (r < 0) {
		job_failed(j, -r);
		return;
	}
	job_leave(j);
	ocu_http_reply_json(j->req, 200, page);
}

static json_t *describe(struct volume *v)
{
	static const char *const states[] = {
	    [VOLUME_ACTIVE] = "active", [VOLUME_DENIED] = "denied", [VOLUME_ENDED] = "ended"};
	struct mount *m = volume_mount(v);
	json_t *o =
	    json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "filesystem_id", v->filesystem_id, "state",
	              states[volume_state(v)], "mounted", m != NULL, "used_bytes",
	              (json_int_t)atomic_load(&v->quota.bytes), "quota_bytes", (json_int_t)v->quota.max_bytes,
	              "used_files", (json_int_t)atomic_load(&v->quota.files), "quota_files",
	              (json_int_t)v->quota.max_files);
	mount_unref(m);
	return o;
}

void north_filesystems(struct job *j)
{
	size_t count;
	if (job_record(j) < 0)
		return;
	struct volume **all = registry_all(j->broker->registry, &count);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		if (strcmp(all[i]->caller, j->caller) == 0)
			json_array_append_new(list, describe(all[i]));
		volume_unref(all[i]);
	}
	free(all);
	ocu_http_reply_json(j->req, 200, json_pack("{s:o}", "filesystems", list));
}
