/* Training of many small networks at a time, one in each lane of a vector (lanes.inc.h): which
 * networks, and which of them together. */
#ifndef BP_LANES_H
#define BP_LANES_H

#include "engine/fit.h"

/* Slices of different networks that are trained together, batch by batch. */
typedef struct {
    bp_slice *slices[BP_MAX_LANES]; /* the first of them has the deadline of all */
    int n;
} bp_lane_group;

/* How many networks of this type are trained at a time; 1 if none can be. */
int bp_lanes_count(const bp_net *net);

/* Whether this slice can be trained in a lane, and whether two such slices can be trained together:
 * each batch must be the same work for both. They need not have as many batches to go. */
int bp_lanes_allow(const bp_slice *s);
int bp_lanes_match(const bp_slice *s, const bp_slice *t);

/* How many of n slices that match each other are worth training in lanes with so many threads; the
 * others are trained one by one. */
int64_t bp_lanes_worth(int lanes, int64_t n, int threads);

#endif
