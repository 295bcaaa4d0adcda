/* The driver of one element type; included by gemm.c for float and double. */

typedef struct {
    bp_blocking block;
    int copy_a, pack_b;
} BP_T(plan);

static bp_blocking BP_T(largest_block)(const BP_T(bp_kernels) *kernels) {
    const int64_t size = (int64_t)sizeof(real), mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const int64_t l1 = cache_bytes(1), l2 = cache_bytes(2);
    bp_blocking block;
    block.kc = max_i64(KC_MIN, min_i64(KC_MAX, l1 * 2 / 3 / (mr * size) / 16 * 16));
    block.nc = max_i64(1, l2 / 2 / (block.kc * size) / nr) * nr;
    block.mc = max_i64(1, l2 / 6 / (block.kc * size) / mr) * mr;
    return block;
}

int64_t BP_T(bp_product_scratch)(const BP_T(bp_kernels) *kernels) {
    const bp_blocking block = BP_T(largest_block)(kernels);
    return block.kc * (block.nc + block.mc) + (block.kc + block.mc + 1) * CACHE_LINE;
}

/* Whether rows of B (kc of them) at its stride should be copied together. */
static int BP_T(b_is_scattered)(const BP_T(bp_product) *p, int64_t kc) {
    const int64_t stride = p->b_rs * (int64_t)sizeof(real);
    return kc * stride > TLB_REACH || kc > lines_held(cache_bytes(2), stride) / 2;
}

/* Whether the rows or columns of a tile of A at their stride should be copied together. */
static int BP_T(a_is_scattered)(const BP_T(bp_product) *p, int64_t mr, int64_t kc) {
    const int by_rows = p->a_cs == 1;
    const int64_t count = by_rows ? mr : kc;
    const int64_t stride = (by_rows ? p->a_rs : p->a_cs) * (int64_t)sizeof(real);
    return count > lines_held(cache_bytes(1), stride) / 2 ||
           (!by_rows && count * stride > TLB_REACH);
}

static BP_T(plan) BP_T(make_plan)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p,
                                  int64_t m, int64_t n) {
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const int must_pack = !p->b_packed && p->b_cs != 1;
    BP_T(plan) plan = {{max_i64(m, 1), max_i64(p->k, 1), max_i64(n, 1)}, 0, must_pack};
    const int once = m <= mr || (double)m * (double)n * (double)p->k <= SMALL_WORK;
    if (once && !must_pack) return plan;

    const bp_blocking most = BP_T(largest_block)(kernels);
    plan.block.kc = part_size(p->k, most.kc, 8);
    plan.block.nc = part_size(n, most.nc, nr);
    if (once) return plan;
    if (!must_pack && !p->b_packed)
        plan.pack_b = m >= 4 * mr && BP_T(b_is_scattered)(p, plan.block.kc);
    plan.copy_a = n > nr && BP_T(a_is_scattered)(p, mr, plan.block.kc);
    if (plan.copy_a) plan.block.mc = part_size(m, most.mc, mr);
    return plan;
}

/* A block of an operand as the micro-kernel reads it. */
typedef struct {
    const real *x;
    int64_t rs, cs; /* cs: of a; the panel stride of b */
} BP_T(operand);

static BP_T(operand)
    BP_T(block_of_b)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p, int pack,
                     int64_t p0, int64_t kc, int64_t j0, int64_t nc, real *scratch) {
    const int64_t nr = kernels->gemm.nr;
    if (p->b_packed) return (BP_T(operand)){p->b_packed + j0 * p->k + p0 * nr, nr, p->k * nr};
    const real *b = p->b + p0 * p->b_rs + j0 * p->b_cs;
    if (!pack) return (BP_T(operand)){b, p->b_rs, nr};
    BP_T(bp_pack_b)(kernels, kc, nc, b, p->b_rs, p->b_cs, 0, ceil_div(nc, nr), scratch);
    return (BP_T(operand)){scratch, nr, kc * nr};
}

