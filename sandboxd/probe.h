/*
 * probe: what this host has for sandboxes, and what it lacks: each need of sandboxd is tried for real, in a
 * process of its own that leaves nothing behind. Takes at most two seconds.
 */
#ifndef OCU_SANDBOXD_PROBE_H
#define OCU_SANDBOXD_PROBE_H

struct ocu_conf;

/* One line a need on standard output. 0 when nothing lacks, else 1. */
int probe_host(const struct ocu_conf *c);

#endif
