/* A queue of errands: each member of a team takes the next network that nobody is working on, and
 * works on it alone for a while.
 *
 * Results do not depend on who works on what, nor in which order, because no network reads what
 * belongs to another.
 */
#ifndef BP_MANY_H
#define BP_MANY_H

#include "engine/errand.h"

/* Does n errands of one kind, or as much of them as fits into max_ns; always at least one visit. If
 * there is no memory, nothing is done, and *blamed is the errand that there is no room for. */
int bp_many_run(bp_errand *errands, int64_t n, const bp_errand_kind *kind, int64_t max_ns,
                int64_t *blamed);

#endif
