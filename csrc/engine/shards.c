/* The shards of a batch, and the order in which their sums are added. */
#include "engine/shards.h"

#include <string.h>

void bp_shard_rows(int64_t rows, int32_t shards, int32_t shard, int64_t *begin, int64_t *end) {
    *begin = (shard * rows + shards - 1) / shards;
    *end = ((shard + 1) * rows + shards - 1) / shards;
}

void bp_shards_push(bp_shards *s, int32_t shard) {
    s->blocks[s->n_blocks++] = (bp_shard_block){shard, 1};
}

int bp_shards_pair(const bp_shards *s) {
    if (s->n_blocks < 2) return 0;
    const bp_shard_block *left = &s->blocks[s->n_blocks - 2], *right = left + 1;
    return left->count == right->count && left->first % (2 * left->count) == 0;
}

void bp_shards_join(bp_shards *s) {
    s->n_blocks--;
    s->blocks[s->n_blocks - 1].count *= 2;
    s->costs[s->n_blocks - 1] += s->costs[s->n_blocks];
}

int32_t bp_shards_depth(bp_shards s) {
    int32_t most = 0;
    s.n_blocks = 0;
    for (int32_t shard = s.first; shard < s.first + s.count; shard++) {
        bp_shards_push(&s, shard);
        if (most < s.n_blocks) most = s.n_blocks;
        while (bp_shards_pair(&s))
            bp_shards_join(&s);
    }
    return most;
}

int64_t bp_shard_node(int32_t n, bp_shard_block block) {
    return (n + block.first) / block.count;
}

static float widen(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

static uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    /* The rounding of one that is not a number might carry into its sign. */
    return (uint16_t)(x == x ? nearest : bits >> 16 | 0x40);
}

void bp_round_sums(int64_t n, float *x, uint16_t *errors) {
    for (int64_t i = 0; i < n; i++) {
        const float exact = x[i] + widen(errors[i]);
        x[i] = widen(narrow(exact));
        errors[i] = narrow(exact - x[i]);
    }
}
