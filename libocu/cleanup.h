/* cleanup: scope-bound ownership. OCU_CLEANUP(fn) runs fn(&var) at scope end; ocu_steal() takes it back. */
#ifndef OCU_CLEANUP_H
#define OCU_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OCU_CLEANUP(fn) __attribute__((cleanup(fn)))
#define ocu_steal(pp)                                                                                        \
	({                                                                                                   \
		__auto_type ocu_steal_p_ = (pp);                                                             \
		__auto_type ocu_steal_v_ = *ocu_steal_p_;                                                    \
		*ocu_steal_p_ = NULL;                                                                        \
		ocu_steal_v_;                                                                                \
	})

static inline void ocu_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void ocu_cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Closes when >= 0; to keep a descriptor use ocu_steal_fd(). */
static inline void ocu_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline int ocu_steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

#define OCU_FREE  OCU_CLEANUP(ocu_cleanup_free)
#define OCU_CLOSE OCU_CLEANUP(ocu_cleanup_close)
#define OCU_FILE  OCU_CLEANUP(ocu_cleanup_fclose)

#endif
