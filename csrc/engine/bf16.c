/* Conversion to bfloat16 operands, and the blocked driver around their micro-kernel.
 *
 * Loops, from the outside: columns of C by nc, rows by mc, the small and then the large products,
 * k by kb, bands of rows, k by kc, tiles. The (kb x nc) block of B stays in the second-level
 * cache while the bands of A pass by; the rows of A of one tile, kc deep, lie in the first level.
 */
#include <string.h>

#include "engine/bf16.h"
#include "engine/product_plan.h"
#include "system/cpu.h"
#include "system/integers.h"
#include "system/mem.h"

enum {
    BLOCK = BP_BF16_BLOCK,
    COLUMNS_MIN = 256,          /* for which k is cut: with fewer, A is read too often */
    COLUMNS_MAX = 512,          /* a band of C is to stay in the second-level cache */
    ROW_GROUP = 16,             /* rows up to a multiple of this exist in a slab */
    EPILOGUE_ELEMENTS = 1 << 14 /* of C: enough to pay for the calls, and in cache still */
};

static int64_t blocks_of(int64_t n) {
    return bp_round_up(n, BLOCK) / BLOCK;
}

int bp_bf16_planes(int precision) {
    switch (precision) {
    case BP_PRECISION_BF16:
        return 1;
    case BP_PRECISION_BF16X2:
        return 2;
    case BP_PRECISION_BF16X3:
        return 3;
    default:
        return 0;
    }
}

/* ---- operands ---- */

static int is_transposed(bp_bf16_form form) {
    return form == BP_BF16_ROWS_T || form == BP_BF16_PANELS_T;
}

/* An odd number of groups of rows in a slab spreads the slabs over the sets of a cache. */
int bp_bf16_layout(bp_bf16_form form, int planes, int64_t rows, int64_t cols, uint16_t *x,
                   bp_bf16_operand *operand, int64_t *count) {
    if (rows < 0 || cols < 0 || rows > INT64_MAX / 4096 || cols > INT64_MAX / 4096) return 0;
    const int64_t height = is_transposed(form) ? cols : rows;
    const int64_t width = is_transposed(form) ? rows : cols;
    const int in_rows = form == BP_BF16_ROWS || form == BP_BF16_ROWS_T;
    const int64_t groups = bp_max_i64(bp_round_up(height, ROW_GROUP) / ROW_GROUP, 1) | 1;
    operand->x = x;
    operand->stride = BLOCK * (in_rows ? groups * ROW_GROUP : bp_round_up(height, BLOCK));
    return bp_mul_size(operand->stride, blocks_of(width), &operand->plane) &&
           bp_mul_size(operand->plane, planes, count);
}

/* Transposes each (32 x 32) block of src: converts it to the other layout, then transposes the
 * pairs of numbers that lie together there. */
static void convert_transposed(const bp_bf16_kernels *kernels, bp_bf16_form form, int planes,
                               int64_t rows, int64_t cols, const float *src, int64_t ld,
                               const bp_bf16_operand *dst, uint16_t *start) {
    enum { ELEMENTS = BLOCK * BLOCK, PAIRS = BLOCK / 2 };
    union {
        uint16_t x[BP_BF16_PLANES][ELEMENTS];
        float pairs[BP_BF16_PLANES][ELEMENTS / 2];
    } block;
    for (int64_t i = 0; i < rows; i += BLOCK, start += dst->stride) {
        const int64_t height = bp_min_i64(rows - i, BLOCK);
        for (int64_t j = 0; j < cols; j += BLOCK) {
            const int64_t width = bp_min_i64(cols - j, BLOCK);
            uint16_t *to = start + j * BLOCK;
            if (form == BP_BF16_ROWS_T) {
                kernels->bf16->to_panels(planes, height, width, src + i * ld + j, ld, block.x[0], 0,
                                         ELEMENTS);
            } else {
                if (height < BLOCK) memset(&block, 0, sizeof block);
                kernels->bf16->to_rows(planes, height, width, src + i * ld + j, ld, block.x[0], 0,
                                       ELEMENTS);
            }
            for (int p = 0; p < planes; p++) {
                float *pairs = (float *)(void *)(to + p * dst->plane);
                if (form == BP_BF16_ROWS_T)
                    kernels->f32->transpose(width, PAIRS, block.pairs[p], BLOCK, pairs, PAIRS);
                else
                    kernels->f32->transpose(PAIRS, BLOCK, block.pairs[p], PAIRS, pairs, BLOCK);
            }
        }
    }
}

