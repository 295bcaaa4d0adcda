/* The GEMM micro-kernel of one element type, over the vector vocabulary of its includer:
 *
 *   real, BP_T(name)        element type, name with its suffix
 *   GEMM_NAME               name of the slot's function
 *   VEC, VEC_PART           a vector; what selects its first elements
 *   LANES, ROWS, COLS       elements of a vector; rows and vectors per row of the largest tile
 *   FEW_ROWS, FEW_COLS      of the wide tile, which keeps enough chains busy for a few rows
 *   ONE_COLS                vectors of the widest tile, of one row
 *   GEMM_SHAPES(X)          X(rows, cols) for every tile that these allow
 *   V_PART(n)               selects the first n elements, 1 <= n <= LANES
 *   V_ZERO() V_SET1(x) V_LOAD(p) V_LOAD_PART(p, part) V_STORE(p, v) V_STORE_PART(p, part, v)
 *   V_FMA(x, y, z)          x y + z
 *   HALF_VEC                optional: a vector of half as many elements, with H_ZERO, H_OF (the
 * first half of a VEC), H_LOAD_PART, H_STORE_PART and H_FMA. The last columns of a result then
 * waste less where it has few of them, and where vectors are computed in halves it takes less time
 *
 * The tile is one function on constants, inlined into one instantiation per shape, so that its
 * accumulators are registers. The last steps, in a loop of their own, fetch the cache lines of
 * `next`, where the next tile of c begins; 16 and 48 steps earlier was not faster. All but real and
 * BP_T are undefined again at the end. */

#include "unroll.inc.h"

typedef void (*BP_T(bp_gemm_tile_fn))(int64_t k, const real *a, int64_t a_rs, int64_t a_cs,
                                      const real *b, int64_t b_rs, int64_t b_ps, real *c,
                                      int64_t c_rs, int part, const real *next, int accumulate);

#ifdef HALF_VEC
#    define HALVES 1
#else
#    define HALVES 0
#    define HALF_VEC VEC
#    define H_ZERO V_ZERO
#    define H_OF(v) (v)
#    define H_LOAD_PART V_LOAD_PART
#    define H_STORE_PART V_STORE_PART
#    define H_FMA V_FMA
#endif

/* What the last vector of each row is. A mask on a load is not free: on Intel it takes a slot of
 * the ports that multiply and add, so a tile of 12 x 2 takes 12.5 cycles a step, and 12.0 without.
 */
#ifndef BP_LAST_VECTOR
#    define BP_LAST_VECTOR
enum { LAST_PART = 0, LAST_WHOLE = 1, LAST_HALF = 2 };
#endif

/* The accumulators: `whole` vectors a row, and a half where the last vector is one. */
typedef struct {
    VEC whole[ROWS][ONE_COLS];
    HALF_VEC half[ROWS];
} BP_T(bp_gemm_sums);

BP_TILE_INLINE void BP_T(bp_gemm_begin)(const int rows, const int cols, const int kind,
                                        BP_T(bp_gemm_sums) *acc, const real *c, int64_t c_rs,
                                        VEC_PART last, int accumulate) {
    const int whole = cols - (kind == LAST_HALF);
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        const real *p = c + i * c_rs;
        BP_UNROLL
        for (int j = 0; j < whole; j++, p += LANES) {
            if (!accumulate)
                acc->whole[i][j] = V_ZERO();
            else if (j == cols - 1 && kind == LAST_PART)
                acc->whole[i][j] = V_LOAD_PART(p, last);
            else
                acc->whole[i][j] = V_LOAD(p);
        }
        if (kind == LAST_HALF) acc->half[i] = accumulate ? H_LOAD_PART(p, last) : H_ZERO();
    }
}

BP_TILE_INLINE void BP_T(bp_gemm_store)(const int rows, const int cols, const int kind,
                                        const BP_T(bp_gemm_sums) *acc, real *c, int64_t c_rs,
                                        VEC_PART last) {
    const int whole = cols - (kind == LAST_HALF);
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        real *p = c + i * c_rs;
        BP_UNROLL
        for (int j = 0; j < whole; j++, p += LANES) {
            if (j == cols - 1 && kind == LAST_PART)
                V_STORE_PART(p, last, acc->whole[i][j]);
            else
                V_STORE(p, acc->whole[i][j]);
        }
        if (kind == LAST_HALF) H_STORE_PART(p, last, acc->half[i]);
    }
}

/* One step of k, after which the bases of the rows of a point to the next one. */
BP_TILE_INLINE void BP_T(bp_gemm_step)(const int rows, const int cols, const int kind,
                                       BP_T(bp_gemm_sums) *acc, const real **base, int64_t a_rs,
                                       int64_t a_cs, const real *b, int64_t b_ps, VEC_PART last) {
    const int whole = cols - (kind == LAST_HALF);
    /* The operand with fewer vectors waits in registers for the other. */
    VEC x[ROWS], y[ONE_COLS];
    BP_UNROLL
    for (int i = 0; rows <= cols && i < rows; i++)
        x[i] = V_SET1(base[i / 3][(i % 3) * a_rs]);
    BP_UNROLL
    for (int j = 0; j < whole; j++) {
        const real *q = b + (j / COLS) * b_ps + (j % COLS) * LANES;
        y[j] = j == cols - 1 && kind == LAST_PART ? V_LOAD_PART(q, last) : V_LOAD(q);
        BP_UNROLL
        for (int i = 0; rows <= cols && i < rows; i++)
            acc->whole[i][j] = V_FMA(x[i], y[j], acc->whole[i][j]);
    }
    HALF_VEC tail = H_ZERO();
    if (kind == LAST_HALF)
        tail = H_LOAD_PART(b + (whole / COLS) * b_ps + (whole % COLS) * LANES, last);
    BP_UNROLL
    for (int i = 0; i < rows; i++) {
        if (rows > cols) x[i] = V_SET1(base[i / 3][(i % 3) * a_rs]);
        BP_UNROLL
        for (int j = 0; rows > cols && j < whole; j++)
            acc->whole[i][j] = V_FMA(x[i], y[j], acc->whole[i][j]);
        if (kind == LAST_HALF) acc->half[i] = H_FMA(H_OF(x[i]), tail, acc->half[i]);
    }
    BP_UNROLL
    for (int i = 0; i < rows; i += 3)
        base[i / 3] += a_cs;
}

