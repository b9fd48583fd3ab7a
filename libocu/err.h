/*
 * err: the error object every fallible function fills, and the one table of error codes.
 *
 * Convention: a function returns 0 or a negative OCU_E code and takes `struct ocu_error *err` last
 * (NULL is allowed). Callers add context as the error travels up; libraries never log; a daemon logs once.
 * The table is also the product's closed vocabulary of reason codes: HTTP headers (x-deny-reason),
 * JSON-RPC error data, audit events, metrics and docs all use the same words. Numbers are stable: they
 * travel in RPC replies.
 */
#ifndef OCU_ERR_H
#define OCU_ERR_H

#include <stddef.h>

/*       number name                 http  jsonrpc  reason_code            text */
#define OCU_ERROR_TABLE(X)                                                                                   \
	X(1, INTERNAL, 500, -32603, "internal_error", "internal error")                                      \
	X(2, NOMEM, 503, -32603, "out_of_memory", "out of memory")                                           \
	X(3, IO, 500, -32603, "io_error", "input/output error")                                              \
	X(4, PARSE, 400, -32700, "parse_error", "malformed input")                                           \
	X(5, INVALID, 400, -32600, "invalid_request", "invalid request")                                     \
	X(6, PARAMS, 400, -32602, "invalid_params", "invalid parameters")                                    \
	X(7, UNKNOWN_FIELD, 400, -32602, "unknown_field", "unknown field")                                   \
	X(8, UNKNOWN_METHOD, 404, -32601, "unknown_method", "unknown method")                                \
	X(9, TOO_LARGE, 413, -32600, "too_large", "too large")                                               \
	X(10, NOT_FOUND, 404, -32002, "not_found", "not found")                                              \
	X(11, EXISTS, 409, -32000, "already_exists", "already exists")                                       \
	X(12, STATE, 409, -32000, "wrong_state", "not possible in this state")                               \
	X(13, BUSY, 503, -32000, "busy", "busy, try again")                                                  \
	X(14, TIMEOUT, 504, -32000, "timeout", "timed out")                                                  \
	X(15, UNAVAILABLE, 503, -32000, "unavailable", "a required component is unavailable")                \
	X(16, CANCELLED, 499, -32000, "cancelled", "cancelled")                                              \
	X(17, CONFIG, 500, -32603, "bad_configuration", "bad configuration")                                 \
	X(18, UNSUPPORTED, 501, -32000, "unsupported", "not supported")                                      \
	X(19, RATE, 429, -32000, "rate_limited", "too many requests")                                        \
	X(20, QUOTA, 429, -32000, "quota_exceeded", "quota exceeded")                                        \
	X(21, NO_SPACE, 507, -32000, "no_space", "no space left")                                            \
	X(30, UNAUTHENTICATED, 401, -32001, "unauthenticated", "authentication required")                    \
	X(31, TOKEN_MALFORMED, 401, -32001, "token_malformed", "malformed token")                            \
	X(32, TOKEN_ALG, 401, -32001, "token_algorithm", "token algorithm not accepted")                     \
	X(33, TOKEN_KEY, 401, -32001, "token_unknown_key", "token signed with an unknown key")               \
	X(34, TOKEN_SIGNATURE, 401, -32001, "token_bad_signature", "token signature does not verify")        \
	X(35, TOKEN_EXPIRED, 401, -32001, "token_expired", "token expired")                                  \
	X(36, TOKEN_AUDIENCE, 401, -32001, "token_audience", "token is for another audience")                \
	X(37, TOKEN_ISSUER, 401, -32001, "token_issuer", "token is from an issuer that is not accepted")     \
	X(38, TOKEN_REVOKED, 401, -32001, "token_revoked", "token was revoked")                              \
	X(39, TOKEN_CLAIM, 401, -32001, "token_claim", "token lacks a required claim")                       \
	X(50, DENIED, 403, -32003, "denied", "not permitted")                                                \
	X(51, PEER_DENIED, 403, -32003, "peer_not_permitted", "this peer may not send this message")         \
	X(52, PEER_UNKNOWN, 403, -32003, "peer_unknown", "peer identity not accepted")                       \
	X(53, SESSION_DENIED, 403, -32003, "session_denylisted", "the session was stopped by an operator")   \
	X(54, CALLER_DENIED, 403, -32003, "caller_denylisted", "the caller is denied")                       \
	X(55, ORIGIN, 403, -32003, "origin_not_allowed", "Origin or Host not allowed")                       \
	X(56, POLICY, 403, -32003, "policy_denied", "denied by policy")                                      \
	X(57, SESSION_GONE, 404, -32004, "session_gone", "the session has ended")                            \
	X(58, AUDIT, 503, -32005, "audit_unavailable",                                                       \
	  "the audit trail cannot be written, so nothing is done")                                           \
	X(59, STALE_DENYLIST, 503, -32000, "denylist_stale", "the denylist cannot be refreshed")             \
	X(60, TIER, 403, -32003, "tier_not_permitted", "this runtime tier is not permitted for the profile") \
	X(70, EGRESS_DENY_ALL, 403, -32003, "egress_deny_all", "no destination is allowed")                  \
	X(71, EGRESS_DEST, 403, -32003, "destination_not_allowed",                                           \
	  "the destination is not on the allow-list")                                                        \
	X(72, EGRESS_PORT, 403, -32003, "port_not_allowed", "the port is not allowed for this destination")  \
	X(73, EGRESS_ADDRESS, 403, -32003, "address_not_allowed",                                            \
	  "the name resolves to a forbidden address")                                                        \
	X(74, EGRESS_RAW_ADDRESS, 403, -32003, "address_not_named", "destinations are reached by name only") \
	X(75, EGRESS_SNI, 403, -32003, "sni_mismatch", "the TLS server name is not the destination")         \
	X(76, EGRESS_HOST, 403, -32003, "host_mismatch", "the Host header is not the destination")           \
	X(77, EGRESS_RESOLVE, 502, -32000, "resolve_failed", "the name could not be resolved")               \
	X(78, EGRESS_CONNECT, 502, -32000, "connect_failed", "the destination could not be reached")         \
	X(79, EGRESS_PROTOCOL, 400, -32000, "protocol_error", "malformed protocol data")                     \
	X(80, EGRESS_LIMIT, 429, -32000, "connection_limit", "too many connections")                         \
	X(90, CHAIN_BROKEN, 500, -32000, "chain_broken", "the audit trail does not verify")