/* The copy keeps the direction that is contiguous and only shortens the other stride, to an odd
 * number of cache lines. */
static BP_T(operand) BP_T(block_of_a)(const BP_T(bp_product) *p, int copy, int64_t i0, int64_t mc,
                                      int64_t p0, int64_t kc, real *scratch) {
    const real *a = p->a + i0 * p->a_rs + p0 * p->a_cs;
    if (!copy) return (BP_T(operand)){a, p->a_rs, p->a_cs};
    const int by_rows = p->a_cs == 1;
    const int64_t count = by_rows ? mc : kc, length = by_rows ? kc : mc;
    const int64_t from = by_rows ? p->a_rs : p->a_cs, line = CACHE_LINE / (int64_t)sizeof(real);
    const int64_t to = (ceil_div(length, line) | 1) * line;
    for (int64_t i = 0; i < count; i++)
        memcpy(scratch + i * to, a + i * from, (size_t)length * sizeof *a);
    return by_rows ? (BP_T(operand)){scratch, to, 1} : (BP_T(operand)){scratch, 1, to};
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

/* Rows i0 <= i < i0 + mc of a block, in tiles of nearly equal height; finishes them if `last`. */
static void BP_T(run_rows)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p,
                           BP_T(operand) a, BP_T(operand) b, int64_t i0, int64_t mc, int64_t j0,
                           int64_t nc, int64_t kc, int accumulate, int last) {
    const int64_t tiles = ceil_div(mc, kernels->gemm.mr);
    const int64_t height = mc / tiles, taller = mc % tiles;
    const int64_t group = last && p->epilogue ? ceil_div(EPILOGUE_ELEMENTS, nc) : mc + 1;
    int64_t waiting = 0;
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t rows = height + (t < taller);
        kernels->gemm.run(kc, a.x, a.rs, a.cs, b.x, b.rs, b.cs, p->c + i0 * p->c_rs + j0, p->c_rs,
                          (int)rows, nc, accumulate);
        a.x += rows * a.rs;
        i0 += rows;
        waiting += rows;
        if (waiting >= group) {
            BP_T(finish)(kernels, p, i0 - waiting, waiting, j0, nc);
            waiting = 0;
        }
    }
    if (last && waiting > 0) BP_T(finish)(kernels, p, i0 - waiting, waiting, j0, nc);
}

void BP_T(bp_product_run)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *product,
                          int64_t m0, int64_t m1, int64_t n0, int64_t n1, real *scratch) {
    if (m0 >= m1 || n0 >= n1) return;
    const BP_T(bp_product) *p = product;
    const BP_T(plan) plan = BP_T(make_plan)(kernels, p, m1 - m0, n1 - n0);
    const bp_blocking block = plan.block;
    const int64_t packed = BP_T(bp_packed_count)(kernels, block.kc, block.nc);
    real *scratch_a = scratch + (plan.pack_b ? ceil_div(packed, CACHE_LINE) * CACHE_LINE : 0);
    for (int64_t j0 = n0; j0 < n1; j0 += block.nc) {
        const int64_t nc = min_i64(block.nc, n1 - j0);
        int64_t p0 = 0;
        do {
            const int64_t kc = min_i64(block.kc, p->k - p0);
            const int last = p0 + kc == p->k;
            const BP_T(operand) b =
                BP_T(block_of_b)(kernels, p, plan.pack_b, p0, kc, j0, nc, scratch);
            for (int64_t i0 = m0; i0 < m1; i0 += block.mc) {
                const int64_t mc = min_i64(block.mc, m1 - i0);
                const BP_T(operand) a = BP_T(block_of_a)(p, plan.copy_a, i0, mc, p0, kc, scratch_a);
                BP_T(run_rows)(kernels, p, a, b, i0, mc, j0, nc, kc, p->accumulate || p0 > 0, last);
            }
            p0 += kc;
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
