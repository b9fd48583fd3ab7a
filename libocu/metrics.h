/*
 * metrics: the registry, rendered as Prometheus text format 0.0.4. Register at start, then update without
 * locks. Handles live for the process. Labels are fixed at registration: one handle per label set, so no
 * label value ever comes from a peer. A bad name, one name with two kinds, or more than 4096 series are
 * programming errors: abort.
 */
#ifndef OCU_METRICS_H
#define OCU_METRICS_H

#include <stdint.h>

struct ocu_buf;
struct ocu_counter;
struct ocu_gauge;
struct ocu_histogram;

/* labels: "tool=\"bash_tool\",outcome=\"ok\"" or NULL. The same name and labels give the same handle. Never
 * NULL. */
struct ocu_counter *ocu_counter(const char *name, const char *labels, const char *help);
struct ocu_gauge *ocu_gauge(const char *name, const char *labels, const char *help);
struct ocu_histogram *ocu_histogram(const char *name, const char *labels,
                                    const char *help); /* seconds, 100 us .. 60 s */
void ocu_counter_add(struct ocu_counter *c, uint64_t n);
void ocu_gauge_set(struct ocu_gauge *g, int64_t v);
void ocu_gauge_add(struct ocu_gauge *g, int64_t n);
void ocu_histogram_us(struct ocu_histogram *h, uint64_t microseconds);
int ocu_metrics_render(struct ocu_buf *out);
uint64_t ocu_counter_value(const struct ocu_counter *c);

#endif
