/*
 * clock: CLOCK_BOOTTIME for decisions; wall time as boottime plus an offset that only ever grows, which is
 * what makes the wall floor hold without a lock.
 */
#include "libocu/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"

#define NS_PER_MS  1000000
#define NS_PER_S   INT64_C(1000000000)
#define MS_PER_DAY 86400000
/* 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write. */
#define WALL_MS_MAX INT64_C(253402300799999)
/* The year 2200: far enough, and in nanoseconds it still fits 63 bits. */
#define FLOOR_MS_MAX INT64_C(7258118400000)

static _Atomic int64_t wall_offset_ns = INT64_MIN;

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t ocu_mono_ns(void)
{
	return (uint64_t)read_ns(CLOCK_BOOTTIME);
}

uint64_t ocu_mono_ms(void)
{
	return ocu_mono_ns() / NS_PER_MS;
}

static int64_t raise_offset(int64_t candidate)
{
	int64_t seen = atomic_load(&wall_offset_ns);
	while (candidate > seen)
		if (atomic_compare_exchange_weak(&wall_offset_ns, &seen, candidate))
			return candidate;
	return seen;
}

static int64_t wall_ns(void)
{
	/* Wall first, boottime second: a pause between the two makes the candidate too small, never too
	 * large, so that being scheduled away cannot push the wall time into the future for good. */
	int64_t real = read_ns(CLOCK_REALTIME);
	int64_t mono = read_ns(CLOCK_BOOTTIME);
	return mono + raise_offset(real - mono);
}

int64_t ocu_wall_ms(void)
{
	return wall_ns() / NS_PER_MS;
}

int64_t ocu_wall_s(void)
{
	return wall_ns() / NS_PER_S;
}

static void digits(char *at, int width, int64_t value)
{
	for (; width; value /= 10)
		at[--width] = (char)('0' + value % 10);
}

/* By hand rather than with gmtime_r, which takes the C library's time zone lock on every line and event. */
void ocu_time_rfc3339(int64_t wall_ms, char out[32])
{
	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > WALL_MS_MAX)
		wall_ms = WALL_MS_MAX;
	/* Days since 0000-03-01, in eras of 400 years; a year that starts in March has its leap day last. */
	int64_t days = wall_ms / MS_PER_DAY + 719468;
	int64_t ms = wall_ms % MS_PER_DAY;
	int64_t era = days / 146097;
	int64_t doe = days % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t march = (5 * doy + 2) / 153; /* month, 0 is March */
	int64_t month = march < 10 ? march + 3 : march - 9;
	memcpy(out, "0000-00-00T00:00:00.000Z", 25);
	digits(out, 4, era * 400 + yoe + (month <= 2));
	digits(out + 5, 2, month);
	digits(out + 8, 2, doy - (153 * march + 2) / 5 + 1);
	digits(out + 11, 2, ms / 3600000);
	digits(out + 14, 2, ms / 60000 % 60);
	digits(out + 17, 2, ms / 1000 % 60);
	digits(out + 20, 3, ms % 1000);
}

int ocu_clock_floor_load(const char *path, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	char text[32];
	ssize_t n = read(fd, text, sizeof text - 1);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	text[n] = '\0';
	char *end;
	errno = 0;
	long long ms = strtoll(text, &end, 10);
	if (errno || end == text || strcmp(end, "\n") != 0 || ms < 0 || ms > FLOOR_MS_MAX)
		return ocu_error_set(err, OCU_E_PARSE, "%s: not a wall clock floor", path);
	raise_offset(ms * NS_PER_MS - read_ns(CLOCK_BOOTTIME));
	return 0;
}

static int write_file(const char *path, const char *text, size_t len, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	ssize_t n = write(fd, text, len);
	if (n != (ssize_t)len)
		return ocu_error_errno(err, OCU_E_IO, n < 0 ? errno : ENOSPC, "%s", path);
	if (fsync(fd))
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	return 0;
}

int ocu_clock_floor_save(const char *path, struct ocu_error *err)
{
	char tmp[4096];
	if (snprintf(tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "clock floor path too long");
	char text[32];
	int len = snprintf(text, sizeof text, "%" PRId64 "\n", ocu_wall_ms());
	int rc = write_file(tmp, text, (size_t)len, err);
	if (rc == 0 && rename(tmp, path))
		rc = ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	if (rc)
		unlink(tmp);
	return rc;
}
