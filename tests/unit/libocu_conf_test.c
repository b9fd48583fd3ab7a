/* conf: every layer and type, what is refused and on which line, and that the printed example is itself
 * valid. */
#include <check.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/conf.h"
#include "libocu/err.h"

#define RULES                                                                                                \
	"{\"type\":\"array\",\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":{\"host\":{"       \
	"\"type\":"                                                                                          \
	"\"string\"},\"ports\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1}}},"        \
	"\"required\":[\"host\"]}}"

static const struct ocu_conf_opt options[] = {
    OCU_CONF_COMMON(9190),
    {"listen", OCU_CONF_STRING, "127.0.0.1:8080", 0, 0, NULL, "Address | port"},
    {"socket", OCU_CONF_PATH, "", 0, 0, NULL, "A path that may be empty"},
    {"workers", OCU_CONF_INT, "4", 1, 64, NULL, "Threads"},
    {"offset", OCU_CONF_INT, "0", 0, 0, NULL, "Any number"},
    {"retries", OCU_CONF_INT, "0", 0, 9, NULL, "From zero"},
    {"shift", OCU_CONF_INT, "0", -9, 0, NULL, "Up to zero"},
    {"trace", OCU_CONF_BOOL, "false", 0, 0, NULL, "Trace"},
    {"idle", OCU_CONF_DURATION, "15m", 1000, 86400000, NULL, "Idle time"},
    {"limit", OCU_CONF_SIZE, "8MiB", 1024, INT64_C(1) << 40, NULL, "Bytes"},
    {"mode", OCU_CONF_ENUM, "auto", 0, 0, "auto|crun|runc", "Runtime"},
    {"rules", OCU_CONF_JSON, "[{\"host\": \"a.test\", \"ports\": [443]}]", 0, 0, RULES, "Rules"},
    {"labels", OCU_CONF_JSON, "{}", 0, 0, NULL, "Anything"},
    {0},
};

static char dir[PATH_MAX];
static char path[PATH_MAX + 16];

static void setup(void)
{
	char made[] = "/tmp/ocu-conf-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(made));
	ck_assert_ptr_nonnull(realpath(made, dir));
	snprintf(path, sizeof path, "%s/t.yaml", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

static struct ocu_conf *loaded(const char *text)
{
	struct ocu_conf *c = NULL;
	struct ocu_error err = {0};
	if (text)
		write_file(text, strlen(text));
	if (ocu_conf_load(&c, "gateway", options, text ? path : NULL, &err))
		ck_abort_msg("%s: %s", text, err.text);
	return c;
}

START_TEST(defaults_stand_without_a_file)
{
	struct ocu_conf *c = loaded(NULL);
	ck_assert_str_eq(ocu_conf_str(c, "trust_domain"), "ocu.local");
	ck_assert_str_eq(ocu_conf_str(c, "pki_dir"), "/etc/ocu/pki");
	ck_assert_str_eq(ocu_conf_str(c, "metrics_listen"), "127.0.0.1:9190");
	ck_assert_str_eq(ocu_conf_str(c, "socket"), "");
	ck_assert_str_eq(ocu_conf_str(c, "mode"), "auto");
	ck_assert_int_eq(ocu_conf_int(c, "workers"), 4);
	ck_assert_int_eq(ocu_conf_int(c, "limit"), 8388608);
	ck_assert_int_eq(ocu_conf_ms(c, "idle"), 900000);
	ck_assert(!ocu_conf_bool(c, "trace"));
	ck_assert_uint_eq(json_array_size(ocu_conf_json(c, "rules")), 1);
	ck_assert_uint_eq(json_object_size(ocu_conf_json(c, "labels")), 0);
	ocu_conf_free(c);
	ocu_conf_free(NULL);
}
END_TEST

START_TEST(a_file_sets_every_type)
{
	struct ocu_conf *c =
	    loaded("# comment\n"
	           "listen: 0.0.0.0:80   # another\n"
	           "socket: run/x.sock\n"
	           "pki_dir: \"/abs/pki\"\n"
	           "workers: 64\n"
	           "offset: -7\n"
	           "trace: true\n"
	           "idle: 1500ms\n"
	           "limit: 64KiB\n"
	           "mode: crun\n"
	           "rules:\n"
	           "  - host: b.test\n"
	           "    ports: [80, 443]\n"
	           "  - {host: 'c.test'}\n"
	           "labels: {a: yes, b: true, c: null, d: 1.5, e: 010, f: \"7\", g: 1.2.3, h: ~, i: [],\n"
	           "         j: 99999999999999999999, k: -3, p: 9, l: .inf, m: 0x1F, n: , o: false}\n");
	ck_assert_str_eq(ocu_conf_str(c, "listen"), "0.0.0.0:80");
	char want[PATH_MAX + 32];
	snprintf(want, sizeof want, "%s/run/x.sock", dir);
	ck_assert_str_eq(ocu_conf_str(c, "socket"), want);
	ck_assert_str_eq(ocu_conf_str(c, "pki_dir"), "/abs/pki");
	ck_assert_int_eq(ocu_conf_int(c, "workers"), 64);
	ck_assert_int_eq(ocu_conf_int(c, "offset"), -7);
	ck_assert(ocu_conf_bool(c, "trace"));
	ck_assert_int_eq(ocu_conf_ms(c, "idle"), 1500);
	ck_assert_int_eq(ocu_conf_int(c, "limit"), 65536);
	ck_assert_str_eq(ocu_conf_str(c, "mode"), "crun");
	json_t *rules =
	    json_loads("[{\"host\":\"b.test\",\"ports\":[80,443]},{\"host\":\"c.test\"}]", 0, NULL);
	ck_assert(json_equal(ocu_conf_json(c, "rules"), rules));
	json_decref(rules);
	json_t *labels =
	    json_loads("{\"a\":\"yes\",\"b\":true,\"c\":null,\"d\":1.5,\"e\":\"010\",\"f\":\"7\","
	               "\"g\":\"1.2.3\",\"h\":null,\"i\":[],\"j\":\"99999999999999999999\",\"k\":-3,\"p\":9,"
	               "\"l\":\".inf\",\"m\":\"0x1F\",\"n\":null,\"o\":false}",
	               0, NULL);
	ck_assert(json_equal(ocu_conf_json(c, "labels"), labels));
	json_decref(labels);
	/* What the file leaves out keeps its default. */
	ck_assert_str_eq(ocu_conf_str(c, "log_level"), "info");
	ocu_conf_free(c);
}
END_TEST

START_TEST(an_empty_file_is_all_defaults)
{
	static const char *const texts[] = {"", "\n", "# nothing\n", "---\n", "---\n...\n", "{}"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ocu_conf *c = loaded(texts[i]);
		ck_assert_int_eq(ocu_conf_int(c, "workers"), 4);
		ocu_conf_free(c);
	}
}
END_TEST

static const struct {
	const char *text;
	unsigned line; /* 0: not named */
	const char *says;
} refused[] = {
    {"workers: 1\nworker: 2\n", 2, "unknown key \"worker\""},
    {"\n\nworkers: 1\nlisten: x\nworkers: 1\n", 5, "duplicate key \"workers\""},
    {"\"workers\": 1\nworkers: 2\n", 2, "duplicate key \"workers\""},
    {"Workers: 1\n", 1, "unknown key"},
    {"<<: {workers: 1}\n", 1, "unknown key \"<<\""},
    {"workers: 0\n", 1, "workers: out of range, 1 to 64"},
    {"workers: 65\n", 1, "out of range"},
    {"retries: -1\n", 1, "out of range, 0 to 9"},
    {"retries: 10\n", 1, "out of range, 0 to 9"},
    {"shift: -10\n", 1, "out of range, -9 to 0"},
    {"shift: 1\n", 1, "out of range, -9 to 0"},
    {"workers: 1.0\n", 1, "expected a whole number"},
    {"workers: +1\n", 1, "expected a whole number"},
    {"workers: 0x10\n", 1, "expected a whole number"},
    {"workers: 1_0\n", 1, "expected a whole number"},
    {"workers: -\n", 1, NULL},
    {"workers: \"4\"\n", 1, "without quotes"},
    {"workers:\n", 1, "has no value"},
    {"workers: ~\n", 1, "has no value"},
    {"workers: [1]\n", 1, "expected a single value"},
    {"offset: 9223372036854775808\n", 1, "expected a whole number"},
    {"trace: yes\n", 1, "expected true or false"},
    {"trace: True\n", 1, "expected true or false"},
    {"trace: \"true\"\n", 1, "expected true or false, without quotes"},
    {"idle: 15\n", 1, "expected a duration"},
    {"idle: 15 m\n", 1, "expected a duration"},
    {"idle: 1.5h\n", 1, "expected a duration"},
    {"idle: -5s\n", 1, "expected a duration"},
    {"idle: 15M\n", 1, "expected a duration"},
    {"idle: 999ms\n", 1, "out of range, 1000 to 86400000 ms"},
    {"idle: 0\n", 1, "out of range"},
    {"idle: 2d\n", 1, "out of range"},
    {"idle: 9223372036854775807d\n", 1, "expected a duration"},
    {"limit: 1KB\n", 1, "expected a size"},
    {"limit: 1kib\n", 1, "expected a size"},
    {"limit: 1023\n", 1, "out of range, 1024 to 1099511627776 bytes"},
    {"limit: 8388608TiB\n", 1, "expected a size"},
    {"mode: docker\n", 1, "expected one of auto|crun|runc"},
    {"mode: au\n", 1, "expected one of"},
    {"mode: auto|crun\n", 1, "expected one of"},
    {"mode: \"\"\n", 1, "expected one of"},
    {"listen: {a: 1}\n", 1, "expected a single value"},
    {"listen: \"a\\nb\"\n", 1, "control character"},
    {"listen: \"a\\0b\"\n", 1, "NUL"},
    {"rules: x\n", 1, "expected a list or a mapping"},
    {"rules: \"[]\"\n", 1, "expected a list or a mapping"},
    {"rules: {}\n", 1, "rules: /: expected array"},
    {"trace: true\nrules:\n  - host: a\n  - ports: [1]\n", 2, "/1: field \"host\" is missing"},
    {"rules: [{host: a, port: 1}]\n", 1, "unknown field \"port\""},
    {"rules: [{host: a, ports: [\"1\"]}]\n", 1, "/0/ports/0: expected integer"},
    {"rules: [{host: 1}]\n", 1, "/0/host: expected string"},
    {"rules: [{host: a}, {host: a}, {host: a}, {host: a}]\n", 1, "more than 3 items"},
    {"labels:\n  a: 1\n  b: 2\n  a: 3\n", 4, "duplicate key \"a\""},
    {"labels: {a: {b: {c: 1, c: 2}}}\n", 1, "duplicate key \"c\""},
    {"labels: &x {a: 1}\n", 1, "anchors and tags"},
    {"labels: [&x 1, *x]\n", 1, "anchors and tags"},
    {"listen: &x a\nsocket: *x\n", 1, "anchors and tags"},
    {"socket: *x\n", 1, "aliases"},
    {"listen: !!str a\n", 1, "anchors and tags"},
    {"labels:\n  a: 1\n  *x : 2\n", 3, "aliases"},
    {"labels:\n  a: *x\n", 2, "aliases"},
    {"labels: [1,\n  *x]\n", 2, "aliases"},
    {"labels: [1,\n  {a: *x}]\n", 2, "aliases"},
    {"labels: !foo {}\n", 1, "anchors and tags"},
    {"labels: !foo []\n", 1, "anchors and tags"},
    {"labels: {[a]: 1}\n", 1, "a key must be plain text"},
    {"? [a]\n: 1\n", 1, "a key must be plain text"},
    {"\"\": 1\n", 1, "a key is empty"},
    {"- a\n- b\n", 1, "expected a mapping"},
    {"just text\n", 1, "expected a mapping"},
    {"workers: 1\n---\nworkers: 2\n", 0, "more than one document"},
    {"listen: a\n  b: c\n", 2, NULL},
    {"workers: 1\n  2\n", 1, "expected a whole number"},
    {"workers: [1\n", 0, NULL},
    {"workers: \"1\n", 0, NULL},
    {"\tworkers: 1\n", 1, NULL},
    {"workers: 1\n\xff: 2\n", 0, "UTF-8"},
    {"%YAML 9.9\n---\nworkers: 1\n", 0, NULL},
};

static int load_error(const char *text, size_t len, struct ocu_error *err)
{
	struct ocu_conf *c = (struct ocu_conf *)err;
	write_file(text, len);
	int rc = ocu_conf_load(&c, "gateway", options, path, err);
	if (rc)
		ck_assert_ptr_eq(c, (struct ocu_conf *)err);
	else
		ocu_conf_free(c);
	return rc;
}

START_TEST(bad_files_are_refused_with_file_and_line)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct ocu_error err = {0};
		if (load_error(refused[i].text, strlen(refused[i].text), &err) != OCU_E_CONFIG ||
		    err.code != OCU_E_CONFIG)
			ck_abort_msg("taken or wrong code: %s: %s", refused[i].text, err.text);
		char where[PATH_MAX + 64];
		snprintf(where, sizeof where, "%s:%u: ", path, refused[i].line);
		if (strncmp(err.text, path, strlen(path)) != 0 ||
		    (refused[i].line && strncmp(err.text, where, strlen(where)) != 0) ||
		    (refused[i].says && !strstr(err.text, refused[i].says)))
			ck_abort_msg("%s: %s", refused[i].text, err.text);
	}
}
END_TEST

START_TEST(size_and_depth_of_a_file_are_bounded)
{
	struct ocu_error err = {0};
	size_t len = (1 << 20) + 1;
	char *text = malloc(len);
	memset(text, '#', len);
	ck_assert_int_eq(load_error(text, len - 1, &err), 0);
	ck_assert_int_eq(load_error(text, len, &err), OCU_E_CONFIG);
	/* labels itself is the first level. */
	for (size_t depth = 32; depth <= 33; depth++) {
		size_t n = (size_t)snprintf(text, len, "labels: ");
		memset(text + n, '[', depth);
		memset(text + n + depth, ']', depth);
		ck_assert_int_eq(load_error(text, n + 2 * depth, &err), depth == 32 ? 0 : OCU_E_CONFIG);
	}
	memset(text, '[', 10000);
	ck_assert_int_eq(load_error(text, 10000, &err), OCU_E_CONFIG);
	size_t n = (size_t)snprintf(text, len, "listen: ");
	memset(text + n, 'a', 5000);
	ck_assert_int_eq(load_error(text, n + 4095, &err), 0);
	ck_assert_int_eq(load_error(text, n + 4096, &err), OCU_E_CONFIG);
	free(text);
}
END_TEST

START_TEST(a_missing_file_is_an_error)
{
	struct ocu_conf *c = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(ocu_conf_load(&c, "gateway", options, "/nonexistent/x.yaml", &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/x.yaml"));
	snprintf(path, sizeof path, "%s/none.yaml", dir);
	ck_assert_int_eq(ocu_conf_load(&c, "gateway", options, path, &err), OCU_E_CONFIG);
	ck_assert_int_eq(ocu_conf_load(&c, "gateway", options, dir, &err), OCU_E_CONFIG);
}
END_TEST

START_TEST(the_environment_overrides_the_file)
{
	setenv("OCU_GATEWAY_WORKERS", "7", 1);
	setenv("OCU_GATEWAY_LISTEN", "[::1]:1", 1);
	setenv("OCU_GATEWAY_TRACE", "true", 1);
	setenv("OCU_GATEWAY_IDLE", "1h", 1);
	setenv("OCU_GATEWAY_PKI_DIR", "pki", 1);
	setenv("OCU_GATEWAY_RULES", "[{\"host\":\"e.test\"}]", 1);
	setenv("OCU_GATEWAY_METRICS_LISTEN", "", 1);
	/* Other daemons' and Kubernetes' own names are nobody's business. */
	setenv("OCU_BROKERD_MODE", "nonsense", 1);
	setenv("OCU_GATEWAY_SERVICE_HOST", "10.0.0.1", 1);
	setenv("ocu_gateway_mode", "nonsense", 1);
	struct ocu_conf *c = loaded("workers: 9\nlisten: file\nmode: runc\n");
	ck_assert_int_eq(ocu_conf_int(c, "workers"), 7);
	ck_assert_str_eq(ocu_conf_str(c, "listen"), "[::1]:1");
	ck_assert(ocu_conf_bool(c, "trace"));
	ck_assert_int_eq(ocu_conf_ms(c, "idle"), 3600000);
	ck_assert_str_eq(ocu_conf_str(c, "metrics_listen"), "");
	ck_assert_str_eq(ocu_conf_str(c, "mode"), "runc");
	char want[PATH_MAX + 32];
	snprintf(want, sizeof want, "%s/pki", dir);
	ck_assert_str_eq(ocu_conf_str(c, "pki_dir"), want);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_array_get(ocu_conf_json(c, "rules"), 0), "host")),
	    "e.test");
	ocu_conf_free(c);
}
END_TEST

