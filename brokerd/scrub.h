/*
 * scrub: removing a tree and counting one. Both are iterative and bounded in descriptors and memory however
 * deep or wide a guest made its tree. Removal flattens: a folder that is not empty is moved up beside the
 * others, so two descriptors suffice for any depth (NFR-SEC-65, NFR-REL-11).
 */
#ifndef BROKERD_SCRUB_H
#define BROKERD_SCRUB_H

#include <stdint.h>

/* Removes everything inside parent/name. Nobody else may be changing it. deadline: ocu_mono_ms() to stop at,
 * 0 never. Adds to *count what was removed. 0, also when there is no such folder; -ETIME with the rest left
 * for another call; or -errno, with everything gone that could be removed. */
int scrub_inside(int parent, const char *name, uint64_t deadline, uint64_t *count);
/* The same, and then the folder. */
int scrub_tree(int parent, const char *name, uint64_t deadline, uint64_t *count);

struct usage {
	uint64_t bytes; /* as quota charges them */
	uint64_t files;
};
/* Counts what is below root. -ENAMETOOLONG when it is deeper than PATH_DEPTH_MAX. */
int scrub_usage(int root, struct usage *ret);

#endif
