/*
 * aside: a process of auditd's that sends something of the trail elsewhere. It holds no key of this
 * deployment, reads the trail and its own few files, connects to one port and nowhere else; auditd itself
 * connects to nothing. Between the two there is one page of memory, which auditd does not trust. A process
 * that dies is started again by its keeper; the trail never waits for it.
 */
#ifndef AUDITD_ASIDE_H
#define AUDITD_ASIDE_H

#include <stdbool.h>
#include <stdint.h>

struct aside;
struct aside_page;
struct ocu_daemon;
struct ocu_error;
struct own;
struct store;

#define ASIDE_FILES_MAX 4

struct aside_kind {
	const char *name;  /* its folder in the state folder, and the log's word */
	const char *event; /* "<event>.reached", ".unreachable" and ".refused" in the trail */
	const char *files[ASIDE_FILES_MAX + 1]; /* options that name files it reads; ends with NULL */
	/* Works until the page says stop. folder is the only place it may write. */
	void (*run)(const struct ocu_daemon *d, const char *folder, struct aside_page *page);
	/* For metrics, every tick; durable is the trail's. */
	void (*observe)(const struct aside_page *page, uint64_t durable);
};

/* Starts the process. Before anything is read or started that it should not have: keys, threads, the jail.
 * where (resource of the events) and kind must outlive it. */
int aside_start(struct aside **ret, const struct ocu_daemon *d, const struct aside_kind *kind,
                const char *where, uint16_t port, struct ocu_error *err);
/* From here on it learns what is durable, and its state becomes events and metrics. a may be NULL. */
int aside_watch(struct aside *a, struct store *store, struct own *own, struct ocu_error *err);
/* How far it got, in its own unit. */
uint64_t aside_done(const struct aside *a);
/* Asks whether the other side has `segment` in a way that its local copy may go, and waits for the answer, at
 * most a minute or until *leave. 0 when it may; else why not. The process is believed. */
int aside_ask(struct aside *a, uint64_t segment, const _Atomic bool *leave, struct ocu_error *err);
/* Lets it finish what is durable now, at most for some seconds. a may be NULL. */
void aside_stop(struct aside *a);

#endif
