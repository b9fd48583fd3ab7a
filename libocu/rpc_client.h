/* rpc_client: what rpc_client.c (the connection) and rpc_invoke.c (one call) share. Private to rpc. */
#ifndef OCU_RPC_CLIENT_H
#define OCU_RPC_CLIENT_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>

#include "libocu/rpc.h"
#include "libocu/rpc_token.h"

#define OCU_RPC_CONNECT_WAIT_MS 2000 /* how long a call waits for a connection if it says nothing else */

enum ocu_rpc_phase { OCU_RPC_IDLE, OCU_RPC_WAITING, OCU_RPC_SENDING, OCU_RPC_RECEIVING };

/* Room for one call; used again for the next. */
struct ocu_rpc_place {
	struct ocu_rpc_client *client;
	struct ocu_rpc_place *next_free;
	nng_ctx ctx;
	nng_aio *aio;
	enum ocu_rpc_phase phase; /* under the client's lock */
	uint64_t id;              /* of the call; also tells one use of the place from the next */
	const struct ocu_rpc_method *method;
	nng_msg *msg;          /* the request until it is sent, with room for the tail at its end */
	size_t tail;           /* where the tail goes */
	uint64_t end_ms;       /* monotonic */
	uint32_t connect_ms;   /* how long it waits for a connection */
	ocu_rpc_done_fn *done; /* NULL: a thread waits on `answered` */
	void *arg;
	pthread_cond_t answered;
	bool finished;
	int result;     /* of a waiting thread's call */
	nng_msg *reply; /* likewise */
};

struct ocu_rpc_client {
	const struct ocu_identity *identity;
	enum ocu_component peer;
	char instance[OCU_INSTANCE_MAX]; /* "": any */
	char url[256];
	nng_socket socket;
	nng_dialer dialer;
	struct ocu_rpc_minter minter;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* connected, or a call ended */
	uint32_t pipe;          /* id of the connection, 0 when there is none */
	char callee[OCU_SPIFFE_MAX];
	struct ocu_rpc_place **places;
	unsigned nplaces, max_places;
	struct ocu_rpc_place *free;
	unsigned busy; /* calls under way, done callbacks included */
	uint64_t last_id;
	bool closing;
};

/* Ends the calls under way with OCU_E_CANCELLED and refuses new ones; the client is still to be freed. */
void ocu_rpc_client_cancel(struct ocu_rpc_client *c);
/* The aio of every place ends here. */
void ocu_rpc_place_callback(void *place);

#endif
