/* duration: see duration.h. */
#include "operatord/occ/duration.h"

#include <errno.h>
#include <stdlib.h>

#define SECONDS_MAX (400L * 86400)

int duration_parse(const char *text, long *ret_seconds)
{
	long n, unit;
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	switch (*end) {
	case 's':
		unit = 1;
		break;
	case 'm':
		unit = 60;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'd':
		unit = 86400;
		break;
	default:
		return -1;
	}
	if (errno || end[1] || n < 1 || n > SECONDS_MAX / unit)
		return -1;
	*ret_seconds = n * unit;
	return 0;
}
