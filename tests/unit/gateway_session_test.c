/* shows: NFR-SEC-09, NFR-SEC-43 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/mcp_session.h"
#include "libocu/cleanup.h"

static struct mcp_sessions *make(char fill)
{
	struct mcp_sessions *m = NULL;
	char path[] = "/tmp/ocu-test-key-XXXXXX", key[32];
	int fd = mkstemp(path);
	memset(key, fill, sizeof key);
	ck_assert_int_eq(write(fd, key, sizeof key), (ssize_t)sizeof key);
	close(fd);
	ck_assert_int_eq(mcp_sessions_new(&m, path, NULL), 0);
	unlink(path);
	return m;
}

START_TEST(own_ids_survive_a_restart)
{
	struct mcp_sessions *a = make('k'), *b = make('k');
	char id[MCP_SESSION_ID_MAX];
	mcp_session_id_new(a, "alice", id);
	ck_assert(mcp_session_id_valid(b, "alice", id));
	mcp_sessions_free(a);
	mcp_sessions_free(b);
}
END_TEST

START_TEST(a_stolen_id_is_worth_nothing)
{
	struct mcp_sessions *a = make('k'), *other = make('x');
	char id[MCP_SESSION_ID_MAX];
	mcp_session_id_new(a, "alice", id);
	ck_assert(!mcp_session_id_valid(a, "mallory", id));
	ck_assert(!mcp_session_id_valid(other, "alice", id));
	for (size_t i = 0; id[i]; i++) {
		char bent[MCP_SESSION_ID_MAX];
		memcpy(bent, id, sizeof bent);
		bent[i] = bent[i] == 'A' ? 'B' : 'A';
		if (strcmp(bent, id) != 0)
			ck_assert_msg(!mcp_session_id_valid(a, "alice", bent), "byte %zu", i);
	}
	mcp_sessions_free(a);
	mcp_sessions_free(other);
}
END_TEST

START_TEST(garbage_is_refused)
{
	static const char *const bad[] = {
	    "",
	    ".",
	    "mcp_",
	    "mcp_.x",
	    "mcp_01ARZ3NDEKTSV4RRFFQ69G5FAV",
	    "mcp_01ARZ3NDEKTSV4RRFFQ69G5FAV.",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV.AAAA",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b"};
	struct mcp_sessions *a = make('k');
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert(!mcp_session_id_valid(a, "alice", bad[i]));
	mcp_sessions_free(a);
}
END_TEST

START_TEST(hints_separate_chats_from_sessions)
{
	char a[HINT_MAX], b[HINT_MAX], c[HINT_MAX];
	mcp_session_hint('c', "x", a);
	mcp_session_hint('s', "x", b);
	mcp_session_hint('c', "x", c);
	ck_assert_str_ne(a, b);
	ck_assert_str_eq(a, c);
	ck_assert_uint_eq(strlen(a), 64);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gateway_session");
	TCase *t = tcase_create("session");
	tcase_add_test(t, own_ids_survive_a_restart);
	tcase_add_test(t, a_stolen_id_is_worth_nothing);
	tcase_add_test(t, garbage_is_refused);
	tcase_add_test(t, hints_separate_chats_from_sessions);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
