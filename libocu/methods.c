/* methods: proto/methods.h turned into descriptors. */
#include "proto/methods.h"

#include <string.h>

#include "libocu/rpc.h"
#include "proto/audit.pb-c.h"
#include "proto/control.pb-c.h"
#include "proto/denylist.pb-c.h"
#include "proto/edge.pb-c.h"
#include "proto/exec.pb-c.h"
#include "proto/mount.pb-c.h"
#include "proto/session.pb-c.h"

#define X(sym, num, text, who, type)                                                                         \
	const struct ocu_rpc_method ocu_m_##sym = {                                                          \
	    .id = (num),                                                                                     \
	    .name = (text),                                                                                  \
	    .peers = (who),                                                                                  \
	    .request = &type##_request__descriptor,                                                          \
	    .reply = &type##_reply__descriptor,                                                              \
	};
OCU_METHOD_TABLE(X)
#undef X

static const struct ocu_rpc_method *const methods[] = {
#define X(sym, num, text, who, type) &ocu_m_##sym,
    OCU_METHOD_TABLE(X)
#undef X
};

const struct ocu_rpc_method *ocu_method_find(unsigned number)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (methods[i]->id == number)
			return methods[i];
	return NULL;
}

const struct ocu_rpc_method *ocu_method_find_name(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (strcmp(methods[i]->name, name) == 0)
			return methods[i];
	return NULL;
}