/* Bands of 32 rows are read as 32 streams, which the machine prefetches. */
void bp_bf16_convert(const bp_bf16_kernels *kernels, bp_bf16_form form, int planes, int64_t rows,
                     int64_t cols, const float *src, int64_t ld, const bp_bf16_operand *dst,
                     int64_t row0, int64_t col0) {
    if (is_transposed(form)) {
        convert_transposed(kernels, form, planes, rows, cols, src, ld, dst,
                           dst->x + row0 / BLOCK * dst->stride + col0 * BLOCK);
        return;
    }
    uint16_t *start = dst->x + col0 / BLOCK * dst->stride + row0 * BLOCK;
    for (int64_t i = 0; i < rows; i += BLOCK) {
        const int64_t height = bp_min_i64(rows - i, BLOCK);
        uint16_t *to = start + i * BLOCK;
        if (form == BP_BF16_ROWS)
            kernels->bf16->to_rows(planes, height, cols, src + i * ld, ld, to, dst->stride,
                                   dst->plane);
        else
            kernels->bf16->to_panels(planes, height, cols, src + i * ld, ld, to, dst->stride,
                                     dst->plane);
    }
}

/* ---- products ---- */

/* Cuts count into equal parts of at most `most`, a multiple of 32, each but the last a multiple
 * of 32. */
static int64_t part_size(int64_t count, int64_t most) {
    const int64_t parts = bp_max_i64(bp_ceil_div(count, most), 1);
    return bp_max_i64(bp_round_up(bp_ceil_div(count, parts), BLOCK), BLOCK);
}

/* Floats of the block of C that waits for its large products: a quarter of the second level. */
static int64_t block_entries(void) {
    return bp_l2_bytes(bp_cpu_get()) / 4 / (int64_t)sizeof(float);
}

int64_t bp_bf16_product_scratch(const bp_bf16_kernels *kernels) {
    return bp_max_i64(block_entries(), kernels->bf16->band * COLUMNS_MAX);
}

typedef struct {
    int64_t mc, nc, kb, kc;
} bf16_blocking;

/* The block of B, all planes, fills its share of the second-level cache. */
static bf16_blocking blocking_of(const bp_bf16_kernels *kernels, const bp_bf16_product *p,
                                 int64_t m, int64_t n) {
    const int64_t band = kernels->bf16->band, column = 2 * p->planes,
                  share = bp_l2_bytes(bp_cpu_get()) / kernels->bf16->b_share;
    const int64_t depth = bp_max_i64(bp_round_up(p->k, BLOCK), BLOCK);
    bf16_blocking b;
    b.kb = part_size(depth, bp_max_i64(share / (column * COLUMNS_MIN) / BLOCK, 1) * BLOCK);
    b.kc = part_size(b.kb, kernels->bf16->kc / (p->planes > 1 ? 2 : 1));
    const int64_t cols = bp_min_i64(share / (column * b.kb), COLUMNS_MAX);
    b.nc = part_size(n, bp_max_i64(cols / BLOCK, 1) * BLOCK);
    b.mc = p->planes > 1 ? part_size(m, bp_max_i64(block_entries() / b.nc / band, 1) * band) : m;
    return b;
}