START_TEST(a_bad_environment_is_refused_by_name)
{
	static const char *const bad[][3] = {
	    {"OCU_GATEWAY_WORKERS", "65", "out of range"},
	    {"OCU_GATEWAY_WORKERS", "", "whole number"},
	    {"OCU_GATEWAY_MODE", "docker", "expected one of"},
	    {"OCU_GATEWAY_RULES", "[{\"host\":1}]", "expected string"},
	    {"OCU_GATEWAY_RULES", "[{\"host\":\"a\",\"host\":\"b\"}]", "duplicate"},
	    {"OCU_GATEWAY_RULES", "3", "list or a mapping"},
	    {"OCU_GATEWAY_RULES", "", NULL},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ocu_conf *c = NULL;
		struct ocu_error err = {0};
		setenv(bad[i][0], bad[i][1], 1);
		ck_assert_int_eq(ocu_conf_load(&c, "gateway", options, NULL, &err), OCU_E_CONFIG);
		ck_assert_int_eq(err.code, OCU_E_CONFIG);
		ck_assert_ptr_nonnull(strstr(err.text, bad[i][0]));
		if (bad[i][2])
			ck_assert_ptr_nonnull(strstr(err.text, bad[i][2]));
		unsetenv(bad[i][0]);
	}
}
END_TEST

