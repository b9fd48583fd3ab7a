/*
 * exec: what the gateway may ask: the rows of exec.proto. A row either is a tool call (tool.h) or, for
 * Cancel, ends one.
 */
#ifndef OCU_SANDBOXD_EXEC_H
#define OCU_SANDBOXD_EXEC_H

#include "libocu/rpc.h"
#include "sandboxd/tool.h"

extern const struct ocu_rpc_entry exec_table[]; /* arg: struct node */

/* The kinds, by file. */
extern const struct tool_kind exec_run_kind, exec_start_kind;
extern const struct tool_kind exec_view_kind, exec_create_file_kind, exec_str_replace_kind;
extern const struct tool_kind exec_read_kind, exec_write_kind, exec_signal_kind, exec_resize_kind,
    exec_wait_kind;

#define EXEC_ARGV_MAX     64
#define EXEC_COMMAND_MAX  (256u << 10) /* bytes of argv, and of everything else a request may carry */
#define EXEC_OUTPUT_MAX   (8u << 20)
#define EXEC_PATH_MAX     4096
#define EXEC_WAIT_MAX_MS  60000
#define EXEC_TIMEOUT_MAX  3600000
#define EXEC_EVIDENCE_MAX ((size_t)4096) /* bytes of a command that stand in the record */

/* argv in bounds? */
int exec_check_argv(char *const *argv, size_t n, const char *cwd, struct ocu_error *err);
/* The command in the record: its words, cut; the hash of all of it (words with their terminating NUL); its
 * length. */
void exec_record_argv(json_t *detail, char *const *argv, size_t n);

#endif
