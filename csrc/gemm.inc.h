/* The driver of one element type; included by gemm.c for float and double. */

typedef struct {
    bp_blocking block;
    int copy_a, pack_b;
} BP_T(plan);

static bp_blocking BP_T(largest_block)(const BP_T(bp_kernels) *kernels) {
    const int64_t size = (int64_t)sizeof(real), mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const int64_t l1 = cache_bytes(1), l2 = cache_bytes(2);
    bp_blocking block;
    block.kc = max_i64(KC_MIN, min_i64(KC_MAX, l1 * 4 / 3 / (mr * size) / 16 * 16));
    block.mc = max_i64(1, l2 / 4 / (block.kc * size) / mr) * mr;
    block.nb = max_i64(1, min_i64(l2 / 4 / (block.kc * size), STRIP_COLUMNS) / nr) * nr;
    block.nc = max_i64(1, SCRATCH_BYTES / (block.kc * size) / block.nb) * block.nb;
    return block;
}

int64_t BP_T(bp_product_scratch)(const BP_T(bp_kernels) *kernels) {
    const bp_blocking block = BP_T(largest_block)(kernels);
    return block.kc * (block.nc + block.mc) + (block.kc + block.mc + 1) * CACHE_LINE;
}

/* Whether the lines of a strip of B would evict each other. */
static int BP_T(b_conflicts)(const BP_T(bp_product) *p, int64_t kc) {
    return kc > lines_held(cache_bytes(2), p->b_rs * (int64_t)sizeof(real));
}

/* Whether the lines of A that a tile reads would evict each other. */
static int BP_T(a_conflicts)(const BP_T(bp_product) *p, int64_t mr, int64_t kc) {
    const int by_rows = p->a_cs == 1;
    const int64_t count = by_rows ? mr : kc;
    const int64_t stride = (by_rows ? p->a_rs : p->a_cs) * (int64_t)sizeof(real);
    return count > lines_held(cache_bytes(1), stride) / 2;
}

static BP_T(plan) BP_T(make_plan)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p,
                                  int64_t m, int64_t n) {
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const int must_pack = !p->b_packed && p->b_cs != 1;
    BP_T(plan) plan = {{m, max_i64(p->k, 1), n, n}, 0, must_pack};
    const int once = m <= mr || (double)m * (double)n * (double)p->k <= SMALL_WORK;
    if (once && !must_pack) return plan;

    const bp_blocking most = BP_T(largest_block)(kernels);
    plan.block.kc = part_size(p->k, most.kc, 8);
    plan.block.nb = part_size(n, most.nb, nr);
    if (!once && !must_pack && !p->b_packed)
        plan.pack_b = m >= 4 * mr && BP_T(b_conflicts)(p, plan.block.kc);
    plan.copy_a = !once && n > nr && BP_T(a_conflicts)(p, mr, plan.block.kc);
    if (plan.pack_b) plan.block.nc = part_size(n, most.nc, plan.block.nb);
    plan.block.mc = part_size(m, most.mc, mr);
    return plan;
}

/* A block of the product: rows of c, its columns, and the k of this sum. */
typedef struct {
    int64_t m0, m1, n0, n1, p0, p1;
} BP_T(range);

/* A block of an operand as the micro-kernel reads it. */
typedef struct {
    const real *x;
    int64_t rs, cs; /* cs: of a; the panel stride of b */
} BP_T(operand);

/* The copy keeps the direction that is contiguous and only shortens the other stride, to an odd
 * number of cache lines. */
static BP_T(operand)
    BP_T(block_of_a)(const BP_T(bp_product) *p, int copy, const BP_T(range) *r, real *scratch) {
    const real *a = p->a + r->m0 * p->a_rs + r->p0 * p->a_cs;
    if (!copy) return (BP_T(operand)){a, p->a_rs, p->a_cs};
    const int64_t rows = r->m1 - r->m0, cols = r->p1 - r->p0;
    const int by_rows = p->a_cs == 1;
    const int64_t count = by_rows ? rows : cols, length = by_rows ? cols : rows;
    const int64_t from = by_rows ? p->a_rs : p->a_cs, line = CACHE_LINE / (int64_t)sizeof(real);
    const int64_t to = (ceil_div(length, line) | 1) * line;
    for (int64_t i = 0; i < count; i++)
        memcpy(scratch + i * to, a + i * from, (size_t)length * sizeof *a);
    return by_rows ? (BP_T(operand)){scratch, to, 1} : (BP_T(operand)){scratch, 1, to};
}

