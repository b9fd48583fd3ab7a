/* aside_life: the part of a process aside that is the same whatever it does; see aside_page.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auditd/aside_page.h"
#include "libocu/clock.h"
#include "libocu/log.h"

#define RETRY_MAX_MS 30000

bool aside_leaving(struct aside_life *l)
{
	if (!l->stop_ms && (atomic_load(&l->page->stop) || getppid() != l->keeper))
		l->stop_ms = ocu_mono_ms() + ASIDE_STOP_MS;
	return l->stop_ms != 0;
}

bool aside_out_of_time(struct aside_life *l)
{
	return aside_leaving(l) && ocu_mono_ms() >= l->stop_ms;
}

void aside_pause(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

bool aside_wait_for_trail(struct aside_life *l)
{
	while (atomic_load(&l->page->durable) == 0 && !aside_leaving(l))
		aside_pause(ASIDE_TICK_MS);
	return atomic_load(&l->page->durable) > 0;
}

void aside_wait_before_retry(struct aside_life *l, unsigned *ms)
{
	uint64_t end = ocu_mono_ms() + *ms;
	while (!aside_leaving(l) && ocu_mono_ms() < end)
		aside_pause(ASIDE_TICK_MS);
	*ms = *ms * 2 < RETRY_MAX_MS ? *ms * 2 : RETRY_MAX_MS;
}

void aside_say(struct aside_page *page, enum aside_state state, const char *event,
               const struct ocu_error *err)
{
	bool news = atomic_load(&page->state) != state || (err && strcmp(page->why, err->text) != 0);
	if (err)
		snprintf(page->why, sizeof page->why, "%s", err->text);
	atomic_store(&page->state, state);
	if (news && err)
		ocu_log_error(OCU_LOG_WARN, event, NULL, err);
}
