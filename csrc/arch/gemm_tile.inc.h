/* The GEMM micro-kernel of one element type, over the vector vocabulary of its includer:
 *
 *   real, BP_T(name)        element type, name with its suffix
 *   GEMM_NAME               name of the slot's function
 *   VEC, VEC_PART           a vector; what selects its first elements
 *   LANES, ROWS, COLS       elements of a vector; rows and vectors per row of the largest tile
 *   FEW_ROWS, FEW_COLS      of the wide tile, which keeps enough chains busy for a few rows
 *   ONE_COLS                vectors of the widest tile, of one row
 *   GEMM_SHAPES(X)          X(rows, cols) for every tile that these allow
 *   FREE_PARTS              1 if V_LOAD_PART costs no more than V_LOAD: then whole vectors need no
 *                           tiles of their own
 *   V_PART(n)               selects the first n elements, 1 <= n <= LANES
 *   V_ZERO() V_SET1(x) V_LOAD(p) V_LOAD_PART(p, part) V_STORE(p, v) V_STORE_PART(p, part, v)
 *   V_FMA(x, y, z)          x y + z
 *
 * The tile is one function on constants, inlined into one instantiation per shape, so that its
 * accumulators are registers. The last steps fetch the cache lines of `next`, where the next
 * tile of c begins: earlier, and the panels would evict them. All but real and BP_T
 * are undefined again at the end. */

#include "unroll.inc.h"

typedef void (*BP_T(bp_gemm_tile_fn))(int64_t k, const real *a, int64_t a_rs, int64_t a_cs,
                                      const real *b, int64_t b_rs, int64_t b_ps, real *c,
                                      int64_t c_rs, VEC_PART last, const real *next,
                                      int accumulate);

BP_TILE_INLINE void BP_T(bp_gemm_store)(const int rows, const int cols, const int full,
                                        VEC acc[ROWS][ONE_COLS], real *c, int64_t c_rs,
                                        VEC_PART last) {
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        BP_UNROLL
        for (int j = 0; j < cols; j++) {
            real *p = c + i * c_rs + j * LANES;
            if (j == cols - 1 && !full)
                V_STORE_PART(p, last, acc[i][j]);
            else
                V_STORE(p, acc[i][j]);
        }
    }
}

BP_TILE_INLINE void BP_T(bp_gemm_tile)(const int rows, const int cols, const int full, int64_t k,
                                       const real *a, int64_t a_rs, int64_t a_cs, const real *b,
                                       int64_t b_rs, int64_t b_ps, real *c, int64_t c_rs,
                                       VEC_PART last, const real *next, int accumulate) {
    VEC acc[ROWS][ONE_COLS];
    /* Three rows share a base: base, base + a_rs and base + 2 a_rs are all x86 addresses. */
    const real *base[(ROWS + 2) / 3];

    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        BP_UNROLL
        for (int j = 0; j < cols; j++) {
            const real *p = c + i * c_rs + j * LANES;
            if (!accumulate)
                acc[i][j] = V_ZERO();
            else
                acc[i][j] = j == cols - 1 && !full ? V_LOAD_PART(p, last) : V_LOAD(p);
        }
    }
    BP_UNROLL
    for (int i = 0; i < rows; i += 3)
        base[i / 3] = a + i * a_rs;
    for (int64_t left = k; left > 0; left--) {
        /* The operand with fewer vectors waits in registers for the other. */
        VEC x[ROWS], y[ONE_COLS];
        BP_UNROLL
        for (int i = 0; rows <= cols && i < rows; i++)
            x[i] = V_SET1(base[i / 3][(i % 3) * a_rs]);
        BP_UNROLL
        for (int j = 0; j < cols; j++) {
            const real *q = b + (j / COLS) * b_ps + (j % COLS) * LANES;
            y[j] = j == cols - 1 && !full ? V_LOAD_PART(q, last) : V_LOAD(q);
            BP_UNROLL
            for (int i = 0; rows <= cols && i < rows; i++)
                acc[i][j] = V_FMA(x[i], y[j], acc[i][j]);
        }
        BP_UNROLL
        for (int i = 0; rows > cols && i < rows; i++) {
            x[i] = V_SET1(base[i / 3][(i % 3) * a_rs]);
            BP_UNROLL
            for (int j = 0; j < cols; j++)
                acc[i][j] = V_FMA(x[i], y[j], acc[i][j]);
        }
        BP_UNROLL
        for (int i = 0; i < rows; i += 3)
            base[i / 3] += a_cs;
        b += b_rs;
        /* Without a branch, which makes clang spill; before the last steps, one line over and over.
         */
        if (rows > FEW_ROWS) {
            const real *line = next + (left <= rows ? left - 1 : 0) * c_rs;
            BP_UNROLL
            for (int j = 0; j < cols; j += 64 / (LANES * (int)sizeof(real)))
                BP_PREFETCH(line + j * LANES);
        }
    }
    BP_T(bp_gemm_store)(rows, cols, full, acc, c, c_rs, last);
}

