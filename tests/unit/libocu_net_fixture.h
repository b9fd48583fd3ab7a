/* What the tests of peer-to-peer modules share: a deployment's keys in a folder of the test, and identities.
 */
#ifndef OCU_TEST_NET_FIXTURE_H
#define OCU_TEST_NET_FIXTURE_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/peer.h"
#include "libocu/pki.h"

#define TD "test.ocu"

static inline int net_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline char *net_dir_new(void)
{
	char *dir = strdup("/tmp/ocu-net-test-XXXXXX");

	ck_assert_ptr_nonnull(dir);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	return dir;
}

static inline void net_dir_free(char *dir)
{
	nftw(dir, net_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

static inline void net_issue(const char *dir, enum ocu_component c, const char *instance)
{
	struct ocu_error err = {0};
	struct ocu_pki_cert cert = {.component = c, .instance = instance, .days = 1};

	ck_assert_msg(ocu_pki_issue(dir, TD, &cert, &err) == 0, "%s", err.text);
}

/* A deployment with every component. */
static inline char *net_pki_new(void)
{
	char *dir = net_dir_new();
	struct ocu_error err = {0};

	ck_assert_msg(ocu_pki_make_ca(dir, TD, &err) == 0, "%s", err.text);
	for (unsigned c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++)
		net_issue(dir, (enum ocu_component)c, NULL);
	return dir;
}

static inline struct ocu_identity *net_identity(const char *dir, enum ocu_component c)
{
	struct ocu_identity *id = NULL;
	struct ocu_error err = {0};

	ck_assert_msg(ocu_identity_load(&id, dir, TD, c, &err) == 0, "%s", err.text);
	return id;
}

#endif
