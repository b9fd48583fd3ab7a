/* start: see start.h. */
#include "sandboxd/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "sandboxd/agent.h"
#include "sandboxd/bundle.h"
#include "sandboxd/custodian.h"
#include "sandboxd/ending.h"
#include "sandboxd/evidence.h"
#include "sandboxd/netpool.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"

#define MIB      (1024ull * 1024)
#define TOKEN_MS 10000
#define JWT_MAX  4096

int start_check(struct node *n, const Ocu__Control__StartRequest *q, struct ocu_error *err)
{
	const Ocu__Control__Limits *l = q->limits;

	(void)n;
	if (!ocu_id_valid(OCU_ID_SESSION, q->session_id) ||
	    !ocu_id_valid(OCU_ID_CONTAINER, q->container_name) ||
	    !ocu_id_valid(OCU_ID_FILESYSTEM, q->filesystem_id))
		return ocu_error_set(err, OCU_E_PARAMS,
		                     "session_id, container_name or filesystem_id is none");
	if (strlen(q->caller) >= SESSION_CALLER_MAX || strlen(q->image) > 64 ||
	    strlen(q->session_jwt) > JWT_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "caller, image or session_jwt is too long");
	if (l && ((l->memory_bytes && l->memory_bytes < 16 * MIB) || (l->pids && l->pids < 16) ||
	          (l->scratch_bytes && l->scratch_bytes < MIB) || l->cpu_percent > 100000 || l->pids > 32768))
		return ocu_error_set(err, OCU_E_PARAMS, "limits out of range");
	return 0;
}

static void fill_limits(struct session *s, const Ocu__Control__Limits *l)
{
	const struct ocu_conf *c = s->node->daemon.conf;

	s->limits = (struct session_limits){
	    .memory_bytes =
	        l && l->memory_bytes ? l->memory_bytes : (uint64_t)ocu_conf_int(c, "memory_limit"),
	    .scratch_bytes =
	        l && l->scratch_bytes ? l->scratch_bytes : (uint64_t)ocu_conf_int(c, "scratch_limit"),
	    .cpu_percent = l && l->cpu_percent ? l->cpu_percent : (uint32_t)ocu_conf_int(c, "cpu_percent"),
	    .pids = l && l->pids ? l->pids : (uint32_t)ocu_conf_int(c, "pids_limit"),
	};
	/* Scratch is memory: filling it must end in "no space", not in somebody's death. */
	if (s->limits.scratch_bytes > s->limits.memory_bytes / 2)
		s->limits.scratch_bytes = s->limits.memory_bytes / 2;
}

