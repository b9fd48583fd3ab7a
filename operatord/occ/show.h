/*
 * show: what the operator sees: tables for people, JSON for programs. Text from elsewhere is shown with its
 * control characters made visible, so that no name can move the cursor.
 */
#ifndef OCC_SHOW_H
#define OCC_SHOW_H

#include <jansson.h>
#include <stdbool.h>

struct args;
struct ocu_error;

struct column {
	const char *title;
	const char *key; /* member of a row; strings, numbers, booleans */
};

/* columns ends with {0}. rows is an array of objects. */
void show_table(const struct column *columns, const json_t *rows);
/* The members of one object, a line each. */
void show_object(const struct column *columns, const json_t *object);
void show_text(const char *text); /* printable, no line end */
void show_json(const json_t *j);  /* indented, one line end; printable as well */
void show_json_line(const json_t *j);
/* Says what went wrong on standard error (and as JSON on standard output when asked for) and returns the exit
 * code: OCC_UNREACHABLE for what is not reachable or not permitted. */
int show_error(const struct args *a, const char *doing, const struct ocu_error *err);

#endif
