/*
 * metrics: one list of families, each a list of series. Registration and rendering take the lock; updates are
 * relaxed atomic adds on a cache line of the series' own. Registering a name twice with different kinds, a
 * bad name or past the bounds is a programming error and aborts.
 */
#include "libocu/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"

#define SERIES_MAX 4096
#define CACHE_LINE 64

enum kind { COUNTER, GAUGE, HISTOGRAM };
static const char *const kind_names[] = {"counter", "gauge", "histogram"};

static const struct {
	uint64_t us;
	const char *le;
} bounds[] = {
    {100, "0.0001"}, {250, "0.00025"}, {500, "0.0005"}, {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},  {2500000, "2.5"}, {5000000, "5"},  {10000000, "10"}, {30000000, "30"}, {60000000, "60"},
};
#define BOUNDS (sizeof bounds / sizeof *bounds)

struct ocu_counter {
	_Alignas(CACHE_LINE) _Atomic uint64_t value;
};

struct ocu_gauge {
	_Alignas(CACHE_LINE) _Atomic int64_t value;
};

struct ocu_histogram {
	_Alignas(
	    CACHE_LINE) _Atomic uint64_t buckets[BOUNDS + 1]; /* each its own count; summed when rendered */
	_Atomic uint64_t sum_us;
};

struct series {
	struct series *next;
	char *labels; /* "" when none */
	union {
		struct ocu_counter counter;
		struct ocu_gauge gauge;
		struct ocu_histogram histogram;
	};
};

struct family {
	struct family *next;
	enum kind kind;
	char *name;
	char *help;
	struct series *series;
	struct series **tail;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct family *families;
static struct family **families_tail = &families;
static unsigned series_count;

static void programming_error(const char *what, const char *name)
{
	fprintf(stderr, "metrics: %s: %s\n", what, name);
	abort();
}

static void *must(void *p)
{
	if (!p)
		programming_error("out of memory", "registry");
	return p;
}

static bool name_ok(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";
	return s[0] && strchr(first, s[0]) && s[strspn(s, rest)] == '\0';
}

static struct family *family_get(enum kind kind, const char *name, const char *help)
{
	for (struct family *f = families; f; f = f->next) {
		if (strcmp(f->name, name) != 0)
			continue;
		if (f->kind != kind)
			programming_error("registered with two kinds", name);
		return f;
	}
	if (!name_ok(name))
		programming_error("not a metric name", name);
	struct family *f = must(calloc(1, sizeof *f));
	*f =
	    (struct family){.kind = kind, .name = must(strdup(name)), .help = must(strdup(help ? help : ""))};
	f->tail = &f->series;
	*families_tail = f;
	families_tail = &f->next;
	return f;
}

static struct series *series_get(enum kind kind, const char *name, const char *labels, const char *help)
{
	labels = labels ? labels : "";
	pthread_mutex_lock(&lock);
	struct family *f = family_get(kind, name, help);
	struct series *s = f->series;
	while (s && strcmp(s->labels, labels) != 0)
		s = s->next;
	if (!s) {
		if (series_count++ >= SERIES_MAX)
			programming_error("too many series", name);
		s = must(aligned_alloc(CACHE_LINE, sizeof *s));
		memset(s, 0, sizeof *s);
		s->labels = must(strdup(labels));
		*f->tail = s;
		f->tail = &s->next;
	}
	pthread_mutex_unlock(&lock);
	return s;
}

struct ocu_counter *ocu_counter(const char *name, const char *labels, const char *help)
{
	return &series_get(COUNTER, name, labels, help)->counter;
}

struct ocu_gauge *ocu_gauge(const char *name, const char *labels, const char *help)
{
	return &series_get(GAUGE, name, labels, help)->gauge;
}

struct ocu_histogram *ocu_histogram(const char *name, const char *labels, const char *help)
{
	return &series_get(HISTOGRAM, name, labels, help)->histogram;
}

void ocu_counter_add(struct ocu_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

uint64_t ocu_counter_value(const struct ocu_counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

void ocu_gauge_set(struct ocu_gauge *g, int64_t v)
{
	atomic_store_explicit(&g->value, v, memory_order_relaxed);
}

void ocu_gauge_add(struct ocu_gauge *g, int64_t n)
{
	atomic_fetch_add_explicit(&g->value, n, memory_order_relaxed);
}

void ocu_histogram_us(struct ocu_histogram *h, uint64_t microseconds)
{
	size_t i = 0;
	while (i < BOUNDS && microseconds > bounds[i].us)
		i++;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, microseconds, memory_order_relaxed);
}

static void render_help(struct ocu_buf *out, const struct family *f)
{
	ocu_buf_printf(out, "# HELP %s ", f->name);
	for (const char *p = f->help; *p; p++) {
		if (*p == '\n')
			ocu_buf_puts(out, "\\n");
		else if (*p == '\\')
			ocu_buf_puts(out, "\\\\");
		else
			ocu_buf_putc(out, *p);
	}
	ocu_buf_printf(out, "\n# TYPE %s %s\n", f->name, kind_names[f->kind]);
}

static void render_plain(struct ocu_buf *out, const struct family *f, const struct series *s)
{
	ocu_buf_puts(out, f->name);
	if (s->labels[0])
		ocu_buf_printf(out, "{%s}", s->labels);
	if (f->kind == COUNTER)
		ocu_buf_printf(out, " %llu\n", (unsigned long long)ocu_counter_value(&s->counter));
	else
		ocu_buf_printf(out, " %lld\n",
		               (long long)atomic_load_explicit(&s->gauge.value, memory_order_relaxed));
}

static void render_histogram(struct ocu_buf *out, const struct family *f, const struct series *s)
{
	const struct ocu_histogram *h = &s->histogram;
	const char *comma = s->labels[0] ? "," : "";
	unsigned long long count = 0;
	for (size_t i = 0; i <= BOUNDS; i++) {
		count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		ocu_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", f->name, s->labels, comma,
		               i < BOUNDS ? bounds[i].le : "+Inf", count);
	}
	unsigned long long us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
	const char *open = s->labels[0] ? "{" : "";
	const char *close = s->labels[0] ? "}" : "";
	ocu_buf_printf(out, "%s_sum%s%s%s %llu.%06llu\n", f->name, open, s->labels, close, us / 1000000,
	               us % 1000000);
	ocu_buf_printf(out, "%s_count%s%s%s %llu\n", f->name, open, s->labels, close, count);
}

int ocu_metrics_render(struct ocu_buf *out)
{
	pthread_mutex_lock(&lock);
	for (const struct family *f = families; f; f = f->next) {
		render_help(out, f);
		for (const struct series *s = f->series; s; s = s->next)
			(f->kind == HISTOGRAM ? render_histogram : render_plain)(out, f, s);
	}
	pthread_mutex_unlock(&lock);
	return out->failed;
}