/* The products of planes that are summed in one pass over k. */
static int make_terms(const bp_bf16_product *p, int large, bp_bf16_term *terms) {
    static const int small2[][2] = {{0, 1}, {1, 0}};
    static const int small3[][2] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}};
    if (large) {
        terms[0] = (bp_bf16_term){0, 0};
        return 1;
    }
    const int count = p->planes == 2 ? 2 : 5;
    for (int t = 0; t < count; t++) {
        const int *planes = p->planes == 2 ? small2[t] : small3[t];
        terms[t] = (bp_bf16_term){planes[0] * p->a.plane, planes[1] * p->b.plane};
    }
    return count;
}

/* A block of C, at c: the result's own memory, or scratch. */
typedef struct {
    int64_t m0, m1, n0, n1;
    float *c;
    int64_t c_rs;
    int apart; /* whether c is scratch, to be added to the result */
} c_block;

static void apply_epilogue(const bp_bf16_kernels *kernels, const bp_bf16_product *p,
                           const c_block *block, int64_t i0, int64_t i1) {
    const int64_t rows = i1 - i0, n0 = block->n0, cols = block->n1 - n0;
    float *c = p->c + i0 * p->c_rs + n0;
    const int64_t at = i0 * p->act_rs + n0;
    if (block->apart)
        for (int64_t i = 0; i < rows; i++)
            kernels->f32->add(cols, block->c + (i0 - block->m0 + i) * block->c_rs, c + i * p->c_rs,
                              c + i * p->c_rs);
    if (p->epilogue == BP_EPILOGUE_ACT_FWD)
        kernels->f32->act_fwd[p->act](rows, cols, c, p->c_rs, p->bias ? p->bias + n0 : NULL,
                                      p->act_out + at, p->act_rs);
    else if (p->epilogue == BP_EPILOGUE_ACT_BWD)
        kernels->f32->act_bwd[p->act](rows, cols, p->saved + at, p->act_rs, c, p->c_rs);
    const int activates = p->epilogue == BP_EPILOGUE_ACT_FWD;
    for (int o = 0; o < 2; o++)
        if (p->out[o].form)
            bp_bf16_convert(kernels, p->out[o].form, p->planes, rows, cols,
                            activates ? p->act_out + at : c, activates ? p->act_rs : p->c_rs,
                            &p->out[o].operand, i0, n0);
}

/* A pass over k: the products of some planes, added to a block of C. */
typedef struct {
    const bp_bf16_product *product;
    const c_block *block;
    bp_bf16_term terms[BP_BF16_TERMS];
    int n_terms;
    int64_t kc;
} k_pass;

/* Adds the products for p0 <= k < p1 to the band that begins at row i; if there are none, adds 0.
 */
static void run_band(const bp_bf16_kernels *kernels, const k_pass *pass, int64_t i, int64_t p0,
                     int64_t p1, int accumulate) {
    const bp_bf16_product *p = pass->product;
    const c_block *block = pass->block;
    int64_t q = p0;
    do {
        const bp_bf16_block band = {
            .m = bp_min_i64(kernels->bf16->band, block->m1 - i),
            .n = block->n1 - block->n0,
            .k = bp_min_i64(pass->kc, p1 - q),
            .a = p->a.x + q / BLOCK * p->a.stride + i * BLOCK,
            .slab = p->a.stride,
            .b = p->b.x + block->n0 / BLOCK * p->b.stride + q * BLOCK,
            .panel = p->b.stride,
            .terms = pass->terms,
            .n_terms = pass->n_terms,
            .c = block->c + (i - block->m0) * block->c_rs,
            .c_rs = block->c_rs,
            .accumulate = accumulate || q > p0,
        };
        kernels->bf16->run(&band);
        q += pass->kc;
    } while (q < p1);
}