static int given_up(struct session *s, struct ocu_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (s->stop_asked)
		rc = ocu_error_set(err, OCU_E_CANCELLED, "stopped while it started");
	else if (s->files_lost)
		rc = ocu_error_set(err, OCU_E_UNAVAILABLE, "brokerd ended while the sandbox started");
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* --- files --- */

static int hand_over_files(struct session *s, struct ocu_error *err)
{
	struct node *n = s->node;
	Ocu__Handover__Handover h = OCU__HANDOVER__HANDOVER__INIT;
	/* Closed when this returns: brokerd's copy is the only one, and revoking it is closing it. */
	OCU_CLOSE int fuse = stage_mount_fuse(&n->stage, s->container, err);

	if (fuse < 0)
		return fuse;
	s->files_mounted = true;
	h.session_id = s->id;
	h.kind = OCU__HANDOVER__KIND__FUSE;
	h.guest_uid = s->guest_uid;
	h.guest_ids = BUNDLE_IDS;
	return custodian_hand(n->files, &h, &fuse, 1, err);
}

/* --- network --- */

int start_edge(struct session *s, struct ocu_error *err)
{
	Ocu__Handover__Handover h = OCU__HANDOVER__HANDOVER__INIT;
	int fds[NETNS_SOCKETS];
	int rc = netns_sockets(&s->net, fds, err);

	if (rc)
		return rc;
	h.session_id = s->id;
	h.kind = OCU__HANDOVER__KIND__EDGE;
	rc = custodian_hand(s->node->edge, &h, fds, NETNS_SOCKETS, err);
	for (size_t i = 0; i < NETNS_SOCKETS; i++)
		close(fds[i]);
	if (rc == 0) {
		pthread_mutex_lock(&s->lock);
		s->edge_pending = false;
		pthread_mutex_unlock(&s->lock);
	}
	return rc;
}

/* --- the container --- */

static int write_bundle(struct session *s, struct ocu_error *err)
{
	struct node *n = s->node;
	char rootfs[STAGE_PATH_MAX], workspace[STAGE_PATH_MAX], scratch[STAGE_PATH_MAX],
	    netns[STAGE_PATH_MAX];
	char config[STAGE_PATH_MAX], cgroup[CGROUP_PATH_MAX];
	int rc;

	if ((rc = stage_image(&n->stage, s->image, rootfs, err)) ||
	    (rc = stage_path(&n->stage, s->container, "workspace", workspace, err)) ||
	    (rc = stage_path(&n->stage, s->container, "scratch", scratch, err)) ||
	    (rc = stage_path(&n->stage, s->container, "netns", netns, err)) ||
	    (rc = stage_path(&n->stage, s->container, "config.json", config, err)))
		return rc;
	cgroups_path(&n->cgroups, s->container, cgroup);
	return bundle_write(&(struct bundle){.rootfs = rootfs,
	                                     .agent = n->stage.agent,
	                                     .resolv_conf = n->stage.resolv_conf,
	                                     .workspace = workspace,
	                                     .scratch = scratch,
	                                     .netns = netns,
	                                     .cgroups_path = cgroup,
	                                     .guest_uid = s->guest_uid,
	                                     .memory_bytes = s->limits.memory_bytes,
	                                     .limit_swap = n->limit_swap,
	                                     .limit_tcp = n->limit_tcp,
	                                     .cpu_percent = s->limits.cpu_percent,
	                                     .pids = s->limits.pids,
	                                     .seccomp = n->seccomp},
	                    config, err);
}

static void greeted(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	struct session *s = arg;

	pthread_mutex_lock(&s->lock);
	s->greeted = true;
	if (err)
		s->hello_err = *err;
	else if ((*r)->hello->version != 1)
		ocu_error_set(&s->hello_err, OCU_E_UNSUPPORTED, "the agent speaks version %u",
		              (*r)->hello->version);
	else
		s->landlock_abi = (*r)->hello->landlock_abi;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void nothing_more(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	(void)arg;
	(void)r;
	(void)err;
}

static int await_hello(struct session *s, struct ocu_error *err)
{
	int rc;

	/* The agent's own deadline ends this wait. */
	pthread_mutex_lock(&s->lock);
	while (!s->greeted)
		pthread_cond_wait(&s->changed, &s->lock);
	rc = s->hello_err.code;
	if (rc)
		ocu_error_set(err, rc, "waiting for the agent: %s", s->hello_err.text);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int send_token(struct session *s, const char *jwt, struct ocu_error *err)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Token token = OCU__AGENT__TOKEN__INIT;

	token.session_jwt = (char *)jwt;
	r.op_case = OCU__AGENT__REQUEST__OP_TOKEN;
	r.token = &token;
	return agent_call(s->agent,
	                  &(struct agent_call){.request = &r, .deadline_ms = TOKEN_MS, .done = nothing_more},
	                  NULL, err);
}

/* The pid is the runtime's word: it is believed once the process behind it is seen to be in this sandbox's
 * group. */
static int hold_init(struct session *s, struct ocu_error *err)
{
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "the sandbox's first process");
	if (!cgroup_has(&s->node->cgroups, s->container, s->pid))
		return ocu_error_set(err, OCU_E_IO,
		                     "the sandbox's first process is not in its control group");
	return 0;
}

static int run_container(struct session *s, struct ocu_error *err)
{
	struct node *n = s->node;
	unsigned limit = (unsigned)ocu_conf_ms(n->daemon.conf, "start_timeout");
	struct agent *agent = NULL;
	char dir[STAGE_PATH_MAX];
	int to[2], from[2], rc;

	if ((rc = stage_path(&n->stage, s->container, "", dir, err)))
		return rc;
	if (pipe2(to, O_CLOEXEC | O_NONBLOCK) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "making the control channel");
	if (pipe2(from, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = ocu_error_errno(err, OCU_E_IO, errno, "making the control channel");
		close(to[0]);
		close(to[1]);
		return rc;
	}
	s->contained = true;
	rc = agent_open(&agent, n->agents, from[0], to[1], limit, greeted, ending_lost, s, err);
	pthread_mutex_lock(&s->lock);
	s->agent = agent;
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		rc = runtime_run(&n->runtime, s->container, dir, to[0], from[1], &s->pid, limit, err);
	close(to[0]);
	close(from[1]);
	if (rc == 0)
		rc = hold_init(s, err);
	return rc;
}

/* --- all of it --- */

static json_t *describe(const struct session *s)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i}", "caller", s->caller,
	                 "filesystem_id", s->filesystem, "image", s->image, "runtime", s->node->runtime.name,
	                 "guest_uid", (json_int_t)s->guest_uid, "memory_bytes",
	                 (json_int_t)s->limits.memory_bytes, "scratch_bytes",
	                 (json_int_t)s->limits.scratch_bytes, "cpu_percent", (int)s->limits.cpu_percent,
	                 "pids", (int)s->limits.pids);
}

