/* The end of a slice of a run of training. */
#ifndef BP_FINISH_H
#define BP_FINISH_H

#include "engine/fit.h"

/* Writes where the run stands. If a cost was not finite, the network then goes back to the start of
 * the epoch. */
void bp_slice_end(bp_slice *s, bp_fit_state *state);

#endif
