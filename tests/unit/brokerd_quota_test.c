/* quota and content: what is charged is what is there, whatever order things happen in. */
/* shows: NFR-SEC-46, NFR-COST-06 (in part) */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "brokerd/content.h"
#include "brokerd/node.h"
#include "brokerd/quota.h"
#include "brokerd/readers.h"
#include "tests/unit/brokerd_fixture.h"

#define K4 UINT64_C(4096)

START_TEST(charges_whole_blocks)
{
	ck_assert_uint_eq(quota_charge(0), 0);
	ck_assert_uint_eq(quota_charge(1), K4);
	ck_assert_uint_eq(quota_charge(K4), K4);
	ck_assert_uint_eq(quota_charge(K4 + 1), 2 * K4);
	ck_assert_uint_ge(quota_charge(UINT64_MAX), UINT64_MAX - K4);
}
END_TEST

START_TEST(bound_can_be_reached_and_not_passed)
{
	struct quota q;
	quota_init(&q, 10 * K4, 3);
	ck_assert_int_eq(quota_resize(&q, 0, 10 * K4), 0);
	ck_assert_uint_eq(quota_bytes_left(&q), 0);
	ck_assert_int_eq(quota_resize(&q, 10 * K4, 10 * K4 + 1), -EDQUOT);
	ck_assert_uint_eq(atomic_load(&q.bytes), 10 * K4);
	ck_assert_int_eq(quota_resize(&q, 10 * K4, 5), 0);
	ck_assert_uint_eq(atomic_load(&q.bytes), K4);
	ck_assert_int_eq(quota_resize(&q, 5, UINT64_MAX), -EDQUOT);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(quota_add_file(&q), 0);
	ck_assert_int_eq(quota_add_file(&q), -EDQUOT);
	quota_drop_file(&q);
	ck_assert_int_eq(quota_add_file(&q), 0);
}
END_TEST

START_TEST(never_below_zero_and_zero_is_no_bound)
{
	struct quota q;
	quota_init(&q, 0, 0);
	quota_drop_bytes(&q, 1 << 20);
	quota_drop_file(&q);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
	ck_assert_uint_eq(atomic_load(&q.files), 0);
	ck_assert_int_eq(quota_resize(&q, 0, UINT64_C(1) << 50), 0);
	ck_assert_uint_eq(quota_bytes_left(&q), UINT64_MAX);
}
END_TEST

static struct quota shared;

static void *hammer(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++)
		if (quota_resize(&shared, 0, 3 * K4) == 0) {
			ck_assert_uint_le(atomic_load(&shared.bytes), shared.max_bytes);
			quota_drop_bytes(&shared, 3 * K4);
		}
	return NULL;
}

