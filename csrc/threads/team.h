/* What the members of a team do together: wait for each other, and share out work. */
#ifndef BP_TEAM_H
#define BP_TEAM_H

#include <stdint.h>

#include "threads/pool.h"

/* Waits for the other members of a team, if there are any. */
static inline void bp_sync(bp_team *team, int member, int members) {
    if (members > 1) bp_team_barrier(team, member);
}

/* The part `part` of `parts` of n elements: [*begin, *end), cut at multiples of `unit`. */
static inline void bp_share(int64_t n, int64_t unit, int part, int parts, int64_t *begin,
                            int64_t *end) {
    int64_t units = (n + unit - 1) / unit;
    *begin = units * part / parts * unit;
    *end = units * (part + 1) / parts * unit;
    if (*begin > n) *begin = n;
    if (*end > n) *end = n;
}

#endif