START_TEST(without_a_file_paths_start_where_the_daemon_does)
{
	setenv("OCU_GATEWAY_SOCKET", "x.sock", 1);
	ck_assert_int_eq(chdir(dir), 0);
	struct ocu_conf *c = loaded(NULL);
	char want[PATH_MAX + 32];
	snprintf(want, sizeof want, "%s/x.sock", dir);
	ck_assert_str_eq(ocu_conf_str(c, "socket"), want);
	ocu_conf_free(c);
	/* A file named without a folder: its folder is the working directory. */
	write_file("socket: y.sock\n", 15);
	unsetenv("OCU_GATEWAY_SOCKET");
	ck_assert_int_eq(ocu_conf_load(&c, "gateway", options, "t.yaml", NULL), 0);
	snprintf(want, sizeof want, "%s/y.sock", dir);
	ck_assert_str_eq(ocu_conf_str(c, "socket"), want);
	ocu_conf_free(c);
}
END_TEST

static const struct ocu_conf_opt with_required[] = {
    {"name", OCU_CONF_STRING, NULL, 0, 0, NULL, "Must be given"},
    {"size", OCU_CONF_INT, "3", 0, 0, NULL, "May be given"},
    {0},
};

START_TEST(required_keys)
{
	struct ocu_conf *c = NULL;
	struct ocu_error err = {0};
	write_file("size: 4\n", 8);
	ck_assert_int_eq(ocu_conf_load(&c, "auditd", with_required, path, &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "required key \"name\""));
	ck_assert_ptr_nonnull(strstr(err.text, path));
	setenv("OCU_AUDITD_NAME", "n", 1);
	ck_assert_int_eq(ocu_conf_load(&c, "auditd", with_required, path, &err), 0);
	ck_assert_str_eq(ocu_conf_str(c, "name"), "n");
	ck_assert_int_eq(ocu_conf_int(c, "size"), 4);
	ocu_conf_free(c);
}
END_TEST

