/* The blocked driver around the micro-kernel.
 *
 * Loops, from the outside: columns of C by nc, k by kc, rows by mc, columns by nb, tiles. The
 * (mc x kc) block of A and the (kc x nb) strip of B share the second-level cache; the rows of A of
 * one tile stay in the first level while the panels of the strip pass by. Operands are packed into
 * scratch, once per (nc, kc), only where they would be slow to read as they are (product_plan.h);
 * strips of B just before their first use. */

enum {
    NARROW_COLUMNS = 4, /* of C; half as many where A must be transposed for it */
    NARROW_ROWS = 32,
    NARROW_DEPTH = 4096,
    NARROW_ELEMENTS = 1 << 15, /* of a transpose at a time; those of A and C fit the scratch */
    EPILOGUE_ELEMENTS = 4096   /* enough to pay for the call, few enough to be in cache still */
};

static bp_product_machine machine_of(const real_kernels *kernels) {
    return bp_product_machine_of(bp_cpu_get(), sizeof(real), kernels->gemm.mr, kernels->gemm.nr);
}

static int64_t product_scratch(const real_kernels *kernels) {
    const bp_product_machine machine = machine_of(kernels);
    const bp_blocking block = bp_blocking_largest(&machine);
    return block.kc * (block.nc + block.mc) + BP_CACHE_LINE;
}

static bp_product_plan plan_product(const real_kernels *kernels, const bp_product *p, int64_t m,
                                    int64_t n) {
    const bp_product_machine machine = machine_of(kernels);
    const int vector = kernels->lanes.count * (int)sizeof(real);
    const bp_product_shape shape = {.m = m,
                                    .n = n,
                                    .k = p->k,
                                    .a_rs = p->a_rs,
                                    .a_cs = p->a_cs,
                                    .b_rs = p->b_rs,
                                    .b_cs = p->b_cs,
                                    .b_packed = !!p->b_packed,
                                    .b_shifted = (uintptr_t)p->b % (uintptr_t)vector != 0};
    return bp_product_plan_for(&machine, &shape);
}

/* A block of the product: rows of c, its columns, and the k of this sum. */
typedef struct {
    int64_t m0, m1, n0, n1, p0, p1;
} product_range;

/* A block of an operand as the micro-kernel reads it. */
typedef struct {
    const real *x;
    int64_t rs, cs; /* cs: of a, 0 where it lies in panels; the panel stride of b */
} product_operand;

/* The heights of the tiles of a block of rows, which are nearly equal. */
typedef struct {
    int64_t count, height, taller; /* the first `taller` ones have a row more */
} row_tiles;

static row_tiles tiles_of(const real_kernels *kernels, int64_t rows) {
    const int64_t count = bp_ceil_div(rows, kernels->gemm.mr);
    return (row_tiles){count, rows / count, rows % count};
}

/* Packed, the rows of each tile lie one after another for each k. */
static product_operand block_of_a(const real_kernels *kernels, const bp_product *p, int pack,
                                  const product_range *r, real *scratch) {
    const real *a = p->a + r->m0 * p->a_rs + r->p0 * p->a_cs;
    if (!pack) return (product_operand){a, p->a_rs, p->a_cs};
    const int64_t depth = r->p1 - r->p0;
    const row_tiles tiles = tiles_of(kernels, r->m1 - r->m0);
    real *panel = scratch;
    for (int64_t t = 0; t < tiles.count; t++) {
        const int64_t rows = tiles.height + (t < tiles.taller);
        if (p->a_cs == 1) {
            kernels->transpose(depth, rows, a, p->a_rs, panel, rows);
        } else {
            for (int64_t i = 0; i < depth; i++)
                copy_row(rows, a + i * p->a_cs, panel + i * rows);
        }
        a += rows * p->a_rs;
        panel += rows * depth;
    }
    return (product_operand){scratch, depth, 0};
}

static int64_t packed_b(const real_kernels *kernels, const bp_blocking *block) {
    return bp_ceil_div(packed_count(kernels, block->kc, block->nc), BP_CACHE_LINE) * BP_CACHE_LINE;
}

