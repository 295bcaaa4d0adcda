/* Errands that are done together: training runs of networks in the lanes of vectors. */
#ifndef BP_GROUPS_H
#define BP_GROUPS_H

#include "engine/errand.h"

/* Lets training runs be done together where that is faster, and puts the errands in another order:
 * first those that lead others or stand alone, whose number is *leading. */
int bp_groups_form(bp_errand *errands, int64_t n, int threads, int64_t *leading);

#endif
