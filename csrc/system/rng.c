/* Random numbers from Philox4x32-10: permutations, dropout masks, uniform numbers. */
#include "system/rng.h"

#include "pybackprop.h"

static inline void mul_hi_lo(uint32_t a, uint32_t b, uint32_t *hi, uint32_t *lo) {
    uint64_t product = (uint64_t)a * b;
    *hi = (uint32_t)(product >> 32);
    *lo = (uint32_t)product;
}

void bp_philox(uint64_t seed, bp_random_use use, uint64_t stream, uint64_t index, uint32_t out[4]) {
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint64_t high = stream << 2 | (uint64_t)use;
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        uint32_t hi0, lo0, hi1, lo1;
        mul_hi_lo(0xD2511F53u, c0, &hi0, &lo0);
        mul_hi_lo(0xCD9E8D57u, c2, &hi1, &lo1);
        c0 = hi1 ^ c1 ^ key0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ key1;
        c3 = lo0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void bp_dropout_mask(uint64_t seed, int64_t step, int32_t layer, double rate, int64_t first,
                     int64_t n, uint8_t *mask) {
    /* A unit is dropped when its word, uniform in [0, 2^32), is below rate * 2^32. */
    const uint64_t threshold = (uint64_t)(rate * 4294967296.0);
    const uint64_t stream = (uint64_t)step << 16 | (uint64_t)(uint32_t)layer;
    uint32_t words[4];
    for (int64_t i = 0; i < n;) {
        int64_t position = first + i;
        bp_philox(seed, BP_RANDOM_DROPOUT, stream, (uint64_t)position >> 2, words);
        for (int lane = (int)(position & 3); lane < 4 && i < n; lane++, i++)
            mask[i] = words[lane] >= threshold;
    }
}

void bp_random_uniform(uint64_t seed, uint64_t stream, int64_t n, double *out) {
    uint32_t words[4];
    for (int64_t i = 0; i < n; i++) {
        if ((i & 1) == 0) bp_philox(seed, BP_RANDOM_USER, stream, (uint64_t)i >> 1, words);
        const uint32_t *pair = words + 2 * (i & 1);
        uint64_t bits = (uint64_t)pair[0] << 32 | pair[1];
        out[i] = (double)(bits >> 11) * 0x1p-53;
    }
}

/* Uniform in [0, n) for 1 <= n < 2^32 (Lemire: Fast random integer generation in an interval; ACM
 * TOMACS 29, 2019): the high half of word * n, with the words that would favour some results
 * rejected. */
static uint32_t below(uint32_t n, uint64_t seed, uint64_t epoch, int64_t *drawn,
                      uint32_t words[4]) {
    for (;;) {
        if ((*drawn & 3) == 0)
            bp_philox(seed, BP_RANDOM_SHUFFLE, epoch, (uint64_t)*drawn >> 2, words);
        const uint64_t product = (uint64_t)words[(*drawn)++ & 3] * n;
        /* -n % n, the count of words too many, is less than n. */
        if ((uint32_t)product >= n || (uint32_t)product >= -n % n) return (uint32_t)(product >> 32);
    }
}

int bp_random_permutation(uint64_t seed, uint64_t epoch, int64_t n, int64_t *out) {
    if (n < 0 || n > UINT32_MAX) return BP_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++)
        out[i] = i;
    uint32_t words[4] = {0};
    int64_t drawn = 0;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = below((uint32_t)(i + 1), seed, epoch, &drawn, words);
        const int64_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
    return BP_OK;
}