static int64_t BP_T(packed_b)(const BP_T(bp_kernels) *kernels, const bp_blocking *block) {
    return ceil_div(BP_T(bp_packed_count)(kernels, block->kc, block->nc), CACHE_LINE) * CACHE_LINE;
}

static void BP_T(finish)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p, int64_t i0,
                         int64_t rows, int64_t j0, int64_t cols) {
    real *c = p->c + i0 * p->c_rs + j0;
    if (p->epilogue == BP_EPILOGUE_ACT_FWD)
        kernels->act_fwd[p->act](rows, cols, c, p->c_rs, p->bias ? p->bias + j0 : NULL,
                                 p->act_out + i0 * p->act_rs + j0, p->act_rs);
    else if (p->epilogue == BP_EPILOGUE_ACT_BWD)
        kernels->act_bwd[p->act](rows, cols, p->saved + i0 * p->act_rs + j0, p->act_rs, c, p->c_rs);
}

/* A strip, in tiles of nearly equal height; finished after the last sum, some tiles at a time. */
static void BP_T(run_strip)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p,
                            BP_T(operand) a, BP_T(operand) b, const BP_T(range) *r) {
    const int64_t cols = r->n1 - r->n0, tiles = ceil_div(r->m1 - r->m0, kernels->gemm.mr);
    const int64_t height = (r->m1 - r->m0) / tiles, taller = (r->m1 - r->m0) % tiles;
    const int finish = p->epilogue && r->p1 == p->k;
    int64_t i = r->m0, done = r->m0;
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t rows = height + (t < taller);
        kernels->gemm.run(r->p1 - r->p0, a.x, a.rs, a.cs, b.x, b.rs, b.cs,
                          p->c + i * p->c_rs + r->n0, p->c_rs, (int)rows, cols,
                          p->accumulate || r->p0 > 0);
        a.x += rows * a.rs;
        i += rows;
        if (finish && ((i - done) * cols >= EPILOGUE_ELEMENTS || i == r->m1)) {
            BP_T(finish)(kernels, p, done, i - done, r->n0, cols);
            done = i;
        }
    }
}

/* One block: strips of B, packed when the first rows need them. */
static void BP_T(run_block)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p,
                            const BP_T(plan) *plan, BP_T(operand) a, const BP_T(range) *r,
                            int first, real *scratch) {
    const int64_t nr = kernels->gemm.nr;
    for (int64_t j0 = r->n0; j0 < r->n1; j0 += plan->block.nb) {
        BP_T(range) strip = *r;
        strip.n0 = j0;
        strip.n1 = min_i64(j0 + plan->block.nb, r->n1);
        BP_T(operand) b;
        if (p->b_packed) {
            b = (BP_T(operand)){p->b_packed + j0 * p->k + r->p0 * nr, nr, p->k * nr};
        } else {
            b = (BP_T(operand)){p->b + r->p0 * p->b_rs + j0 * p->b_cs, p->b_rs, nr};
        }
        if (plan->pack_b) {
            real *packed = scratch + (j0 - r->n0) * (r->p1 - r->p0);
            if (first)
                BP_T(bp_pack_b)(kernels, r->p1 - r->p0, strip.n1 - j0, b.x, p->b_rs, p->b_cs, 0,
                                ceil_div(strip.n1 - j0, nr), packed);
            b = (BP_T(operand)){packed, nr, (r->p1 - r->p0) * nr};
        }
        BP_T(run_strip)(kernels, p, a, b, &strip);
    }
}

/* Whether the vectors should run along the rows of c, because its columns would leave most of a
 * vector empty. Depends on the whole product only, as the payload of a NaN may depend on it. */
