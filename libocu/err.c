/*
 * err: the error object and the lookups over OCU_ERROR_TABLE. Nothing here allocates or takes a lock, and
 * errno is left as it was found, so that the functions can be used at any point of a failing path.
 */
#include "libocu/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct entry {
	int code;
	int http;
	int jsonrpc;
	const char *name;
	const char *reason;
	const char *text;
};

static const struct entry table[] = {
#define X(num, name, http, rpc, reason, text) {-(num), http, rpc, #name, reason, text},
    OCU_ERROR_TABLE(X)
#undef X
};

#define TABLE_LEN (sizeof table / sizeof *table)

static const struct entry *find(int code)
{
	for (size_t i = 0; i < TABLE_LEN; i++)
		if (table[i].code == code)
			return &table[i];
	return NULL;
}

/* The first row is INTERNAL: an unknown number from a peer must never read as something milder. */
static const struct entry *find_or_internal(int code)
{
	const struct entry *e = find(code);
	return e ? e : &table[0];
}

static void store(struct ocu_error *err, int code, int sys_errno, const char *text)
{
	err->code = code;
	err->sys_errno = sys_errno;
	snprintf(err->text, sizeof err->text, "%s", text);
}

static void append(char text[OCU_ERROR_TEXT_MAX], const char *more)
{
	size_t len = strlen(text);
	size_t n = strnlen(more, OCU_ERROR_TEXT_MAX - 1 - len);
	memcpy(text + len, more, n);
	text[len + n] = '\0';
}

int(ocu_error_set)(struct ocu_error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	int saved = errno;
	/* Formatted aside: an argument may be the old text of this very error. */
	char text[OCU_ERROR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	store(err, code, 0, text);
	errno = saved;
	return code;
}

int(ocu_error_errno)(struct ocu_error *err, int code, int sys_errno, const char *fmt, ...)
{
	if (!err)
		return code;
	int saved = errno;
	char text[OCU_ERROR_TEXT_MAX];
	char why[128];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	const char *msg = strerror_r(sys_errno, why, sizeof why);
	append(text, ": ");
	append(text, msg);
	store(err, code, sys_errno, text);
	errno = saved;
	return code;
}

int ocu_error_add(struct ocu_error *err, const char *fmt, ...)
{
	if (!err)
		return OCU_E_INTERNAL;
	int saved = errno;
	char text[OCU_ERROR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (err->text[0]) {
		append(text, ": ");
		append(text, err->text);
	}
	store(err, err->code ? err->code : OCU_E_INTERNAL, err->sys_errno, text);
	errno = saved;
	return err->code;
}

const char *ocu_err_text(int code)
{
	return find_or_internal(code)->text;
}

const char *ocu_err_reason(int code)
{
	return find_or_internal(code)->reason;
}

const char *ocu_err_name(int code)
{
	return find_or_internal(code)->name;
}

int ocu_err_http(int code)
{
	return find_or_internal(code)->http;
}

int ocu_err_jsonrpc(int code)
{
	return find_or_internal(code)->jsonrpc;
}

int ocu_err_from_reason(const char *reason)
{
	for (size_t i = 0; reason && i < TABLE_LEN; i++)
		if (strcmp(table[i].reason, reason) == 0)
			return table[i].code;
	return 0;
}

int ocu_err_known(int code)
{
	return find(code) != NULL;
}
