/*
 * What the tests of peer-to-peer modules share: a deployment's keys in a folder of the test, identities good
 * and bad, a server that answers, and raw connections to it.
 */
#ifndef OCU_TEST_NET_FIXTURE_H
#define OCU_TEST_NET_FIXTURE_H

#include <arpa/inet.h>
#include <check.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/peer.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"
#include "proto/audit.pb-c.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"

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

/* --- certificates that the product would never issue --- */

static inline void *net_read_pem(const char *dir, const char *name, bool key)
{
	char path[512];
	FILE *f;
	void *got;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	got = key ? (void *)PEM_read_PrivateKey(f, NULL, NULL, NULL)
	          : (void *)PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	ck_assert_ptr_nonnull(got);
	return got;
}

static inline char *net_bio_text(BIO *bio)
{
	char *data, *copy;
	long len = BIO_get_mem_data(bio, &data);

	copy = strndup(data, (size_t)len);
	ck_assert_ptr_nonnull(copy);
	BIO_free(bio);
	return copy;
}

/* Replaces the identity's certificate by one with this subjectAltName ("URI:a,URI:b", NULL: none) that is
 * valid from now + from_s to now + to_s, signed by the deployment's CA. */
static inline void net_recertify(struct ocu_identity *id, const char *dir, const char *san, long from_s,
                                 long to_s)
{
	EVP_PKEY *ca_key = net_read_pem(dir, "ca.key", true), *key = EVP_EC_gen("P-256");
	X509 *ca = net_read_pem(dir, "ca.pem", false), *x = X509_new();
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	X509_EXTENSION *ext;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
	X509_gmtime_adj(X509_getm_notBefore(x), from_s);
	X509_gmtime_adj(X509_getm_notAfter(x), to_s);
	X509_set_issuer_name(x, X509_get_subject_name(ca));
	X509_set_pubkey(x, key);
	if (san) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
		ck_assert_ptr_nonnull(ext);
		X509_add_ext(x, ext, -1);
		X509_EXTENSION_free(ext);
	}
	ck_assert_int_gt(X509_sign(x, ca_key, EVP_sha256()), 0);
	ck_assert_int_eq(PEM_write_bio_X509(cert_bio, x), 1);
	ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL), 1);
	free(id->cert_pem);
	free(id->key_pem);
	id->cert_pem = net_bio_text(cert_bio);
	id->key_pem = net_bio_text(key_bio);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

/* --- a server that answers --- */

/* exec.Run echoes stdin to stdout; audit.Head says how many were asked; audit.Append takes everything. */
static inline void net_echo(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	const Ocu__Exec__RunRequest *req = (const Ocu__Exec__RunRequest *)m;
	Ocu__Exec__RunReply reply = OCU__EXEC__RUN_REPLY__INIT;

	(void)arg;
	reply.stdout = req->stdin;
	ocu_rpc_reply(call, &reply.base);
}

static inline void net_head(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	Ocu__Audit__HeadReply reply = OCU__AUDIT__HEAD_REPLY__INIT;

	(void)m;
	(void)arg;
	reply.records = 42;
	ocu_rpc_reply(call, &reply.base);
}

static const struct ocu_rpc_entry net_table[] = {
    {&ocu_m_exec_run, net_echo}, {&ocu_m_audit_head, net_head}, {0}};

static inline struct ocu_rpc_server *net_server(const struct ocu_rpc_server_opts *o, char url[64])
{
	struct ocu_rpc_server_opts any = *o;
	struct ocu_rpc_server *s = NULL;
	struct ocu_error err = {0};

	if (!any.request_max)
		any.request_max = OCU_RPC_MESSAGE_MAX;
	ck_assert_msg(ocu_rpc_server_start(&s, &any, &err) == 0, "%s", err.text);
	ck_assert_int_gt(ocu_rpc_server_port(s), 0);
	snprintf(url, 64, "tls+tcp://127.0.0.1:%d", ocu_rpc_server_port(s));
	return s;
}

static inline struct ocu_rpc_client *net_client(const struct ocu_identity *id, const char *url,
                                                enum ocu_component peer)
{
	struct ocu_rpc_client_opts o = {.url = url, .identity = id, .peer = peer};
	struct ocu_rpc_client *c = NULL;
	struct ocu_error err = {0};

	ck_assert_msg(ocu_rpc_client_new(&c, &o, &err) == 0, "%s", err.text);
	return c;
}

/* The same, once it is connected. */
static inline struct ocu_rpc_client *net_connected(const struct ocu_identity *id, const char *url,
                                                   enum ocu_component peer)
{
	struct ocu_rpc_client *c = net_client(id, url, peer);
	struct ocu_error err = {0};

	ck_assert_msg(ocu_rpc_client_wait(c, 60000, &err) == 0, "%s", err.text);
	return c;
}

/* One audit.Head; the result's code. */
static inline int net_call_head(struct ocu_rpc_client *c, uint32_t deadline_ms, struct ocu_error *err)
{
	Ocu__Audit__HeadRequest req = OCU__AUDIT__HEAD_REQUEST__INIT;

	return ocu_rpc_call(c, &ocu_m_audit_head, &req.base, NULL, deadline_ms, "trc_test", err);
}

/* --- raw connections --- */

static inline int net_tcp(int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

/* 1 when the other side closed within the time, whatever it sent before. */
static inline int net_closed_within(int fd, int ms)
{
	uint64_t end = ocu_mono_ms() + (uint64_t)ms;
	char sink[4096];

	for (uint64_t now = ocu_mono_ms(); now < end; now = ocu_mono_ms()) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, (int)(end - now)) > 0 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) <= 0)
			return 1;
	}
	return 0;
}

#endif
