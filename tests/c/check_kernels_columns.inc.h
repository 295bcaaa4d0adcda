/* The checks of one element type: the kernels of small networks. */

static void BP_T(check_add_bias)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                                 int64_t cols, values kind) {
    real z[MAX_CELLS], bias[MAX_COLS], wanted[MAX_CELLS];
    int64_t ldz;
    at.slot = "add_bias";
    BP_T(draw_all)(kind, rows * cols, z);
    BP_T(draw_all)(VALUES_NORMAL, rows, bias);
    memcpy(wanted, z, sizeof z);
    p->add_bias(rows, cols, bias, wanted, cols);
    const real *in = BP_T(place_vector)(0, rows, bias);
    real *out = BP_T(place_rows)(1, rows, cols, z, &ldz);
    t->add_bias(rows, cols, in, out, ldz);
    check_frame(1, rows, cols, ldz, sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            BP_T(expect)(i * cols + j, (double)z[i * cols + j], out[i * ldz + j],
                         wanted[i * cols + j], 0, 0);
        }
    }
}

/* What is not finite is neither lost nor made: the portable kernel could have the same fault. */
static void BP_T(expect_special)(real got, real plain) {
    checks++;
    if (!(isfinite(got) && isfinite(plain)) && !BP_T(same)(got, plain)) {
        fail("NaN or infinity is lost, or made of finite values");
    }
}

/* Sums along rows: row_sum, and gemv, which is the same where x is 1. Each is as near to the
 * portable one as its rounding allows, and depends on its row alone. Each row, or x, has a single
 * special value: of two, one may hide the other. */
static void BP_T(check_row_sums)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                                 int64_t cols, values kind_a, values kind_x) {
    real a[MAX_CELLS], x[MAX_COLS], before[MAX_COLS], wanted[2][MAX_COLS], one;
    const int accumulate = (int)random_below(2);
    int64_t lda;
    BP_T(draw_rows)(kind_a, rows, cols, a);
    BP_T(draw_all)(VALUES_NORMAL, cols, x);
    if (kind_x == VALUES_SPECIAL) x[random_below(cols)] = (real)BP_T(special)(rotation);
    BP_T(draw_all)(VALUES_NORMAL, rows, before);
    memcpy(wanted[0], before, sizeof before);
    p->row_sum(rows, cols, a, cols, wanted[0], accumulate);
    p->gemv(rows, cols, a, cols, x, wanted[1]);
    const real *in = BP_T(place_rows)(0, rows, cols, a, &lda);
    const real *factor = BP_T(place_vector)(1, cols, x);
    real *sums = BP_T(place_vector)(2, rows, before), *y = BP_T(place_vector)(3, rows, NULL);
    t->row_sum(rows, cols, in, lda, sums, accumulate);
    t->gemv(rows, cols, in, lda, factor, y);
    for (int64_t i = 0; i < rows; i++) {
        at.slot = "row_sum";
        check_frame(2, 1, rows, rows, sizeof(real));
        BP_T(expect)(i, (double)a[i * cols], sums[i], wanted[0][i], (double)(cols + 1), 4);
        real sum = accumulate ? before[i] : 0, dot = 0;
        for (int64_t j = 0; j < cols; j++) {
            sum += a[i * cols + j];
            dot += a[i * cols + j] * x[j];
        }
        BP_T(expect_special)(sums[i], sum);
        BP_T(expect_special)(y[i], dot);
        one = before[i];
        t->row_sum(1, cols, a + i * cols, cols, &one, accumulate);
        BP_T(expect_same)(i, (double)a[i * cols], one, sums[i]);
        at.slot = "gemv";
        check_frame(3, 1, rows, rows, sizeof(real));
        BP_T(expect)(i, (double)a[i * cols], y[i], wanted[1][i], (double)(cols + 1), 16);
        t->gemv(1, cols, a + i * cols, cols, x, &one);
        BP_T(expect_same)(i, (double)a[i * cols], one, y[i]);
    }
}

/* An update from an outer product has the bits of the update from its entries. */
static void BP_T(check_update_outer)(const BP_T(bp_kernels) *t, const update_case *c, int64_t rows,
                                     int64_t cols, values kind_d, values kind_x) {
    static BP_T(parameters) before, wanted;
    real d[MAX_COLS], x[MAX_COLS];
    const int64_t n = rows * cols;
    at.slot = c->name;
    BP_T(draw_all)(kind_d, rows, d);
    BP_T(draw_all)(kind_x, cols, x);
    BP_T(draw_parameters)(n, VALUES_NORMAL, &before);
    for (int64_t i = 0; i < n; i++) {
        before.g[i] = d[i / cols] * x[i % cols] + 0; /* never -0 */
    }
    wanted = before;
    BP_T(run_update)(t, c, 0, n, &wanted);
    real *w = BP_T(place_vector)(0, n, before.w), *s[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        if (c->states[i]) s[i] = BP_T(place_vector)(1 + i, n, before.s[i]);
    }
    const real *delta = BP_T(place_vector)(4, rows, d), *in = BP_T(place_vector)(5, cols, x);
    t->update_outer(c->kind, rows, cols, w, delta, in, s[0], s[1], s[2], &c->update);
    check_frame(0, 1, n, n, sizeof(real));
    for (int64_t i = 0; i < n; i++) {
        BP_T(expect)(i, (double)before.g[i], w[i], wanted.w[i], 0, 0);
        for (int j = 0; j < 3; j++) {
            if (s[j]) BP_T(expect)(i, (double)before.g[i], s[j][i], wanted.s[j][i], 0, 0);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (s[i]) check_frame(1 + i, 1, n, n, sizeof(real));
    }
}

static void BP_T(check_columns)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                                int64_t cols, values kind) {
    at.rows = rows;
    at.cols = cols;
    at.values = values_text[kind];
    BP_T(check_add_bias)(p, t, rows, cols, kind);
    if (cols == 0) return;
    /* Products, and sums, leave the exponents of wide values. */
    const values tame = kind == VALUES_WIDE ? VALUES_NORMAL : kind;
    BP_T(check_row_sums)(p, t, rows, cols, tame, VALUES_NORMAL);
    BP_T(check_row_sums)(p, t, rows, cols, VALUES_NORMAL, tame);
    for (int i = 0; i < UPDATE_CASES; i++) {
        BP_T(check_update_outer)(t, &update_cases[i], rows, cols, tame, VALUES_NORMAL);
        BP_T(check_update_outer)(t, &update_cases[i], rows, cols, VALUES_NORMAL, tame);
    }
}