#define BP_TILE(rows, cols, full)                                                                  \
    static void BP_T(bp_gemm_tile_##rows##x##cols##_##full)(                                       \
        int64_t k, const real *a, int64_t a_rs, int64_t a_cs, const real *b, int64_t b_rs,         \
        int64_t b_ps, real *c, int64_t c_rs, VEC_PART last, const real *next, int accumulate) {    \
        BP_T(bp_gemm_tile)                                                                         \
        (rows, cols, full, k, a, a_rs, a_cs, b, b_rs, b_ps, c, c_rs, last, next, accumulate);      \
    }
#define BP_PART_TILE(rows, cols) BP_TILE(rows, cols, 0)
#define BP_FULL_TILE(rows, cols) BP_TILE(rows, cols, 1)
GEMM_SHAPES(BP_PART_TILE)
#if !FREE_PARTS
GEMM_SHAPES(BP_FULL_TILE)
#endif
#undef BP_PART_TILE
#undef BP_FULL_TILE
#undef BP_TILE

/* By whether the last vector is whole, rows, and vectors per row. */
#define BP_PART_TILE(rows, cols) [0][rows - 1][cols - 1] = BP_T(bp_gemm_tile_##rows##x##cols##_0),
#define BP_FULL_TILE(rows, cols) [1][rows - 1][cols - 1] = BP_T(bp_gemm_tile_##rows##x##cols##_1),
static const BP_T(bp_gemm_tile_fn)
    BP_T(bp_gemm_tiles)[2 - FREE_PARTS][ROWS][ONE_COLS] = {GEMM_SHAPES(BP_PART_TILE)
#if !FREE_PARTS
                                                               GEMM_SHAPES(BP_FULL_TILE)
#endif
};
#undef BP_PART_TILE
#undef BP_FULL_TILE

static void GEMM_NAME(int64_t k, const real *a, int64_t a_rs, int64_t a_cs, const real *b,
                      int64_t b_rs, int64_t b_ps, real *c, int64_t c_rs, int m, int64_t n,
                      int accumulate) {
    if (m <= 0) return;
    const int cols = m == 1 ? ONE_COLS : m <= FEW_ROWS ? FEW_COLS : COLS;
    const real *first = c;
    for (; n > 0; n -= cols * LANES) {
        const int width = n < cols * LANES ? (int)n : cols * LANES;
        const int last = (width - 1) / LANES, part = width - last * LANES;
        const real *next = n > width ? c + width : first + m * c_rs;
        BP_T(bp_gemm_tiles)
        [!FREE_PARTS && part == LANES][m - 1][last](k, a, a_rs, a_cs, b, b_rs, b_ps, c, c_rs,
                                                    V_PART(part), next, accumulate);
        b += cols / COLS * b_ps;
        c += cols * LANES;
    }
}

#undef GEMM_NAME
#undef VEC
#undef VEC_PART
#undef LANES
#undef ROWS
#undef COLS
#undef FEW_ROWS
#undef FEW_COLS
#undef ONE_COLS
#undef GEMM_SHAPES
#undef FREE_PARTS
#undef V_PART
#undef V_ZERO
#undef V_SET1
#undef V_LOAD
#undef V_LOAD_PART
#undef V_STORE
#undef V_STORE_PART
#undef V_FMA
