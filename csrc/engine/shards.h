/* The shards of a batch: parts that the caller chose, whose gradients are added as a tree. */
#ifndef BP_SHARDS_H
#define BP_SHARDS_H

#include <stdint.h>

#include "pybackprop.h"

/* The most shards; and the most blocks that cover some of them, with one that is not yet joined. */
enum { BP_MAX_SHARDS = 64, BP_MAX_BLOCKS = 12 };

/* Neighbouring shards whose gradients have been added. */
typedef struct {
    int32_t first, count;
} bp_shard_block;

/* Those of a run, and the sums of the current batch: a stack of blocks. */
typedef struct {
    int32_t n;            /* of the batch; 0 where a run has none */
    int32_t first, count; /* those of this process */
    uint16_t *errors;     /* as bp_fit_set_shards describes them, or NULL */
    bp_reduce_fn reduce;
    void *user;
    void *sums;     /* of the network's type: a gradient for each block */
    int64_t stride; /* entries from one gradient to the next */
    int32_t n_blocks;
    bp_shard_block blocks[BP_MAX_BLOCKS];
    double costs[BP_MAX_BLOCKS];
} bp_shards;

/* The rows of a shard of a batch: b for which floor(b * shards / rows) is the shard. */
void bp_shard_rows(int64_t rows, int32_t shards, int32_t shard, int64_t *begin, int64_t *end);

/* Puts the next shard on the stack. */
void bp_shards_push(bp_shards *s, int32_t shard);

/* Whether the two topmost blocks are the halves of one that begins at a multiple of its size. */
int bp_shards_pair(const bp_shards *s);

/* Makes one of them; the costs are added here, the gradients by the caller. */
void bp_shards_join(bp_shards *s);

/* The row of errors that belongs to a block of shards of a batch of n shards. */
int64_t bp_shard_node(int32_t n, bp_shard_block block);

/* What bp_round_bf16 does. */
void bp_round_sums(int64_t n, float *x, uint16_t *errors);

/* The most blocks that are on the stack at one time. */
int32_t bp_shards_depth(bp_shards s);

#endif
