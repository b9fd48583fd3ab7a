/*
 * bucket: files as objects of an S3 bucket, each written once. An object that is there already with the same
 * bytes is done; with others it is never overwritten. The store's certificate must be of the given authority
 * and have the host's name; redirects are not followed. One thread.
 */
#ifndef AUDITD_BUCKET_H
#define AUDITD_BUCKET_H

#include <stdint.h>

struct holding_want;
struct ocu_error;

struct bucket {
	const char *url; /* https://host[:port]/bucket[/prefix], without a slash at the end */
	const char *region;
	const char *access_key, *secret_key; /* files */
	const char *ca;                      /* file of the authorities trusted; "": the system's */
	const char *lock;                    /* "none", "governance" or "compliance" (S3 Object Lock) */
	unsigned days;                       /* that it is locked for, from now */
};

/* The port of such a URL, or OCU_E_CONFIG with what is wrong with it. */
int bucket_url_port(const char *url, struct ocu_error *err);
/* fd, an open file of `size` bytes that nobody changes any more, becomes url/name. 0 when the object is there
 * with these bytes. OCU_E_EXISTS when it is there with others; OCU_E_UNAVAILABLE, OCU_E_DENIED, OCU_E_TIMEOUT
 * and whatever else the store or the network says. Blocks for as long as the file takes at 256 KiB a second,
 * and half a minute. */
int bucket_put(const struct bucket *b, const char *name, int fd, uint64_t size, struct ocu_error *err);
/* Whether url/name can stand for the file (want->size bytes; want->sha256 is filled in meanwhile): asks the
 * store now. 0; OCU_E_NOT_FOUND; what holding_check() says; what the store or the network says. */
int bucket_holds(const struct bucket *b, const char *name, int fd, struct holding_want *want,
                 struct ocu_error *err);

#endif