START_TEST(a_table_with_a_mistake_does_not_load)
{
	static const struct ocu_conf_opt tables[][3] = {
	    {{"a", OCU_CONF_INT, "x", 0, 0, NULL, ""}, {0}},
	    {{"a", OCU_CONF_INT, "5", 6, 7, NULL, ""}, {0}},
	    {{"a", OCU_CONF_INT, "5", 0, 0, NULL, ""}, {"a", OCU_CONF_INT, "5", 0, 0, NULL, ""}, {0}},
	    {{"a", OCU_CONF_JSON, "[]", 0, 0, "{\"typo\":1}", ""}, {0}},
	    {{"a", OCU_CONF_JSON, "{}", 0, 0, "{\"type\":\"array\"}", ""}, {0}},
	    {{"a", OCU_CONF_ENUM, "c", 0, 0, "a|b", ""}, {0}},
	};
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		struct ocu_conf *c = NULL;
		struct ocu_error err = {0};
		ck_assert_int_eq(ocu_conf_load(&c, "t", tables[i], NULL, &err), OCU_E_CONFIG);
		ck_assert_uint_gt(strlen(err.text), 0);
	}
}
END_TEST

START_TEST(reading_what_is_not_there_aborts)
{
	fclose(stderr);
	struct ocu_conf *c = loaded(NULL);
	switch (_i) {
	case 0:
		ocu_conf_str(c, "no_such_key");
		break;
	case 1:
		ocu_conf_int(c, "listen");
		break;
	case 2:
		ocu_conf_int(c, "idle");
		break;
	case 3:
		ocu_conf_json(c, "workers");
		break;
	case 4:
		ocu_conf_bool(c, "workers");
		break;
	case 5:
		ocu_conf_ms(c, "limit");
		break;
	case 6:
		ocu_conf_str(c, "rules");
		break;
	}
}
END_TEST

