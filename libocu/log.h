/*
 * log: the operational log, one JSON line to stderr: time, level, component, event, trace_id, then the
 * caller's fields. Never a secret, token, command line or file content. Only daemons log; libocu does not
 * (its exceptions, the HTTP and RPC layers, report through callbacks). Lines are bounded at 4 KiB and
 * written by one write(2): a value is cut at 1 KiB, a field that does not fit is left out, and the line then
 * says "truncated":true.
 */
#ifndef OCU_LOG_H
#define OCU_LOG_H

enum ocu_log_level { OCU_LOG_DEBUG, OCU_LOG_INFO, OCU_LOG_WARN, OCU_LOG_ERROR };

void ocu_log_init(const char *component, enum ocu_log_level level);
int ocu_log_level_parse(const char *s, enum ocu_log_level *ret); /* "debug" "info" "warn" "error" */

/* Fields are name/value string pairs ended by NULL: ocu_log(OCU_LOG_INFO, "session.created", trace,
 * "profile", p, NULL). A NULL value is skipped. trace may be NULL. */
void ocu_log(enum ocu_log_level level, const char *event, const char *trace_id, ...)
    __attribute__((sentinel));
struct ocu_error;
/* Logs the error with its reason_code, text and errno under the given event. */
void ocu_log_error(enum ocu_log_level level, const char *event, const char *trace_id,
                   const struct ocu_error *err);

#endif
