/*
 * north_job: one request of the files API while it is being answered. admit makes it (who, which file system,
 * what path, how much), a worker runs it; it must not be touched after the answer.
 */
#ifndef BROKERD_NORTH_JOB_H
#define BROKERD_NORTH_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "brokerd/evidence.h"
#include "brokerd/north_turns.h"
#include "brokerd/path.h"
#include "brokerd/volume.h"
#include "libocu/err.h"

struct broker;
struct north;
struct ocu_http_req;

#define TOKEN_ID_MAX 128

struct job {
	struct north *north;
	struct broker *broker;
	struct ocu_http_req *req;
	void (*run)(struct job *j);
	struct turn turn;
	enum file_op op;
	char caller[VOLUME_CALLER_MAX];
	char token_id[TOKEN_ID_MAX + 1];
	struct volume *volume;         /* referenced; NULL for the list of file systems */
	bool inside;                   /* volume_enter() was called */
	bool counted;                  /* rate_enter() was called */
	char path[PATH_NORTH_MAX + 1]; /* checked; "" the root */
	char handle[PATH_HANDLE_MAX];  /* the same as evidence text */
	int64_t bytes;                 /* for the event; BYTES_UNKNOWN */
	int denied;                    /* what job_allowed() said last, when it was no */
	struct ocu_error refused;      /* at admission, and still to be answered; code 0: it was not */
	struct reader reading;         /* the file that is sent */
	LIST_ENTRY(job) sent;          /* see north_sending.h */
	bool sending;
};

/* Whether what admitted it still holds: nothing of it is denied, the file system is there. For before each
 * step that cannot be taken back; an answer is still to be given, with err. */
int job_allowed(struct job *j, struct ocu_error *err);
/* Records that it is about to be done, when it is still allowed; on failure nothing may be done and the
 * answer has been given. */
int job_record(struct job *j);
/* The same for who has something to take back first: on failure the answer is still to be given, with err. */
int job_commit(struct job *j, struct ocu_error *err);
/* These answer with an error. What is there and what is not is an answer too: one that failed is recorded
 * first, and without the record the answer is that. One that was denied is not: who can be refused at will
 * must not be able to fill the trail, so of those only some have an event (ocu_audit_refused), and it is
 * nobody's to wait for. Such an answer depends on who asks and when, never on what is there.
 *
 * Denied when it was a decision, failed otherwise. */
void job_refuse(struct job *j, struct ocu_error *err);
/* The same for a failed system call. */
void job_failed(struct job *j, int sys_errno);
/* An error body with a status that the table does not give this reason. Recorded as failed. */
void job_status(struct job *j, int status, int code, const char *text);
/* Takes bytes of the caller's rate: 0, or answered. */
int job_bytes(struct job *j, uint64_t bytes);
/* The same once it is too late to refuse. */
void job_spend(struct job *j, uint64_t bytes);
/* Out of the volume: the rest is only talk with the client. */
void job_leave(struct job *j);
/* The same, and the talk takes as long as the client likes: it is cut when it is not allowed any more. */
void job_send(struct job *j);

/* Cuts the connection in the middle of the answer, and records why. */
void job_cut(struct job *j, const struct ocu_error *why);

/* What the routes do: north_get.c, north_put.c, north_list.c. */
void north_get(struct job *j);
void north_put(struct job *j);
void north_delete(struct job *j);
void north_list(struct job *j);
void north_filesystems(struct job *j);

#endif