START_TEST(concurrent_use_adds_up)
{
	pthread_t t[4];
	quota_init(&shared, 7 * K4, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(atomic_load(&shared.bytes), 0);
}
END_TEST

static struct quota q;
static struct readers readers;
static struct content content;
static struct node node;
static int fd;

static void setup(void)
{
	scratch_make();
	quota_init(&q, 100 * K4, 0);
	readers_init(&readers, &q);
	content_init(&content, &q, &readers);
	node = (struct node){.id = 7, .ino = 11, .type = S_IFREG, .fd = -1};
	fd = openat(root, "f", O_RDWR | O_CREAT, 0644);
	ck_assert_int_eq(content_opened(&content, &node, fd), 0);
}

static void teardown(void)
{
	close(fd);
	content_done(&content);
	readers_done(&readers);
	scratch_drop();
}

START_TEST(writes_charge_growth_only)
{
	char data[3 * K4] = {1};
	ck_assert_int_eq(content_write(&content, &node, fd, data, sizeof data, 0), sizeof data);
	ck_assert_uint_eq(atomic_load(&q.bytes), 3 * K4);
	ck_assert_int_eq(content_write(&content, &node, fd, data, K4, K4), K4);
	ck_assert_uint_eq(atomic_load(&q.bytes), 3 * K4);
	ck_assert_int_eq(content_write(&content, &node, fd, data, 10, 9 * K4), 10);
	ck_assert_uint_eq(atomic_load(&q.bytes), 10 * K4);
	ck_assert_int_eq(content_write(&content, &node, fd, data, 10, 200 * K4), -EDQUOT);
	ck_assert_uint_eq(atomic_load(&q.bytes), 10 * K4);
	ck_assert_int_eq(content_write(&content, &node, fd, data, 10, INT64_MAX - 5), -EFBIG);
	ck_assert_int_eq(content_write(&content, &node, fd, data, 0, 0), 0);
	ck_assert_int_eq(content_truncate(&content, &node, fd, K4), 0);
	ck_assert_uint_eq(atomic_load(&q.bytes), K4);
	ck_assert_int_eq(content_truncate(&content, &node, fd, 101 * K4), -EDQUOT);
	ck_assert_int_eq(content_truncate(&content, &node, fd, 100 * K4), 0);
	ck_assert_uint_eq(atomic_load(&q.bytes), 100 * K4);
	content_closed(&content, &node);
}
END_TEST

START_TEST(failed_writes_give_the_charge_back)
{
	int readonly = openat(root, "f", O_RDONLY);
	ck_assert_int_eq(content_write(&content, &node, readonly, "x", 1, 5 * K4), -EBADF);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
	ck_assert_uint_eq(node.size, 0);
	close(readonly);
	content_closed(&content, &node);
}
END_TEST

START_TEST(unlinked_files_are_charged_as_long_as_their_node_lives)
{
	ck_assert_int_eq(content_write(&content, &node, fd, "x", 1, 0), 1);
	ck_assert_int_eq(content_opened(&content, &node, fd), 0);
	content_unlinked(&content, &node, 1);
	ck_assert_uint_eq(atomic_load(&q.bytes), K4);
	ck_assert_int_eq(content_write(&content, &node, fd, "x", 1, 4 * K4), 1);
	content_closed(&content, &node);
	content_closed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), 5 * K4);
	ck_assert_int_eq(content_opened(&content, &node, fd), 0);
	ck_assert_int_eq(content_truncate(&content, &node, fd, 2 * K4), 0);
	content_closed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), 2 * K4);
	content_freed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
}
END_TEST

START_TEST(a_node_with_a_name_gives_nothing_back)
{
	ck_assert_int_eq(content_write(&content, &node, fd, "x", 1, 0), 1);
	content_closed(&content, &node);
	content_freed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), K4);
	content_unlinked(&content, &node, 1);
	content_freed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
}
END_TEST

START_TEST(a_file_is_charged_until_its_last_reader_is_done)
{
	struct reader a = {0}, b = {0}, other = {0};
	reader_leave(&readers, &a); /* has not come */
	reader_enter(&readers, &a, node.ino);
	reader_enter(&readers, &other, node.ino + 1);
	reader_enter(&readers, &b, node.ino);
	ck_assert_int_eq(content_write(&content, &node, fd, "x", 1, 0), 1);
	content_unlinked(&content, &node, 1);
	/* The guest still has it, and may make it longer. */
	ck_assert_int_eq(content_write(&content, &node, fd, "x", 1, 4 * K4), 1);
	content_closed(&content, &node);
	content_freed(&content, &node);
	ck_assert_uint_eq(atomic_load(&q.bytes), 5 * K4);
	reader_leave(&readers, &b);
	reader_leave(&readers, &other);
	ck_assert_uint_eq(atomic_load(&q.bytes), 5 * K4);
	reader_leave(&readers, &a);
	reader_leave(&readers, &a);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
	/* And one that the guest never knew; or that is let go by its readers first. */
	ck_assert_int_eq(quota_resize(&q, 0, K4), 0);
	reader_enter(&readers, &a, 12);
	readers_gone(&readers, 12, K4);
	ck_assert_uint_eq(atomic_load(&q.bytes), K4);
	reader_leave(&readers, &a);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
	ck_assert_int_eq(quota_resize(&q, 0, K4), 0);
	readers_gone(&readers, 12, K4);
	ck_assert_uint_eq(atomic_load(&q.bytes), 0);
}
END_TEST

