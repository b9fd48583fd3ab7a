/* segment: the writes and their order. A slot is written only after the records it covers. */
#include "auditd/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "auditd/metrics.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/trail_segment.h"

#define ZERO_BLOCK ((size_t)64 << 10)
#define ZERO_IOVS  64 /* so at most 4 MiB of zeros go with one write */

static const char zeros[ZERO_BLOCK];

static int io_error(struct ocu_error *err, int saved, const char *what)
{
	bool space = saved == ENOSPC || saved == EDQUOT || saved == EFBIG;
	return ocu_error_errno(err, space ? OCU_E_NO_SPACE : OCU_E_IO, saved, "%s", what);
}

void segment_init(struct segment *s, int dirfd, const struct ocu_signer *signer)
{
	memset(s, 0, sizeof *s);
	s->dirfd = dirfd;
	s->fd = -1;
	s->signer = signer;
}

void segment_done(struct segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static int write_at(int fd, const void *data, size_t len, uint64_t offset, struct ocu_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return io_error(err, n < 0 ? errno : ENOSPC, "writing the trail");
		done += (size_t)n;
	}
	return 0;
}

static int sync_file(int fd, struct ocu_error *err)
{
	uint64_t start = ocu_mono_ns();
	int rc = fdatasync(fd) ? io_error(err, errno, "syncing the trail") : 0;
	metrics_sync((ocu_mono_ns() - start) / 1000);
	return rc;
}

static int write_slot(struct segment *s, int fd, const struct ocu_trail_head *h, struct ocu_error *err)
{
	int rc = ocu_trail_head_put(s->slot, h, s->signer, err);
	if (rc)
		return rc;
	return write_at(fd, s->slot, sizeof s->slot, (h->generation & 1) * OCU_TRAIL_SLOT, err);
}

/* Signs the same position twice, so that both slots state it. The first is durable before the second is
 * touched: power may fail in between, and one slot must then be whole. */
static int write_both(struct segment *s, int fd, struct ocu_trail_head *h, struct ocu_error *err)
{
	int rc = write_slot(s, fd, h, err);
	if (!rc)
		rc = sync_file(fd, err);
	h->generation++;
	if (!rc)
		rc = write_slot(s, fd, h, err);
	return rc ? rc : sync_file(fd, err);
}

static int fill_new(struct segment *s, int fd, struct ocu_trail_head *h, const char *opening, size_t len,
                    struct ocu_error *err)
{
	h->end = OCU_TRAIL_HEADER + len;
	int rc = write_at(fd, opening, len, OCU_TRAIL_HEADER, err);
	return rc ? rc : write_both(s, fd, h, err);
}

/* The name appears only once the content is durable, and never replaces a segment that is there. */
static int publish_file(struct segment *s, const char *tmp, const char *name, struct ocu_error *err)
{
	if (renameat2(s->dirfd, tmp, s->dirfd, name, RENAME_NOREPLACE))
		return io_error(err, errno, "naming a segment");
	if (fsync(s->dirfd) == 0)
		return 0;
	int rc = io_error(err, errno, "syncing the trail folder");
	unlinkat(s->dirfd, name, 0);
	return rc;
}

