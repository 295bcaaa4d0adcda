/* One layer for one element type; included by dense.c for float and double. */

/* A product so small that deciding how to block it would take as long as doing it: the micro-kernel
 * on the operands as they are, the epilogue on the whole result. The bits are the driver's. */
static void BP_T(run_small)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *p) {
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const real *b = p->b_packed ? p->b_packed : p->b;
    const int64_t b_rs = p->b_packed ? nr : p->b_rs, b_ps = p->b_packed ? p->k * nr : nr;
    for (int64_t i = 0; i < p->m; i += mr)
        kernels->gemm.run(p->k, p->a + i * p->a_rs, p->a_rs, p->a_cs, b, b_rs, b_ps,
                          p->c + i * p->c_rs, p->c_rs, (int)(p->m - i < mr ? p->m - i : mr), p->n,
                          p->accumulate);
    if (p->epilogue == BP_EPILOGUE_ACT_FWD)
        kernels->act_fwd[p->act](p->m, p->n, p->c, p->c_rs, p->bias, p->act_out, p->act_rs);
    else if (p->epilogue == BP_EPILOGUE_ACT_BWD)
        kernels->act_bwd[p->act](p->m, p->n, p->saved, p->act_rs, p->c, p->c_rs);
}

static BP_T(bp_tile) BP_T(run_share)(const BP_T(bp_dense) *d, const BP_T(bp_product) *product) {
    int64_t range[4] = {0, product->m, 0, product->n};
    if (d->members == 1 && (product->b_packed || product->b_cs == 1) &&
        product->m * product->n <= SMALL_RESULT && product->k <= SMALL_DEPTH) {
        BP_T(run_small)(d->kernels, product);
        return (BP_T(bp_tile)){0, product->m, 0, product->n};
    }
    if (d->members > 1)
        BP_T(bp_product_share)(d->kernels, product->m, product->n, d->member, d->members, range);
    BP_T(bp_product_run)(d->kernels, product, range[0], range[1], range[2], range[3], d->scratch);
    return (BP_T(bp_tile)){range[0], range[1], range[2], range[3]};
}

BP_T(bp_tile)
BP_T(bp_dense_fwd)(const BP_T(bp_dense) *d, int act, const real *x, int64_t ldx, const real *b,
                   real *z, real *y, int64_t ldy) {
    BP_T(bp_product) product = {
        .m = d->rows,
        .n = d->n_out,
        .k = d->n_in,
        .a = x,
        .a_rs = ldx,
        .a_cs = 1,
        .b = d->w,
        .b_rs = 1,
        .b_cs = d->n_in,
        .b_packed = d->packed,
        .c = z ? z : y,
        .c_rs = ldy,
        .epilogue = BP_EPILOGUE_ACT_FWD,
        .act = act == BP_ACT_SOFTMAX ? BP_ACT_IDENTITY : act,
        .bias = b,
        .act_out = y,
        .act_rs = ldy,
    };
    return BP_T(run_share)(d, &product);
}

BP_T(bp_tile)
BP_T(bp_dense_bwd_x)(const BP_T(bp_dense) *d, const real *delta, int64_t ldd, int act,
                     const real *saved, real *dx, int64_t lddx) {
    BP_T(bp_product) product = {
        .m = d->rows,
        .n = d->n_in,
        .k = d->n_out,
        .a = delta,
        .a_rs = ldd,
        .a_cs = 1,
        .b = d->w,
        .b_rs = d->n_in,
        .b_cs = 1,
        .c = dx,
        .c_rs = lddx,
        .epilogue = saved ? BP_EPILOGUE_ACT_BWD : BP_EPILOGUE_NONE,
        .act = act,
        .saved = saved,
        .act_rs = lddx,
    };
    return BP_T(run_share)(d, &product);
}

void BP_T(bp_dense_bwd_w)(const BP_T(bp_dense) *d, const real *x, int64_t ldx, const real *delta,
                          int64_t ldd, real *dw, real *db, int accumulate) {
    if (dw) {
        BP_T(bp_product) product = {
            .m = d->n_out,
            .n = d->n_in,
            .k = d->rows,
            .a = delta,
            .a_rs = 1,
            .a_cs = ldd,
            .b = x,
            .b_rs = ldx,
            .b_cs = 1,
            .c = dw,
            .c_rs = d->lddw ? d->lddw : d->n_in,
            .accumulate = accumulate,
            .epilogue = BP_EPILOGUE_NONE,
        };
        BP_T(run_share)(d, &product);
    }
    if (db) {
        /* Shares of 64 columns: no two members write to one cache line for long. */
        int64_t begin, end;
        bp_share(d->n_out, 64, d->member, d->members, &begin, &end);
        d->kernels->col_sum(d->rows, end - begin, delta + begin, ldd, db + begin, accumulate);
    }
}