enum ocu_err {
	OCU_OK = 0,
#define X(num, name, http, rpc, reason, text) OCU_E_##name = -(num),
	OCU_ERROR_TABLE(X)
#undef X
};

#define OCU_ERROR_TEXT_MAX 512

/* Filled by a failing function; never allocates. `text` is bounded and safe to log; what reaches a client is
 * `ocu_err_text(code)` or a text the handler chose, never a path, host or session id. */
struct ocu_error {
	int code;      /* negative OCU_E code, 0 when unset */
	int sys_errno; /* errno of the failing system call, 0 when none */
	char text[OCU_ERROR_TEXT_MAX];
};

/* Set err and return code, so that `return ocu_error_set(err, OCU_E_PARSE, "line %d", n);` reads well. */
int ocu_error_set(struct ocu_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a failed system call: appends strerror(sys_errno) and records it. */
int ocu_error_errno(struct ocu_error *err, int code, int sys_errno, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__ /* They return the code they are given, which is what its path analysis needs to   \
                             know. */
#define ocu_error_set(err, code, ...)        ((void)(ocu_error_set)(err, code, __VA_ARGS__), (code))
#define ocu_error_errno(err, code, sys, ...) ((void)(ocu_error_errno)(err, code, sys, __VA_ARGS__), (code))
#endif
/* Prefix context: "reading x: <old text>". Returns the error's code; OCU_E_INTERNAL when err is NULL or
 * unset, so a caller that has the code already returns that one. */
int ocu_error_add(struct ocu_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Table lookups; an unknown code reads as INTERNAL. Never NULL. */
const char *ocu_err_text(int code);
const char *ocu_err_reason(int code);
const char *ocu_err_name(int code);
int ocu_err_http(int code);
int ocu_err_jsonrpc(int code);
int ocu_err_from_reason(const char *reason); /* code, or 0 when no such reason */
int ocu_err_known(int code);                 /* 1 when the code is in the table */

#endif
