/*
 * proc_wait: what is asked of a background program after its start. Reads and waits may have to wait for
 * their answer: each is kept with its deadline and answered when the program writes, ends, or the time is up.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/fail.h"
#include "sandboxd/guest/proc.h"
#include "sandboxd/guest/proc_table.h"
#include "sandboxd/guest/spawn.h"

#define READ_MAX (1u << 20)

struct wait {
	struct wait *next;
	struct proc *p;
	uint64_t request, until;
	uint32_t stream; /* 0: for the end; else 1 or 2 */
	uint64_t offset;
	uint32_t max;
};

static struct wait *waits;
static unsigned waiting;

static struct stream *stream_of(const struct proc *p, uint32_t number)
{
	return number == 1 ? p->out : number == 2 ? p->err : NULL;
}

static bool ready(const struct wait *w)
{
	const struct stream *s = stream_of(w->p, w->stream);

	if (w->stream == 0)
		return w->p->exited;
	return s->eof || s->total > w->offset;
}

static void answer_read(const struct wait *w)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__ReadResult res = OCU__AGENT__READ_RESULT__INIT;
	static unsigned char buf[READ_MAX];
	const struct stream *s = stream_of(w->p, w->stream);

	res.offset = w->offset;
	res.data.data = buf;
	res.data.len = stream_read(s, &res.offset, buf, w->max);
	res.dropped = res.offset - w->offset;
	res.eof = s->eof && res.offset + res.data.len >= s->total;
	r.id = w->request;
	r.result_case = OCU__AGENT__REPLY__RESULT_READ;
	r.read = &res;
	channel_reply(&r);
}

static void answer_wait(const struct wait *w)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__WaitResult res = OCU__AGENT__WAIT_RESULT__INIT;

	res.exited = w->p->exited;
	if (res.exited)
		proc_exit_status(w->p, &res.exit_code, &res.signal);
	r.id = w->request;
	r.result_case = OCU__AGENT__REPLY__RESULT_WAIT;
	r.wait = &res;
	channel_reply(&r);
}

static void answer(const struct wait *w)
{
	if (w->stream)
		answer_read(w);
	else
		answer_wait(w);
}

/* Answers and removes those of p (of all when NULL) that are ready or whose time is up. */
static uint64_t sweep(const struct proc *p, uint64_t now)
{
	uint64_t next = 0;

	for (struct wait **at = &waits; *at;) {
		struct wait *w = *at;

		if ((p && w->p != p) || !(ready(w) || now >= w->until)) {
			if (!next || w->until < next)
				next = w->until;
			at = &w->next;
			continue;
		}
		*at = w->next;
		waiting--;
		answer(w);
		free(w);
	}
	return next;
}

void proc_waits_check(struct proc *p)
{
	sweep(p, now_ms());
}

uint64_t proc_waits_tick(uint64_t now)
{
	return sweep(NULL, now);
}

void proc_waits_drop(struct proc *p)
{
	struct fail gone;

	fail_set(&gone, FAIL_NOT_FOUND, "no such program");
	for (struct wait **at = &waits; *at;) {
		struct wait *w = *at;

		if (w->p != p) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		waiting--;
		channel_fail(w->request, &gone);
		free(w);
	}
}

static int enqueue(const struct wait *what, uint32_t wait_ms, struct fail *f)
{
	struct wait *w;

	if (ready(what) || wait_ms == 0) {
		answer(what);
		return 0;
	}
	if (waiting >= PROC_WAITS_MAX)
		return fail_set(f, FAIL_BUSY, "too many reads");
	w = malloc(sizeof *w);
	if (!w)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	*w = *what;
	w->until = now_ms() + wait_ms;
	w->next = waits;
	waits = w;
	waiting++;
	return 0;
}

static struct proc *find(uint32_t id, struct fail *f)
{
	struct proc *p = proc_by_id(id);

	if (!p)
		fail_set(f, FAIL_NOT_FOUND, "no such program");
	return p;
}

static int reply_empty(uint64_t request)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;

	r.id = request;
	channel_reply(&r);
	return 0;
}

int proc_read(uint64_t request, const Ocu__Agent__Read *r, struct fail *f)
{
	struct proc *p = find(r->process_id, f);
	const struct stream *s;

	if (!p)
		return f->code;
	s = stream_of(p, r->stream);
	if (!s)
		return fail_set(f, FAIL_PARAMS, "no such stream");
	if (r->offset > s->total)
		return fail_set(f, FAIL_PARAMS, "the offset is past what was written");
	return enqueue(
	    &(struct wait){.p = p,
	                   .request = request,
	                   .stream = r->stream,
	                   .offset = r->offset,
	                   .max = r->max_bytes > 0 && r->max_bytes < READ_MAX ? r->max_bytes : READ_MAX},
	    r->wait_ms, f);
}

int proc_wait(uint64_t request, const Ocu__Agent__Wait *r, struct fail *f)
{
	struct proc *p = find(r->process_id, f);

	return p ? enqueue(&(struct wait){.p = p, .request = request}, r->wait_ms, f) : f->code;
}

int proc_write(uint64_t request, const Ocu__Agent__Write *r, struct fail *f)
{
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__WriteResult res = OCU__AGENT__WRITE_RESULT__INIT;
	struct proc *p = find(r->process_id, f);
	long n;

	if (!p)
		return f->code;
	n = p->input ? input_put(p->input, r->data.data, r->data.len) : -EPIPE;
	if (n < 0)
		return fail_set(f, n == -EPIPE ? FAIL_WRONG_STATE : FAIL_NO_MEMORY,
		                "the program takes no more input");
	if (r->close && (size_t)n == r->data.len)
		input_end(p->input);
	res.accepted = (uint64_t)n;
	reply.id = request;
	reply.result_case = OCU__AGENT__REPLY__RESULT_WRITE;
	reply.write = &res;
	channel_reply(&reply);
	return 0;
}

int proc_signal(uint64_t request, const Ocu__Agent__Signal *r, struct fail *f)
{
	struct proc *p = find(r->process_id, f);

	if (!p)
		return f->code;
	if (r->signal < 1 || r->signal > (uint32_t)SIGRTMAX)
		return fail_set(f, FAIL_PARAMS, "no such signal");
	if (p->exited)
		return fail_set(f, FAIL_WRONG_STATE, "the program has ended");
	if (kill(-p->pid, (int)r->signal) < 0)
		return fail_errno(f, errno, "signalling", "the program");
	return reply_empty(request);
}

int proc_resize(uint64_t request, const Ocu__Agent__Resize *r, struct fail *f)
{
	struct proc *p = find(r->process_id, f);

	if (!p)
		return f->code;
	if (p->terminal < 0)
		return fail_set(f, FAIL_WRONG_STATE, "the program has no terminal");
	if (r->rows < 1 || r->rows > 1000 || r->cols < 1 || r->cols > 1000)
		return fail_set(f, FAIL_PARAMS, "rows and cols must be 1 to 1000");
	if (spawn_resize(p->terminal, r->rows, r->cols) < 0)
		return fail_errno(f, errno, "resizing", "the terminal");
	return reply_empty(request);
}
