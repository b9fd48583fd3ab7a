/* Lanes: bounded, and drained in turns. */
#include <string.h>

#include "auditd/lane.h"
#include "auditd/request.h"
#include "tests/unit/auditd_fixture.h"

static struct lanes lanes;
static bool shaped; /* said by the last put */

static void setup(void)
{
	lanes_init(&lanes, 1 << 20);
}

static void teardown(void)
{
	for (struct request *r; (r = lanes_take(&lanes));)
		free(r);
	lanes_done(&lanes);
}

static struct lane *lane_of(enum ocu_component c, const char *instance)
{
	struct ocu_peer p = {.component = c};
	struct lane *l = NULL;
	snprintf(p.instance, sizeof p.instance, "%s", instance);
	ck_assert_int_eq(lanes_get(&lanes, &p, &l, NULL), 0);
	return l;
}

static int put(struct lane *l, size_t bytes)
{
	struct request *r = request_new(1);
	r->lane = l;
	r->bytes = bytes;
	int rc = lanes_put(&lanes, r, &shaped, NULL);
	if (rc)
		free(r);
	return rc;
}

START_TEST(test_names)
{
	ck_assert_str_eq(lane_of(OCU_COMP_GATEWAY, "")->name, "gateway");
	ck_assert_str_eq(lane_of(OCU_COMP_SANDBOXD, "node-1")->name, "sandboxd/node-1");
	ck_assert_ptr_eq(lane_of(OCU_COMP_SANDBOXD, "node-1"), lane_of(OCU_COMP_SANDBOXD, "node-1"));
	ck_assert_ptr_ne(lane_of(OCU_COMP_SANDBOXD, "node-1"), lane_of(OCU_COMP_SANDBOXD, "node-2"));
	struct ocu_peer odd = {.component = OCU_COMP_GATEWAY, .instance = "a b"};
	struct lane *l;
	ck_assert_int_eq(lanes_get(&lanes, &odd, &l, NULL), OCU_E_PEER_UNKNOWN);
}
END_TEST

START_TEST(test_order_within_a_lane)
{
	struct lane *g = lane_of(OCU_COMP_GATEWAY, "");
	for (size_t i = 1; i <= 50; i++)
		ck_assert_int_eq(put(g, i), 0);
	for (size_t i = 1; i <= 50; i++) {
		struct request *r = lanes_take(&lanes);
		ck_assert_uint_eq(r->bytes, i);
		free(r);
	}
	ck_assert_ptr_null(lanes_take(&lanes));
}
END_TEST

/* A full lane refuses; the others take. */
START_TEST(test_bounds)
{
	struct lane *flood = lane_of(OCU_COMP_SANDBOXD, ""), *other = lane_of(OCU_COMP_GATEWAY, "");
	unsigned taken = 0;
	while (put(flood, 1000) == 0) {
		ck_assert(shaped == (taken >= LANE_SHARE));
		taken++;
	}
	ck_assert(shaped);
	ck_assert_uint_eq(taken, LANE_REQUESTS_MAX);
	ck_assert_int_eq(put(flood, 1), OCU_E_RATE);
	ck_assert_int_eq(put(other, 1000), 0);
	ck_assert(!shaped);
	struct lane *big = lane_of(OCU_COMP_EGRESSD, "");
	ck_assert_int_eq(put(big, 4 << 20), 0); /* alone it may be larger than the lane */
	ck_assert_int_eq(put(big, 1), OCU_E_RATE);
}
END_TEST

/* What a small source put in behind a flood comes out within a few turns. */
START_TEST(test_small_source_is_not_starved)
{
	struct lane *flood = lane_of(OCU_COMP_SANDBOXD, ""), *other = lane_of(OCU_COMP_GATEWAY, "");
	while (put(flood, 40000) == 0)
		;
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(put(other, 600), 0);
	unsigned before = 0, seen = 0;
	while (seen < 10) {
		struct request *r = lanes_take(&lanes);
		seen += r->lane == other;
		before += r->lane == flood;
		free(r);
	}
	ck_assert_uint_le(before, 4);
}
END_TEST

/* Two sources that both flood share by bytes, not by requests. */
START_TEST(test_share_is_by_bytes)
{
	struct lane *large = lane_of(OCU_COMP_SANDBOXD, ""), *small = lane_of(OCU_COMP_GATEWAY, "");
	size_t bytes_large = 0, bytes_small = 0;
	for (int i = 0; i < 4000; i++) {
		while (put(large, 100000) == 0)
			;
		while (put(small, 1000) == 0)
			;
		struct request *r = lanes_take(&lanes);
		*(r->lane == large ? &bytes_large : &bytes_small) += r->bytes;
		free(r);
	}
	double share = (double)bytes_small / (double)(bytes_small + bytes_large);
	ck_assert_msg(share > 0.4 && share < 0.6, "%.2f", share);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_order_within_a_lane);
	tcase_add_test(tc, test_bounds);
	tcase_add_test(tc, test_small_source_is_not_starved);
	tcase_add_test(tc, test_share_is_by_bytes);
}

/* shows: NFR-SEC-56 */
int main(void)
{
	return af_main("auditd_lane", add);
}
