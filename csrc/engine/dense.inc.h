/* One layer as products: forward, and backward to the inputs and to the weights. */

/* Entries of a result, and products in each, up to which all operands lie in the nearest cache. */
enum { SMALL_RESULT = 1024, SMALL_DEPTH = 64 };

/* Runs a product so small that deciding how to block it would take as long as computing it: the
 * micro-kernel works on the operands as they are, and the epilogue on the whole result. The bits
 * are the same as the driver's. */
static void product_run_small(const real_kernels *kernels, const bp_product *p) {
    const int64_t mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    const real *b = p->b_packed ? p->b_packed : p->b;
    const int64_t b_rs = p->b_packed ? nr : p->b_rs, b_ps = p->b_packed ? p->k * nr : nr;
    for (int64_t i = 0; i < p->m; i += mr)
        kernels->gemm.run(p->k, p->a + i * p->a_rs, p->a_rs, p->a_cs, b, b_rs, b_ps,
                          p->c + i * p->c_rs, p->c_rs, (int)(p->m - i < mr ? p->m - i : mr), p->n,
                          p->accumulate);
    if (p->epilogue) apply_epilogue(kernels, p, 0, p->m, 0, p->n);
}

static bp_tile run_share(const bp_dense *d, const bp_product *product) {
    int64_t range[4] = {0, product->m, 0, product->n};
    if (d->members == 1 && (product->b_packed || product->b_cs == 1) &&
        product->m * product->n <= SMALL_RESULT && product->k <= SMALL_DEPTH) {
        product_run_small(d->kernels, product);
        return (bp_tile){0, product->m, 0, product->n};
    }
    if (d->members > 1)
        product_share(d->kernels, product->m, product->n, d->member, d->members, range);
    product_run(d->kernels, product, range[0], range[1], range[2], range[3], d->scratch);
    return (bp_tile){range[0], range[1], range[2], range[3]};
}

static bp_tile dense_fwd(const bp_dense *d, int act, const real *x, int64_t ldx, const real *b,
                         real *z, real *y, int64_t ldy) {
    bp_product product = {
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
    return run_share(d, &product);
}

static bp_tile dense_bwd_x(const bp_dense *d, const real *delta, int64_t ldd, int act,
                           const real *saved, real *dx, int64_t lddx) {
    bp_product product = {
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
    return run_share(d, &product);
}

static void dense_bwd_w(const bp_dense *d, const real *x, int64_t ldx, const real *delta,
                        int64_t ldd, real *dw, real *db, int accumulate) {
    if (dw) {
        bp_product product = {
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
        run_share(d, &product);
    }
    if (db) {
        /* Shares of 64 columns: no two members write to one cache line for long. */
        int64_t begin, end;
        bp_share(d->n_out, 64, d->member, d->members, &begin, &end);
        d->kernels->col_sum(d->rows, end - begin, delta + begin, ldd, db + begin, accumulate);
    }
}
