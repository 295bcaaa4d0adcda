/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011):
 * random numbers that are a pure function of a key and a counter. */
#ifndef BP_RNG_H
#define BP_RNG_H

#include <stdint.h>

/* What the random numbers of one seed are for; part of the counter, so that no two uses share one.
 */
typedef enum { BP_RANDOM_USER = 0, BP_RANDOM_SHUFFLE = 1, BP_RANDOM_DROPOUT = 2 } bp_random_use;

/* The four words at counter (index, stream) for one use. stream < 2^62. */
void bp_philox(uint64_t seed, bp_random_use use, uint64_t stream, uint64_t index, uint32_t out[4]);

/* mask[i] = 1 with probability 1 - rate, for the positions first + i of the dropout mask of one
 * layer in one training step; else 0. */
void bp_dropout_mask(uint64_t seed, int64_t step, int32_t layer, double rate, int64_t first,
                     int64_t n, uint8_t *mask);

#endif
