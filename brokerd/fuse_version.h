/*
 * fuse_version: the differences between libfuse 3.14 (Debian 12) and 3.17 (Debian 13). Every file that uses
 * libfuse includes it through this header.
 */
#ifndef BROKERD_FUSE_VERSION_H
#define BROKERD_FUSE_VERSION_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>
#include <stdint.h>

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
/* Flags outgrew 32 bits: they are set through functions. */
static inline void fuse_want(struct fuse_conn_info *conn, uint64_t flag)
{
	fuse_set_feature_flag(conn, flag);
}

static inline void fuse_reject(struct fuse_conn_info *conn, uint64_t flag)
{
	fuse_unset_feature_flag(conn, flag);
}
#else
static inline void fuse_want(struct fuse_conn_info *conn, uint64_t flag)
{
	conn->want |= conn->capable & (unsigned)flag;
}

static inline void fuse_reject(struct fuse_conn_info *conn, uint64_t flag)
{
	conn->want &= ~(unsigned)flag;
}
#endif

#endif
