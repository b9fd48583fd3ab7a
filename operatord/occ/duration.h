/* duration: "30s", "15m", "12h", "90d" on the command line. */
#ifndef OCC_DURATION_H
#define OCC_DURATION_H

/* 0 and seconds of 1 to 400 days, or -1. */
int duration_parse(const char *text, long *ret_seconds);

#endif