static void apply_epilogue(const real_kernels *kernels, const bp_product *p, int64_t i0,
                           int64_t rows, int64_t j0, int64_t cols) {
    real *c = p->c + i0 * p->c_rs + j0;
    const real *bias = p->bias && !p->bias_of_rows ? p->bias + j0 : NULL;
    if (p->bias_of_rows) kernels->add_bias(rows, cols, p->bias + i0, c, p->c_rs);
    if (p->epilogue == BP_EPILOGUE_ACT_FWD)
        kernels->act_fwd[p->act](rows, cols, c, p->c_rs, bias, p->act_out + i0 * p->act_rs + j0,
                                 p->act_rs);
    else if (p->epilogue == BP_EPILOGUE_ACT_BWD)
        kernels->act_bwd[p->act](rows, cols, p->saved + i0 * p->act_rs + j0, p->act_rs, c, p->c_rs);
}

/* A strip, in tiles of nearly equal height; the epilogue follows the last sum, some tiles at a
 * time. */
static void run_strip(const real_kernels *kernels, const bp_product *p, product_operand a,
                      product_operand b, const product_range *r) {
    const int64_t cols = r->n1 - r->n0;
    const row_tiles tiles = tiles_of(kernels, r->m1 - r->m0);
    const int has_epilogue = p->epilogue && r->p1 == p->k;
    int64_t i = r->m0, done = r->m0;
    for (int64_t t = 0; t < tiles.count; t++) {
        const int64_t rows = tiles.height + (t < tiles.taller);
        kernels->gemm.run(r->p1 - r->p0, a.x, a.cs ? a.rs : 1, a.cs ? a.cs : rows, b.x, b.rs, b.cs,
                          p->c + i * p->c_rs + r->n0, p->c_rs, (int)rows, cols,
                          p->accumulate || r->p0 > 0);
        a.x += rows * a.rs;
        i += rows;
        if (has_epilogue && ((i - done) * cols >= EPILOGUE_ELEMENTS || i == r->m1)) {
            apply_epilogue(kernels, p, done, i - done, r->n0, cols);
            done = i;
        }
    }
}

/* One block: strips of B, packed when the first rows need them. */
static void run_product_block(const real_kernels *kernels, const bp_product *p,
                              const bp_product_plan *plan, product_operand a,
                              const product_range *r, int first, real *scratch) {
    const int64_t nr = kernels->gemm.nr;
    for (int64_t j0 = r->n0; j0 < r->n1; j0 += plan->block.nb) {
        product_range strip = *r;
        strip.n0 = j0;
        strip.n1 = bp_min_i64(j0 + plan->block.nb, r->n1);
        product_operand b;
        if (p->b_packed) {
            b = (product_operand){p->b_packed + j0 * p->k + r->p0 * nr, nr, p->k * nr};
        } else {
            b = (product_operand){p->b + r->p0 * p->b_rs + j0 * p->b_cs, p->b_rs, nr};
        }
        if (plan->pack_b) {
            real *packed = scratch + (j0 - r->n0) * (r->p1 - r->p0);
            if (first)
                pack_b(kernels, r->p1 - r->p0, strip.n1 - j0, b.x, p->b_rs, p->b_cs, 0,
                       bp_ceil_div(strip.n1 - j0, nr), packed);
            b = (product_operand){packed, nr, (r->p1 - r->p0) * nr};
        }
        run_strip(kernels, p, a, b, &strip);
    }
}

/* Whether the vectors should run along the rows of c, because its columns would leave most of a
 * vector empty. The answer depends only on the whole product, because the payload of a NaN may
 * depend on the answer. */
static int is_narrow(const real_kernels *kernels, const bp_product *p) {
    if (p->m < NARROW_ROWS || p->k < 1 || p->k > NARROW_DEPTH || p->n > kernels->gemm.nr) return 0;
    return p->n <= (p->a_rs == 1 ? NARROW_COLUMNS : NARROW_COLUMNS / 2);
}

