/* forbid: system calls that this process will never make again. */
#ifndef AUDITD_FORBID_H
#define AUDITD_FORBID_H

struct ocu_error;

/* calls: SCMP_SYS() numbers, ended by -1. They fail with EPERM from here on, in every thread made later. */
int forbid_calls(const int *calls, struct ocu_error *err);
/* This process makes threads and no other process, and ends none. */
int forbid_processes(struct ocu_error *err);

#endif