int segment_create(struct segment *s, const struct ocu_trail_head *head, const char *opening, size_t len,
                   struct ocu_error *err)
{
	static const char tmp[] = "next.tmp";
	char name[OCU_TRAIL_NAME_MAX];
	struct ocu_trail_head h = *head;
	ocu_trail_segment_name(h.segment, name);
	unlinkat(s->dirfd, tmp, 0);
	OCU_CLOSE int fd = openat(s->dirfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return io_error(err, errno, "making a segment");
	int rc = fill_new(s, fd, &h, opening, len, err);
	if (!rc)
		rc = publish_file(s, tmp, name, err);
	if (rc) {
		unlinkat(s->dirfd, tmp, 0);
		return rc;
	}
	s->fd = ocu_steal_fd(&fd);
	s->head = h;
	s->zeroed = h.end;
	s->dirty = false;
	return 0;
}

int segment_adopt(struct segment *s, const struct ocu_trail_head *head, struct ocu_error *err)
{
	char name[OCU_TRAIL_NAME_MAX];
	ocu_trail_segment_name(head->segment, name);
	s->fd = openat(s->dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return io_error(err, errno, "opening a segment");
	s->head = *head;
	s->zeroed = head->end;
	s->dirty = false;
	return ocu_trail_read_at(s->fd, s->slot, sizeof s->slot, (head->generation & 1) * OCU_TRAIL_SLOT,
	                         err);
}

/* How many zeros go behind `end`, so that the file grows in steps. */
static size_t zeros_after(const struct segment *s, uint64_t end, size_t ahead)
{
	if (end <= s->zeroed || ahead == 0)
		return 0;
	size_t want = ahead - (size_t)(end % ahead);
	return want < ZERO_BLOCK * ZERO_IOVS ? want : ZERO_BLOCK * ZERO_IOVS;
}

/* One pwritev for records and zeros. Zeros are a convenience: when they do not fit, the records still count.
 */
static int write_records(struct segment *s, const char *data, size_t len, size_t ahead, struct ocu_error *err)
{
	struct iovec iov[1 + ZERO_IOVS] = {{(char *)data, len}};
	int n = 1;
	for (size_t left = zeros_after(s, s->head.end + len, ahead); left; n++) {
		size_t part = left < ZERO_BLOCK ? left : ZERO_BLOCK;
		iov[n] = (struct iovec){(char *)zeros, part};
		left -= part;
	}
	ssize_t got;
	do
		got = pwritev(s->fd, iov, n, (off_t)s->head.end);
	while (got < 0 && errno == EINTR);
	if (got < 0 && n == 1)
		return io_error(err, errno, "writing the trail");
	size_t done = got < 0 ? 0 : (size_t)got;
	if (done < len) {
		int rc = write_at(s->fd, data + done, len - done, s->head.end + done, err);
		if (rc)
			return rc;
		done = len;
	}
	if (s->head.end + done > s->zeroed)
		s->zeroed = s->head.end + done;
	return 0;
}

int segment_append(struct segment *s, const char *data, size_t len, size_t ahead,
                   const struct ocu_trail_head *next, struct ocu_error *err)
{
	struct ocu_trail_head h = *next;
	h.segment = s->head.segment;
	h.generation = s->head.generation + 1;
	h.end = s->head.end + len;
	int rc = write_records(s, data, len, ahead, err);
	if (!rc)
		rc = write_slot(s, s->fd, &h, err);
	if (!rc)
		rc = sync_file(s->fd, err);
	if (rc) {
		s->dirty = true;
		return rc;
	}
	s->head = h;
	return 0;
}

static int cut(struct segment *s, struct ocu_error *err)
{
	if (ftruncate(s->fd, (off_t)s->head.end))
		return io_error(err, errno, "cutting a segment");
	s->zeroed = s->head.end;
	return 0;
}

/* The slot that is written first is never the one that states the head: what stands there is older, or was
 * part of a batch that failed. */
static int restate(struct segment *s, struct ocu_trail_head *h, struct ocu_error *err)
{
	int rc = cut(s, err);
	h->generation = s->head.generation + 1;
	if (!rc)
		rc = write_both(s, s->fd, h, err);
	if (rc)
		s->dirty = true;
	else
		s->head = *h;
	return rc;
}

int segment_repair(struct segment *s, struct ocu_error *err)
{
	struct ocu_trail_head h = s->head;
	int rc = restate(s, &h, err);
	if (!rc)
		s->dirty = false;
	return rc;
}

int segment_seal(struct segment *s, const char time[32], struct ocu_error *err)
{
	struct ocu_trail_head h = s->head;
	h.sealed = true;
	memcpy(h.time, time, sizeof h.time);
	return restate(s, &h, err);
}

int segment_trim(struct segment *s, struct ocu_error *err)
{
	int rc = cut(s, err);
	return rc ? rc : sync_file(s->fd, err);
}