/* The epilogue of rows follows their last products, some at a time. */
static void run_pass(const bp_bf16_kernels *kernels, const bp_bf16_product *p,
                     const bf16_blocking *cut, const c_block *block, int first, int last) {
    k_pass pass = {.product = p, .block = block, .kc = cut->kc};
    pass.n_terms = make_terms(p, last, pass.terms);
    const int64_t depth = bp_round_up(p->k, BLOCK), cols = block->n1 - block->n0;
    const int64_t height = kernels->bf16->band;
    const int has_epilogue = p->epilogue || block->apart || p->out[0].form || p->out[1].form;
    int64_t p0 = 0;
    do {
        const int64_t p1 = bp_min_i64(p0 + cut->kb, depth);
        const int ends = last && has_epilogue && p1 == depth;
        int64_t done = block->m0;
        for (int64_t i = block->m0; i < block->m1; i += height) {
            const int64_t end = bp_min_i64(i + height, block->m1);
            run_band(kernels, &pass, i, p0, p1,
                     p0 > 0 || !first || (p->accumulate && !block->apart));
            if (ends && ((end - done) * cols >= EPILOGUE_ELEMENTS || end == block->m1)) {
                apply_epilogue(kernels, p, block, done, end);
                done = end;
            }
        }
        p0 = p1;
    } while (p0 < depth);
}

/* Small products that are not finite say nothing that the large ones do not say. The small parts of
 * an infinity are zeros, whose products with an infinity are NaN; and if a small product overflows,
 * so does the large one, perhaps with the other sign. */
static void run_block(const bp_bf16_kernels *kernels, const bp_bf16_product *p,
                      const bf16_blocking *cut, c_block *block, float *scratch) {
    const int64_t rows = block->m1 - block->m0, cols = block->n1 - block->n0;
    block->apart = p->accumulate && p->planes > 1;
    block->c = block->apart ? scratch : p->c + block->m0 * p->c_rs + block->n0;
    block->c_rs = block->apart ? cols : p->c_rs;
    if (p->planes > 1) {
        run_pass(kernels, p, cut, block, 1, 0);
        kernels->bf16->drop_specials(rows, cols, block->c, block->c_rs);
    }
    run_pass(kernels, p, cut, block, p->planes == 1, 1);
}

void bp_bf16_product_run(const bp_bf16_kernels *kernels, const bp_bf16_product *product, int64_t m0,
                         int64_t m1, int64_t n0, int64_t n1, float *scratch) {
    if (m0 >= m1 || n0 >= n1) return;
    const bf16_blocking cut = blocking_of(kernels, product, m1 - m0, n1 - n0);
    for (int64_t j = n0; j < n1; j += cut.nc) {
        for (int64_t i = m0; i < m1; i += cut.mc) {
            c_block block = {i, bp_min_i64(i + cut.mc, m1), j, bp_min_i64(j + cut.nc, n1), NULL, 0,
                             0};
            run_block(kernels, product, &cut, &block, scratch);
        }
    }
}

void bp_bf16_product_share(int64_t m, int64_t n, int part, int parts, int64_t ranges[4]) {
    const int64_t down = blocks_of(m), across = blocks_of(n);
    int64_t best = INT64_MAX, grid_n = 1;
    for (int64_t g = 1; g <= bp_min_i64(parts, bp_max_i64(across, 1)); g++) {
        /* The size of the largest share. Of equally large ones, the squarest converts and loads the
         * least. */
        const int64_t rows = bp_ceil_div(down, parts / g), cols = bp_ceil_div(across, g);
        const int64_t cost = rows * cols * 64 + rows + cols;
        if (cost < best) {
            best = cost;
            grid_n = g;
        }
    }
    const int64_t grid_m = parts / grid_n, row = part / grid_n, col = part % grid_n;
    if (row >= grid_m) {
        ranges[0] = ranges[1] = ranges[2] = ranges[3] = 0;
        return;
    }
    ranges[0] = bp_min_i64(down * row / grid_m * BLOCK, m);
    ranges[1] = bp_min_i64(down * (row + 1) / grid_m * BLOCK, m);
    ranges[2] = bp_min_i64(across * col / grid_n * BLOCK, n);
    ranges[3] = bp_min_i64(across * (col + 1) / grid_n * BLOCK, n);
}
