/* The micro-kernel of bfloat16 products, over the vector vocabulary of its includer:
 *
 *   BF16_NAME, BF16_PEAK    names of the slots' functions
 *   VEC, VEC_PART           a vector of sums; what selects its first elements
 *   PAIRS                   as many pairs of bfloat16
 *   LANES, ROWS, COLS       sums in a vector, which divide 32; rows and vectors per row of the
 *                           largest tile
 *   FEW_ROWS, FEW_COLS      of the wide tile, which keeps enough chains busy for a few rows
 *   ONE_COLS                vectors of the widest tile, of one row
 *   BF16_SHAPES(X)          X(rows, cols) for every tile that these allow
 *   V_PART(n)               selects the first n elements, 1 <= n <= LANES
 *   V_ZERO() V_LOAD(p) V_LOAD_PART(p, part) V_STORE(p, v) V_STORE_PART(p, part, v)
 *   P_LOAD(p) P_SET1(p)     LANES pairs from p; the pair at p in every lane
 *   V_DP(acc, x, y)         acc + the products of the second elements of x and y, then of the first
 *
 * A step of 32 rows of b is, for each pair of rows in ascending order, one V_DP. The tile is one
 * function on constants, inlined into one instantiation per shape, so that its accumulators are
 * registers. All are undefined again at the end. */
#include "unroll.inc.h"

typedef void (*bp_bf16_tile_fn)(const bp_bf16_block *q, const uint16_t *a, const uint16_t *b,
                                float *c, int part);

/* One step and term: 16 pairs of rows. */
BP_TILE_INLINE void bp_bf16_step(const int rows, const int cols, const uint16_t *a,
                                 const uint16_t *b, int64_t panel, VEC acc[ROWS][ONE_COLS]) {
    const int per_panel = BP_BF16_BLOCK / LANES;
    for (int pair = 0; pair < BP_BF16_BLOCK / 2; pair++) {
        PAIRS y[ONE_COLS];
        BP_UNROLL
        for (int j = 0; j < cols; j++)
            y[j] = P_LOAD(b + (j / per_panel) * panel + (j % per_panel) * 2 * LANES);
        BP_UNROLL
        for (int i = 0; i < rows; i++) {
            const PAIRS x = P_SET1(a + i * BP_BF16_BLOCK);
            BP_UNROLL
            for (int j = 0; j < cols; j++)
                acc[i][j] = V_DP(acc[i][j], x, y[j]);
        }
        a += 2;
        b += 2 * BP_BF16_BLOCK;
    }
}

BP_TILE_INLINE void bp_bf16_tile(const int rows, const int cols, const bp_bf16_block *q,
                                 const uint16_t *a, const uint16_t *b, float *c, int part) {
    /* Not an argument: after functions with vector arguments, gcc leaves out vzeroupper. */
    const VEC_PART last = V_PART(part);
    VEC acc[ROWS][ONE_COLS];
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        BP_UNROLL
        for (int j = 0; j < cols; j++) {
            const float *p = c + i * q->c_rs + j * LANES;
            if (!q->accumulate)
                acc[i][j] = V_ZERO();
            else
                acc[i][j] = j == cols - 1 ? V_LOAD_PART(p, last) : V_LOAD(p);
        }
    }
    for (int64_t left = q->k; left > 0; left -= BP_BF16_BLOCK) {
        for (int t = 0; t < q->n_terms; t++)
            bp_bf16_step(rows, cols, a + q->terms[t].a, b + q->terms[t].b, q->panel, acc);
        a += q->slab;
        b += BP_BF16_BLOCK * BP_BF16_BLOCK;
    }
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        BP_UNROLL
        for (int j = 0; j < cols; j++) {
            float *p = c + i * q->c_rs + j * LANES;
            if (j == cols - 1)
                V_STORE_PART(p, last, acc[i][j]);
            else
                V_STORE(p, acc[i][j]);
        }
    }
}

#define BF16_TILE(rows, cols)                                                                      \
    static void bp_bf16_tile_##rows##x##cols(const bp_bf16_block *q, const uint16_t *a,            \
                                             const uint16_t *b, float *c, int part) {              \
        bp_bf16_tile(rows, cols, q, a, b, c, part);                                                \
    }
BF16_SHAPES(BF16_TILE)
#undef BF16_TILE

#define BF16_TILE(rows, cols) [rows - 1][cols - 1] = bp_bf16_tile_##rows##x##cols,
static const bp_bf16_tile_fn bp_bf16_tiles[ROWS][ONE_COLS] = {BF16_SHAPES(BF16_TILE)};
#undef BF16_TILE

/* Tiles of nearly equal height; the rows of A of one tile stay in the nearest cache while b passes
 * by. */
static void BF16_NAME(const bp_bf16_block *q) {
    const int64_t tiles = (q->m + ROWS - 1) / ROWS;
    int64_t i = 0;
    for (int64_t t = 0; t < tiles; t++) {
        const int rows = (int)(q->m * (t + 1) / tiles - i);
        const int cols = rows == 1 ? ONE_COLS : rows <= FEW_ROWS ? FEW_COLS : COLS;
        for (int64_t j = 0; j < q->n; j += cols * LANES) {
            const int width = q->n - j < cols * LANES ? (int)(q->n - j) : cols * LANES;
            const int last = (width - 1) / LANES;
            const uint16_t *b = q->b + j / BP_BF16_BLOCK * q->panel + j % BP_BF16_BLOCK * 2;
            bp_bf16_tiles[rows - 1][last](q, q->a + i * BP_BF16_BLOCK, b, q->c + i * q->c_rs + j,
                                          width - last * LANES);
        }
        i += rows;
    }
}

/* As many chains as the largest tile has. */
static double BF16_PEAK(int64_t iterations) {
    static const volatile uint16_t one = 0x3f80;
    enum { chains = ROWS * COLS };
    float sums[LANES];
    uint16_t ones[2 * LANES];
    VEC acc[chains];
    for (int i = 0; i < 2 * LANES; i++)
        ones[i] = one;
    const PAIRS x = P_SET1(ones), y = P_LOAD(ones);
    for (int i = 0; i < chains; i++) {
        /* All different: equal chains would be computed once. */
        for (int j = 0; j < LANES; j++)
            sums[j] = (float)i;
        acc[i] = V_LOAD(sums);
    }
    for (int64_t i = 0; i < iterations; i++) {
        BP_UNROLL
        for (int j = 0; j < chains; j++)
            acc[j] = V_DP(acc[j], x, y);
    }
    volatile float used = 0;
    for (int i = 0; i < chains; i++) {
        V_STORE(sums, acc[i]);
        used = used + sums[0];
    }
    return 4.0 * chains * LANES * (double)iterations;
}

#undef BF16_NAME
#undef BF16_PEAK
#undef VEC
#undef VEC_PART
#undef PAIRS
#undef LANES
#undef ROWS
#undef COLS
#undef FEW_ROWS
#undef FEW_COLS
#undef ONE_COLS
#undef BF16_SHAPES
#undef V_PART
#undef V_ZERO
#undef V_LOAD
#undef V_LOAD_PART
#undef V_STORE
#undef V_STORE_PART
#undef P_LOAD
#undef P_SET1
#undef V_DP