BP_TILE_INLINE void BP_T(bp_gemm_tile)(const int rows, const int cols, const int kind, int64_t k,
                                       const real *a, int64_t a_rs, int64_t a_cs, const real *b,
                                       int64_t b_rs, int64_t b_ps, real *c, int64_t c_rs, int part,
                                       const real *next, int accumulate) {
    /* Not an argument: after functions with vector arguments, gcc leaves out vzeroupper. */
    const VEC_PART last = V_PART(part);
    BP_T(bp_gemm_sums) acc;
    /* Three rows share a base: base, base + a_rs and base + 2 a_rs are all x86 addresses. */
    const real *base[(ROWS + 2) / 3];

    BP_T(bp_gemm_begin)(rows, cols, kind, &acc, c, c_rs, last, accumulate);
    BP_UNROLL
    for (int i = 0; i < rows; i += 3)
        base[i / 3] = a + i * a_rs;
    const int64_t fetching = rows <= FEW_ROWS ? 0 : k < rows ? k : rows;
    for (int64_t left = k; left > fetching; left--, b += b_rs)
        BP_T(bp_gemm_step)(rows, cols, kind, &acc, base, a_rs, a_cs, b, b_ps, last);
    for (int64_t left = fetching; left > 0; left--, b += b_rs, next += c_rs) {
        BP_T(bp_gemm_step)(rows, cols, kind, &acc, base, a_rs, a_cs, b, b_ps, last);
        BP_UNROLL
        for (int j = 0; j < cols; j += 64 / (LANES * (int)sizeof(real)))
            BP_PREFETCH(next + j * LANES);
    }
    BP_T(bp_gemm_store)(rows, cols, kind, &acc, c, c_rs, last);
}

#define BP_TILE(rows, cols, kind)                                                                  \
    static void BP_T(bp_gemm_tile_##rows##x##cols##_##kind)(                                       \
        int64_t k, const real *a, int64_t a_rs, int64_t a_cs, const real *b, int64_t b_rs,         \
        int64_t b_ps, real *c, int64_t c_rs, int part, const real *next, int accumulate) {         \
        BP_T(bp_gemm_tile)(rows, cols, kind, k, a, a_rs, a_cs, b, b_rs, b_ps, c, c_rs, part, next, \
                           accumulate);                                                            \
    }
#define BP_PART_TILE(rows, cols) BP_TILE(rows, cols, LAST_PART)
#define BP_WHOLE_TILE(rows, cols) BP_TILE(rows, cols, LAST_WHOLE)
#define BP_HALF_TILE(rows, cols) BP_TILE(rows, cols, LAST_HALF)
GEMM_SHAPES(BP_PART_TILE)
GEMM_SHAPES(BP_WHOLE_TILE)
#if HALVES
GEMM_SHAPES(BP_HALF_TILE)
#endif
#undef BP_PART_TILE
#undef BP_WHOLE_TILE
#undef BP_HALF_TILE
#undef BP_TILE

/* By what the last vector is, rows, and vectors per row. */
#define BP_ENTRY(rows, cols, kind)                                                                 \
    [kind][rows - 1][cols - 1] = BP_T(bp_gemm_tile_##rows##x##cols##_##kind),
#define BP_PART_TILE(rows, cols) BP_ENTRY(rows, cols, LAST_PART)
#define BP_WHOLE_TILE(rows, cols) BP_ENTRY(rows, cols, LAST_WHOLE)
#define BP_HALF_TILE(rows, cols) BP_ENTRY(rows, cols, LAST_HALF)
static const BP_T(bp_gemm_tile_fn) BP_T(bp_gemm_tiles)[LAST_HALF + 1][ROWS][ONE_COLS] = {
    GEMM_SHAPES(BP_PART_TILE) GEMM_SHAPES(BP_WHOLE_TILE)
#if HALVES
        GEMM_SHAPES(BP_HALF_TILE)
#endif
};
#undef BP_PART_TILE
#undef BP_WHOLE_TILE
#undef BP_HALF_TILE
#undef BP_ENTRY

static inline int BP_T(bp_last_vector)(int part) {
    if (HALVES && part <= LANES / 2) return LAST_HALF;
    return part == LANES ? LAST_WHOLE : LAST_PART;
}

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
        [BP_T(bp_last_vector)(part)][m - 1][last](k, a, a_rs, a_cs, b, b_rs, b_ps, c, c_rs, part,
                                                  next, accumulate);
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
#undef V_PART
#undef V_ZERO
#undef V_SET1
#undef V_LOAD
#undef V_LOAD_PART
#undef V_STORE
#undef V_STORE_PART
#undef V_FMA
#undef HALVES
#undef HALF_VEC
#undef H_ZERO
#undef H_OF
#undef H_LOAD_PART
#undef H_STORE_PART
#undef H_FMA
