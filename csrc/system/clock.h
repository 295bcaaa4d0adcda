/* Elapsed time. */
#ifndef BP_CLOCK_H
#define BP_CLOCK_H

#include <stdint.h>

/* Nanoseconds from an arbitrary start; never goes backwards. */
int64_t bp_clock_ns(void);

/* The moment after max_ns >= 0 from now; INT64_MAX if the clock does not go so far. */
int64_t bp_clock_after(int64_t now, int64_t max_ns);

#endif
