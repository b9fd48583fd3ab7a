/*
 * init: making a deployment, in steps. Each step makes one thing or finds it there and leaves it alone, so
 * that a second run changes nothing and a run that was interrupted is completed by the next.
 */
#ifndef OCC_INIT_H
#define OCC_INIT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "libocu/peer.h"

struct args;
struct ocu_error;

#define INIT_PATH_MAX 2048

struct init {
	const struct args *args;
	char dir[INIT_PATH_MAX], pki[INIT_PATH_MAX], state[INIT_PATH_MAX], run[INIT_PATH_MAX];
	char split[INIT_PATH_MAX]; /* "" when not asked for */
	const char *trust_domain, *caller;
	long token_ttl_s;
	bool chown;
	uid_t uid[OCU_COMP_COUNT]; /* who each daemon runs as */
	json_t *made, *kept;       /* names of what was made and of what was there */
};

/* Notes what a step found. */
int init_made(struct init *in, const char *name);
int init_kept(struct init *in, const char *name);
int init_path(char *out, size_t size, struct ocu_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* mkdir -p; folders that anybody may pass through. */
int init_folders(const char *path, struct ocu_error *err);

/* The steps of each file. */
int init_keys(struct init *in, struct ocu_error *err);
int init_configs(struct init *in, struct ocu_error *err);
int init_owners(struct init *in, struct ocu_error *err);
int init_caller_token(struct init *in, struct ocu_error *err);
int init_split(struct init *in, struct ocu_error *err);

#endif