static int build(struct session *s, const char *trace, struct ocu_error *err)
{
	struct node *n = s->node;
	int rc;

	s->staged = true;
	if ((rc = stage_add(&n->stage, s->container, s->guest_uid, s->limits.scratch_bytes, err)) ||
	    (rc = hand_over_files(s, err)) || (rc = given_up(s, err)))
		return rc;
	if ((rc = netpool_take(n->network, &s->net, err)) ||
	    (rc = stage_bind_netns(&n->stage, s->container, s->net.guest, err)) ||
	    (rc = start_edge(s, err)) || (rc = write_bundle(s, err)) || (rc = given_up(s, err)))
		return rc;
	return evidence_commit(s, &(struct evidence){.action = EVIDENCE_START, .trace = trace}, err);
}

static int bring_up(struct session *s, const char *jwt, const char *trace, struct ocu_error *err)
{
	int rc;

	rc = evidence_commit(
	    s, &(struct evidence){.action = EVIDENCE_CREATE, .trace = trace, .detail = describe(s)}, err);
	if (rc == 0)
		rc = build(s, trace, err);
	if (rc == 0)
		rc = run_container(s, err);
	if (rc == 0)
		rc = await_hello(s, err);
	if (rc == 0 && jwt[0])
		rc = send_token(s, jwt, err);
	return rc ? rc : given_up(s, err);
}

/* STARTING to RUNNING, unless somebody asked for the end meanwhile. */
static bool now_running(struct session *s)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = !s->stop_asked && !s->files_lost && !s->denied && !s->lost;
	if (yes) {
		s->state = SESSION_RUNNING;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return yes;
}

static int add(struct node *n, struct session **ret, const Ocu__Control__StartRequest *q,
               struct ocu_error *err)
{
	char unused[STAGE_PATH_MAX];
	struct session *s;
	const char *image = q->image[0] ? q->image : ocu_conf_str(n->daemon.conf, "default_image");
	int rc = stage_image(&n->stage, image, unused, err);

	if (rc == 0)
		rc = session_add(n->sessions, &s, q->session_id, err);
	if (rc)
		return rc;
	snprintf(s->container, sizeof s->container, "%s", q->container_name);
	snprintf(s->filesystem, sizeof s->filesystem, "%s", q->filesystem_id);
	snprintf(s->caller, sizeof s->caller, "%s", q->caller);
	snprintf(s->image, sizeof s->image, "%s", image);
	fill_limits(s, q->limits);
	*ret = s;
	return 0;
}

int start_sandbox(struct node *n, const Ocu__Control__StartRequest *q, const char *trace,
                  struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	struct session *s = NULL;
	int rc = add(n, &s, q, err);

	if (rc)
		return rc;
	rc = bring_up(s, q->session_jwt, trace, err);
	runtime_reap(&n->runtime);
	if (rc == 0 && !now_running(s))
		rc = ocu_error_set(err, OCU_E_CANCELLED, "stopped while it started");
	if (rc) {
		ocu_counter_add(
		    ocu_counter("ocu_sandboxd_starts_total", "outcome=\"failed\"", "Sandbox starts"), 1);
		ending_take_back(s, err, trace);
	} else {
		ocu_counter_add(ocu_counter("ocu_sandboxd_starts_total", "outcome=\"ok\"", "Sandbox starts"),
		                1);
		ocu_histogram_us(
		    ocu_histogram("ocu_sandboxd_start_seconds", NULL, "Start of a sandbox, agent included"),
		    (ocu_mono_ns() - begin) / 1000);
	}
	session_unref(s);
	return rc;
}