/* All columns of rows i0 <= i < i1 as the transpose of b^T a^T. scratch: both transposes. */
static void run_narrow(const real_kernels *kernels, const bp_product *p, int64_t i0, int64_t i1,
                       real *scratch) {
    const int64_t rows = i1 - i0, k = p->k, n = p->n, nr = kernels->gemm.nr;
    const real *b = p->b_packed ? p->b_packed : p->b;
    const int64_t b_rs = p->b_packed ? nr : p->b_rs, b_cs = p->b_packed ? 1 : p->b_cs;
    real *c = p->c + i0 * p->c_rs, *c_transposed = scratch, *a_transposed = scratch + n * rows;
    const real *a = p->a + i0 * p->a_rs;
    int64_t a_cs = p->a_cs;
    if (p->a_rs != 1) {
        kernels->transpose(k, rows, a, p->a_rs, a_transposed, rows);
        a = a_transposed;
        a_cs = rows;
    }
    for (int64_t j = 0; p->accumulate && j < n; j++)
        for (int64_t i = 0; i < rows; i++)
            c_transposed[j * rows + i] = c[i * p->c_rs + j];
    kernels->gemm.run(k, b, b_cs, b_rs, a, a_cs, nr, c_transposed, rows, (int)n, rows,
                      p->accumulate);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < rows; i++)
            c[i * p->c_rs + j] = c_transposed[j * rows + i];
    apply_epilogue(kernels, p, i0, rows, 0, n);
}

static void product_run(const real_kernels *kernels, const bp_product *product, int64_t m0,
                        int64_t m1, int64_t n0, int64_t n1, real *scratch) {
    if (m0 >= m1 || n0 >= n1) return;
    const bp_product *p = product;
    if (n0 == 0 && n1 == p->n && is_narrow(kernels, p)) {
        const int64_t step = NARROW_ELEMENTS / (p->a_rs == 1 ? p->n : p->k);
        for (int64_t i0 = m0; i0 < m1; i0 += step)
            run_narrow(kernels, p, i0, bp_min_i64(i0 + step, m1), scratch);
        return;
    }
    const bp_product_plan plan = plan_product(kernels, p, m1 - m0, n1 - n0);
    const bp_blocking block = plan.block;
    real *scratch_a = scratch + (plan.pack_b ? packed_b(kernels, &block) : 0);
    for (int64_t j0 = n0; j0 < n1; j0 += block.nc) {
        int64_t p0 = 0;
        do {
            for (int64_t i0 = m0; i0 < m1; i0 += block.mc) {
                const product_range r = {i0, bp_min_i64(i0 + block.mc, m1),
                                         j0, bp_min_i64(j0 + block.nc, n1),
                                         p0, bp_min_i64(p0 + block.kc, p->k)};
                const product_operand a = block_of_a(kernels, p, plan.pack_a, &r, scratch_a);
                run_product_block(kernels, p, &plan, a, &r, i0 == m0, scratch);
            }
            p0 += block.kc;
        } while (p0 < p->k);
    }
}

static void product_share(const real_kernels *kernels, int64_t m, int64_t n, int part, int parts,
                          int64_t ranges[4]) {
    const int64_t nr = kernels->gemm.nr, panels = bp_ceil_div(n, nr);
    int64_t best = INT64_MAX, grid_n = 1;
    for (int64_t g = 1; g <= bp_min_i64(parts, bp_max_i64(panels, 1)); g++) {
        /* The time of the largest share. Loading B takes as long as one more row. */
        const int64_t rows = bp_ceil_div(m, parts / g),
                      cols = bp_min_i64(bp_ceil_div(panels, g) * nr, n);
        const int64_t cost = (rows + 1) * cols;
        if (cost <= best) {
            best = cost;
            grid_n = g;
        }
    }
    const int64_t grid_m = parts / grid_n, row = part / grid_n, col = part % grid_n;
    if (row >= grid_m) {
        ranges[0] = ranges[1] = ranges[2] = ranges[3] = 0;
        return;
    }
    ranges[0] = m * row / grid_m;
    ranges[1] = m * (row + 1) / grid_m;
    ranges[2] = bp_min_i64(panels * col / grid_n * nr, n);
    ranges[3] = bp_min_i64(panels * (col + 1) / grid_n * nr, n);
}
