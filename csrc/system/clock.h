/* Elapsed time. */
#ifndef BP_CLOCK_H
#define BP_CLOCK_H

#include <stdint.h>

/* Nanoseconds from an arbitrary start; never goes backwards. */
int64_t bp_clock_ns(void);

#endif