static int BP_T(is_narrow)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p) {
    if (p->m < NARROW_ROWS || p->k < 1 || p->k > NARROW_DEPTH || p->n > kernels->gemm.nr) return 0;
    return p->n <= (p->a_rs == 1 ? NARROW_COLUMNS : NARROW_COLUMNS / 2);
}

/* All columns of rows i0 <= i < i1 as the transpose of b^T a^T. scratch: both transposes. */
static void BP_T(run_narrow)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p, int64_t i0,
                             int64_t i1, real *scratch) {
    const int64_t rows = i1 - i0, k = p->k, n = p->n, nr = kernels->gemm.nr;
    const real *b = p->b_packed ? p->b_packed : p->b;
    const int64_t b_rs = p->b_packed ? nr : p->b_rs, b_cs = p->b_packed ? 1 : p->b_cs;
    real *c = p->c + i0 * p->c_rs, *c_turned = scratch, *a_turned = scratch + n * rows;
    const real *a = p->a + i0 * p->a_rs;
    int64_t a_cs = p->a_cs;
    if (p->a_rs != 1) {
        kernels->transpose(k, rows, a, p->a_rs, a_turned, rows);
        a = a_turned;
        a_cs = rows;
    }
    for (int64_t j = 0; p->accumulate && j < n; j++)
        for (int64_t i = 0; i < rows; i++)
            c_turned[j * rows + i] = c[i * p->c_rs + j];
    kernels->gemm.run(k, b, b_cs, b_rs, a, a_cs, nr, c_turned, rows, (int)n, rows, p->accumulate);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < rows; i++)
            c[i * p->c_rs + j] = c_turned[j * rows + i];
    BP_T(finish)(kernels, p, i0, rows, 0, n);
}

void BP_T(bp_product_run)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *product,
                          int64_t m0, int64_t m1, int64_t n0, int64_t n1, real *scratch) {
    if (m0 >= m1 || n0 >= n1) return;
    const BP_T(bp_product) *p = product;
    if (n0 == 0 && n1 == p->n && BP_T(is_narrow)(kernels, p)) {
        const int64_t step = NARROW_ELEMENTS / (p->a_rs == 1 ? p->n : p->k);
        for (int64_t i0 = m0; i0 < m1; i0 += step)
            BP_T(run_narrow)(kernels, p, i0, min_i64(i0 + step, m1), scratch);
        return;
    }
    const BP_T(plan) plan = BP_T(make_plan)(kernels, p, m1 - m0, n1 - n0);
    const bp_blocking block = plan.block;
    real *scratch_a = scratch + (plan.pack_b ? BP_T(packed_b)(kernels, &block) : 0);
    for (int64_t j0 = n0; j0 < n1; j0 += block.nc) {
        int64_t p0 = 0;
        do {
            for (int64_t i0 = m0; i0 < m1; i0 += block.mc) {
                const BP_T(range) r = {i0, min_i64(i0 + block.mc, m1),
                                       j0, min_i64(j0 + block.nc, n1),
                                       p0, min_i64(p0 + block.kc, p->k)};
                const BP_T(operand) a = BP_T(block_of_a)(p, plan.copy_a, &r, scratch_a);
                BP_T(run_block)(kernels, p, &plan, a, &r, i0 == m0, scratch);
            }
            p0 += block.kc;
        } while (p0 < p->k);
    }
}

void BP_T(bp_product_share)(const BP_T(bp_kernels) *kernels, int64_t m, int64_t n, int part,
                            int parts, int64_t ranges[4]) {
    const int64_t nr = kernels->gemm.nr, panels = ceil_div(n, nr);
    int64_t best = INT64_MAX, grid_n = 1;
    for (int64_t g = 1; g <= min_i64(parts, max_i64(panels, 1)); g++) {
        /* The time of the largest share; a row costs as much again for loading B. */
        const int64_t rows = ceil_div(m, parts / g), cols = min_i64(ceil_div(panels, g) * nr, n);
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
    ranges[2] = min_i64(panels * col / grid_n * nr, n);
    ranges[3] = min_i64(panels * (col + 1) / grid_n * nr, n);
}
