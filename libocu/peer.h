/* peer: the names of the components and how they are written as SPIFFE ids. */
#ifndef OCU_PEER_H
#define OCU_PEER_H

#include <stdint.h>

#define OCU_COMPONENTS(X)                                                                                    \
	X(GATEWAY, "gateway")                                                                                \
	X(OPERATORD, "operatord")                                                                            \
	X(BROKERD, "brokerd") X(SANDBOXD, "sandboxd") X(EGRESSD, "egressd") X(AUDITD, "auditd")

enum ocu_component {
	OCU_COMP_NONE = 0,
#define X(id, name) OCU_COMP_##id,
	OCU_COMPONENTS(X)
#undef X
	    OCU_COMP_COUNT
};

#define OCU_PEER(component) (1u << (component))
#define OCU_PEER_ALL        (((1u << OCU_COMP_COUNT) - 1) & ~1u)
#define OCU_SPIFFE_MAX      128
#define OCU_INSTANCE_MAX    64

struct ocu_error;

/* Who is on the other end, proven by its certificate. */
struct ocu_peer {
	enum ocu_component component;
	char instance[OCU_INSTANCE_MAX]; /* "" when the id has none */
	char spiffe[OCU_SPIFFE_MAX];     /* spiffe://<trust-domain>/ocu/<component>[/<instance>] */
};

const char *ocu_component_name(enum ocu_component c); /* "none" for anything unknown */
enum ocu_component ocu_component_parse(const char *name);
/* Strict parse; the trust domain must match. OCU_E_PEER_UNKNOWN. */
int ocu_peer_parse(struct ocu_peer *ret, const char *trust_domain, const char *spiffe, struct ocu_error *err);
int ocu_peer_spiffe(const char *trust_domain, enum ocu_component c, const char *instance,
                    char out[OCU_SPIFFE_MAX], struct ocu_error *err);

#endif