static char *printed(void (*print)(const char *, const struct ocu_conf_opt *, FILE *),
                     const struct ocu_conf_opt *table)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	print("gateway", table, f);
	fclose(f);
	return text;
}

START_TEST(the_example_is_a_valid_file_of_the_defaults)
{
	char *text = printed(ocu_conf_print_example, options);
	ck_assert_ptr_nonnull(strstr(text, "# Configuration of gateway"));
	ck_assert_ptr_nonnull(strstr(text, "\n\n# Threads (number, 1 to 64)\nworkers: 4\n\n"));
	struct ocu_conf *from_example = loaded(text);
	struct ocu_conf *defaults = loaded(NULL);
	for (const struct ocu_conf_opt *o = options; o->key; o++) {
		char line[128];
		snprintf(line, sizeof line, "\n%s: ", o->key);
		ck_assert_msg(strstr(text, line) != NULL, "%s is not in the example", o->key);
		ck_assert_msg(strstr(text, o->doc) != NULL, "%s is not explained", o->key);
		if (o->type == OCU_CONF_STRING || o->type == OCU_CONF_PATH || o->type == OCU_CONF_ENUM)
			ck_assert_str_eq(ocu_conf_str(from_example, o->key), ocu_conf_str(defaults, o->key));
		else if (o->type == OCU_CONF_JSON)
			ck_assert(
			    json_equal(ocu_conf_json(from_example, o->key), ocu_conf_json(defaults, o->key)));
	}
	ck_assert_int_eq(ocu_conf_ms(from_example, "idle"), ocu_conf_ms(defaults, "idle"));
	ck_assert_int_eq(ocu_conf_int(from_example, "limit"), ocu_conf_int(defaults, "limit"));
	ocu_conf_free(from_example);
	ocu_conf_free(defaults);
	free(text);
	text = printed(ocu_conf_print_example, with_required);
	ck_assert_ptr_nonnull(strstr(text, "required)\n#name:\n"));
	free(text);
}
END_TEST