static void *extend(void *arg)
{
	char data[1000] = {1};
	unsigned seed = *(unsigned *)arg;
	for (int i = 0; i < 3000; i++) {
		uint64_t at = (uint64_t)(rand_r(&seed) % (90 * (int)K4));
		if (rand_r(&seed) % 16 == 0)
			content_truncate(&content, &node, fd, at);
		else
			content_write(&content, &node, fd, data, sizeof data, at);
	}
	return NULL;
}

START_TEST(concurrent_growth_is_charged_exactly)
{
	pthread_t t[3];
	struct stat st;
	unsigned seed[3] = {1, 2, 3};
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, extend, &seed[i]);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(atomic_load(&q.bytes), quota_charge((uint64_t)st.st_size));
	ck_assert_uint_eq(atomic_load(&q.bytes), quota_charge(node.size));
	content_closed(&content, &node);
}
END_TEST

static atomic_bool truncated;

static void *truncate_to_nothing(void *arg)
{
	(void)arg;
	ck_assert_int_eq(content_truncate(&content, &node, fd, 0), 0);
	atomic_store(&truncated, true);
	return NULL;
}

/* A call whose bytes come late, as those of a long copy do: a truncation that can pass it has the time to. */
static ssize_t write_late(void *arg)
{
	pthread_t *t = arg;
	pthread_create(t, NULL, truncate_to_nothing, NULL);
	for (int i = 0; i < 200 && !atomic_load(&truncated); i++)
		usleep(1000);
	return pwrite(fd, "x", 1, 20 * K4 - 1);
}

START_TEST(truncation_does_not_pass_growth_under_way)
{
	pthread_t t;
	struct stat st;
	for (int grows = 1; grows >= 0; grows--) { /* and a write inside what was there before */
		if (!grows)
			ck_assert_int_eq(content_truncate(&content, &node, fd, 30 * K4), 0);
		atomic_store(&truncated, false);
		ck_assert_int_eq(content_grow(&content, &node, fd, 20 * K4, write_late, &t), 1);
		pthread_join(t, NULL);
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_uint_eq(atomic_load(&q.bytes), quota_charge((uint64_t)st.st_size));
		ck_assert_uint_eq(node.size, (uint64_t)st.st_size);
	}
	content_closed(&content, &node);
}
END_TEST

/* Stops short while another call is on its way to what it was charged for. */
static ssize_t fail_beside(void *arg)
{
	(void)arg;
	ck_assert_int_eq(content_write(&content, &node, -1, "x", 1, 50 * K4), -EBADF);
	return pwrite(fd, "x", 1, 20 * K4 - 1);
}

START_TEST(a_failure_gives_back_what_is_not_promised_to_others)
{
	ck_assert_int_eq(content_grow(&content, &node, fd, 20 * K4, fail_beside, NULL), 1);
	ck_assert_uint_eq(atomic_load(&q.bytes), 20 * K4);
	ck_assert_uint_eq(node.size, 20 * K4);
	content_closed(&content, &node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_quota");
	TCase *c = tcase_create("quota"), *d = tcase_create("content");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, charges_whole_blocks);
	tcase_add_test(c, bound_can_be_reached_and_not_passed);
	tcase_add_test(c, never_below_zero_and_zero_is_no_bound);
	tcase_add_test(c, concurrent_use_adds_up);
	suite_add_tcase(suite, c);
	tcase_set_timeout(d, 60);
	tcase_add_checked_fixture(d, setup, teardown);
	tcase_add_test(d, writes_charge_growth_only);
	tcase_add_test(d, failed_writes_give_the_charge_back);
	tcase_add_test(d, unlinked_files_are_charged_as_long_as_their_node_lives);
	tcase_add_test(d, a_node_with_a_name_gives_nothing_back);
	tcase_add_test(d, a_file_is_charged_until_its_last_reader_is_done);
	tcase_add_test(d, concurrent_growth_is_charged_exactly);
	tcase_add_test(d, truncation_does_not_pass_growth_under_way);
	tcase_add_test(d, a_failure_gives_back_what_is_not_promised_to_others);
	suite_add_tcase(suite, d);
	return run_suite(suite);
}
