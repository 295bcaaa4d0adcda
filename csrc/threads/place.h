/* The CPU that a thread runs on, and how to move to another one.
 *
 * If two threads that wait for each other in turn end up on one CPU, they stay there for a long
 * time even when other CPUs are idle: the two rarely want to run at the same moment, so the
 * operating system sees nothing to balance. */
#ifndef BP_PLACE_H
#define BP_PLACE_H

#include <stdatomic.h>

/* The CPU of the calling thread; -1 where the system does not tell. */
int bp_place_cpu(void);

/* Moves the calling thread to a CPU that it may use now and that is not among the n in `taken`; 0
 * if there is none. From then on it may use all CPUs that it might use before. */
int bp_place_avoid(const atomic_int *taken, int n);

#endif