START_TEST(help_and_reference_name_every_option)
{
	char *help = printed(ocu_conf_print_help, options);
	char *page = printed(ocu_conf_print_reference, options);
	for (const struct ocu_conf_opt *o = options; o->key; o++) {
		ck_assert_ptr_nonnull(strstr(help, o->key));
		ck_assert_ptr_nonnull(strstr(page, o->key));
	}
	ck_assert_ptr_nonnull(strstr(help, "OCU_GATEWAY_<KEY>"));
	ck_assert_ptr_nonnull(strstr(help, "retries (number, 0 to 9; default 0)\n      From zero\n"));
	ck_assert_ptr_nonnull(strstr(help, "shift (number, -9 to 0; default 0)\n      Up to zero\n"));
	ck_assert_ptr_nonnull(strstr(help, "offset (number; default 0)\n      Any number\n"));
	ck_assert_ptr_nonnull(strstr(help, "idle (duration, 1000 to 86400000 ms; default 15m)\n"));
	ck_assert_ptr_nonnull(strstr(help, "limit (size, 1024 to 1099511627776 bytes; default 8MiB)\n"));
	ck_assert_ptr_nonnull(strstr(help, "workers (number, 1 to 64; default 4)\n      Threads\n"));
	ck_assert_ptr_nonnull(
	    strstr(page, "\n| `workers` | number, 1 to 64 | `4` | `OCU_GATEWAY_WORKERS` | Threads |\n"));
	/* A bar would end the cell. */
	ck_assert_ptr_nonnull(strstr(page, "| one of auto\\|crun\\|runc | `auto` |"));
	ck_assert_ptr_nonnull(strstr(page, "| Address \\| port |\n"));
	free(help);
	free(page);
	page = printed(ocu_conf_print_reference, with_required);
	ck_assert_ptr_nonnull(strstr(page, "| *required* |"));
	free(page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_conf");
	TCase *c = tcase_create("conf");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, defaults_stand_without_a_file);
	tcase_add_test(c, a_file_sets_every_type);
	tcase_add_test(c, an_empty_file_is_all_defaults);
	tcase_add_test(c, bad_files_are_refused_with_file_and_line);
	tcase_add_test(c, size_and_depth_of_a_file_are_bounded);
	tcase_add_test(c, a_missing_file_is_an_error);
	tcase_add_test(c, the_environment_overrides_the_file);
	tcase_add_test(c, a_bad_environment_is_refused_by_name);
	tcase_add_test(c, without_a_file_paths_start_where_the_daemon_does);
	tcase_add_test(c, required_keys);
	tcase_add_test(c, a_table_with_a_mistake_does_not_load);
	tcase_add_loop_test_raise_signal(c, reading_what_is_not_there_aborts, SIGABRT, 0, 7);
	tcase_add_test(c, the_example_is_a_valid_file_of_the_defaults);
	tcase_add_test(c, help_and_reference_name_every_option);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
