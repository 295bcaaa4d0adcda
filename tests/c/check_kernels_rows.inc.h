/* The checks of kernels that look at whole rows or columns, of one element type. Sums of n terms
 * in another order differ by up to n ulps of the sum of their magnitudes. */

/* Rows with one special value each, at another position in each: `rotation` chooses it. */
static void BP_T(draw_rows)(values kind, int64_t rows, int64_t cols, real *x) {
    BP_T(draw_all)(kind == VALUES_SPECIAL ? VALUES_NORMAL : kind, rows * cols, x);
    for (int64_t i = 0; kind == VALUES_SPECIAL && cols > 0 && i < rows; i++) {
        x[i * cols + i % cols] = (real)BP_T(special)(rotation);
    }
}

/* Sum and largest of the finite magnitudes. */
static double BP_T(sum_of)(int64_t n, const real *x) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i])) sum += fabs((double)x[i]);
    }
    return sum;
}

static double BP_T(largest_of)(int64_t n, const real *x) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i])) largest = fmax(largest, fabs((double)x[i]));
    }
    return largest;
}

/* ---- softmax ---- */

static void BP_T(check_softmax)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                                int64_t cols, values kind) {
    real z[MAX_CELLS], wanted[MAX_CELLS], row[MAX_COLS];
    BP_T(draw_rows)(kind, rows, cols, z);
    p->softmax(rows, cols, z, cols, wanted, cols);

    int64_t ldz, lda;
    int in_place = (int)random_below(2);
    at.slot = "softmax";
    real *in = BP_T(place_rows)(0, rows, cols, z, &ldz);
    real *out = BP_T(place_rows)(1, rows, cols, NULL, &lda);
    if (in_place) {
        out = in;
        lda = ldz;
    }
    t->softmax(rows, cols, in, ldz, out, lda);
    check_frame(in_place ? 0 : 1, rows, cols, lda, sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        t->softmax(1, cols, z + i * cols, cols, row, cols);
        for (int64_t j = 0; j < cols; j++) {
            int64_t c = i * cols + j;
            BP_T(expect)(c, (double)z[c], out[i * lda + j], wanted[c],
                         2 * TOLERANCE_EXP + (double)cols, 0);
            BP_T(expect_same)(c, (double)z[c], row[j], out[i * lda + j]);
        }
    }
}

static void BP_T(check_softmax_bwd)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t,
                                    int64_t rows, int64_t cols, values kind) {
    real a[MAX_CELLS], d[MAX_CELLS] = {0}, wanted[MAX_CELLS], row[MAX_COLS];
    BP_T(draw_rows)(VALUES_UNIT, rows, cols, a);
    BP_T(draw_rows)(kind, rows, cols, d);
    memcpy(wanted, d, sizeof d);
    p->softmax_bwd(rows, cols, a, cols, wanted, cols);

    int64_t lda, ldd;
    at.slot = "softmax_bwd";
    const real *in = BP_T(place_rows)(0, rows, cols, a, &lda);
    real *out = BP_T(place_rows)(1, rows, cols, d, &ldd);
    t->softmax_bwd(rows, cols, in, lda, out, ldd);
    check_frame(1, rows, cols, ldd, sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        double scale = 2 * BP_T(sum_of)(cols, d + i * cols);
        memcpy(row, d + i * cols, (size_t)cols * sizeof(real));
        t->softmax_bwd(1, cols, a + i * cols, cols, row, cols);
        for (int64_t j = 0; j < cols; j++) {
            int64_t c = i * cols + j;
            BP_T(expect)(c, (double)d[c], out[i * ldd + j], wanted[c], (double)cols + 8, scale);
            BP_T(expect_same)(c, (double)d[c], row[j], out[i * ldd + j]);
        }
    }
}

/* ---- losses ---- */

/* The operands of one call, compact. */
typedef struct {
    int kind, labelled, with_d;
    int64_t rows, cols;
    real s[MAX_CELLS], y[MAX_CELLS], row_scale[MAX_ROWS];
    int64_t labels[MAX_ROWS];
} BP_T(loss_case);

/* The magnitudes that the rounding errors of a row's loss and of its d are proportional to. */
static void BP_T(loss_scales)(const BP_T(loss_case) *c, int64_t i, double *loss, double *d) {
    const real *s = c->s + i * c->cols, *y = c->y + i * c->cols;
    double sum_y = c->labelled ? 1 : BP_T(sum_of)(c->cols, y);
    *loss = *d = 0;
    if (c->kind == BP_LOSS_CROSS_ENTROPY) {
        *loss = sum_y * (2 * BP_T(largest_of)(c->cols, s) + 8);
        *d = fabs((double)c->row_scale[i]) * (sum_y + 1);
    } else if (c->kind == BP_LOSS_BINARY_CROSS_ENTROPY) {
        *loss = 2 * BP_T(largest_of)(c->cols, s) + 1;
        *d = 2 * fabs((double)c->row_scale[i]);
    }
}

static void BP_T(compare_loss)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t,
                               const BP_T(loss_case) *c, const real *loss, const real *d,
                               int64_t ldd) {
    int64_t rows = c->rows, cols = c->cols;
    const real *y = c->labelled ? NULL : c->y;
    real wanted[MAX_ROWS], wanted_d[MAX_CELLS], row_loss, row_d[MAX_COLS];
    p->loss[c->kind](rows, cols, c->s, cols, y, cols, c->labelled ? c->labels : NULL, c->row_scale,
                     wanted, wanted_d, cols);
    for (int64_t i = 0; i < rows; i++) {
        double scale, scale_d;
        BP_T(loss_scales)(c, i, &scale, &scale_d);
        BP_T(expect)(i, (double)c->s[i * cols], loss[i], wanted[i], (double)cols + 8, scale);
        t->loss[c->kind](1, cols, c->s + i * cols, cols, y ? y + i * cols : NULL, cols,
                         c->labelled ? c->labels + i : NULL, c->row_scale + i, &row_loss, row_d,
                         cols);
        BP_T(expect_same)(i, (double)c->s[i * cols], row_loss, loss[i]);
        for (int64_t j = 0; d && j < cols; j++) {
            int64_t e = i * cols + j;
            BP_T(expect)(e, (double)c->s[e], d[i * ldd + j], wanted_d[e], (double)cols + 8,
                         scale_d);
            BP_T(expect_same)(e, (double)c->s[e], row_d[j], d[i * ldd + j]);
        }
    }
}

static void BP_T(check_loss)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int kind,
                             int64_t rows, int64_t cols, values kind_of_values) {
    static BP_T(loss_case) c;
    int entropy = kind == BP_LOSS_CROSS_ENTROPY || kind == BP_LOSS_BINARY_CROSS_ENTROPY;
    int form = (int)random_below(3);
    c.kind = kind;
    c.labelled = kind == BP_LOSS_CROSS_ENTROPY && random_below(2);
    c.rows = rows;
    c.cols = cols;
    BP_T(draw_rows)(kind_of_values, rows, cols, c.s);
    BP_T(draw_rows)(entropy ? VALUES_UNIT : VALUES_NORMAL, rows, cols, c.y);
    BP_T(draw_rows)(VALUES_NORMAL, 1, rows, c.row_scale);
    for (int64_t i = 0; i < rows; i++) {
        c.labels[i] = random_below(cols);
    }

    int64_t lds, ldy, ldd;
    real *s = BP_T(place_rows)(0, rows, cols, c.s, &lds);
    const real *y = BP_T(place_rows)(1, rows, cols, c.y, &ldy);
    int64_t *labels = place(2, rows, sizeof *labels);
    memcpy(labels, c.labels, (size_t)rows * sizeof *labels);
    const real *row_scale = BP_T(place_vector)(3, rows, c.row_scale);
    real *loss = BP_T(place_vector)(4, rows, NULL);
    real *d = BP_T(place_rows)(5, rows, cols, NULL, &ldd);
    if (form == 1) {
        d = s;
        ldd = lds;
    } else if (form == 2) {
        d = NULL;
    }
    t->loss[kind](rows, cols, s, lds, c.labelled ? NULL : y, ldy, c.labelled ? labels : NULL,
                  row_scale, loss, d, ldd);
    check_frame(0, rows, cols, lds, sizeof(real));
    check_frame(4, 1, rows, rows, sizeof(real));
    if (form == 0) check_frame(5, rows, cols, ldd, sizeof(real));
    BP_T(compare_loss)(p, t, &c, loss, d, ldd);
}

/* ---- sums ---- */

static void BP_T(check_col_sum)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                                int64_t cols, values kind) {
    real x[MAX_CELLS], before[MAX_COLS] = {0}, wanted[MAX_COLS], one;
    int64_t ldx;
    int accumulate = (int)random_below(2);
    BP_T(draw_rows)(kind, rows, cols, x);
    BP_T(draw_all)(VALUES_NORMAL, cols, before);
    memcpy(wanted, before, sizeof before);
    p->col_sum(rows, cols, x, cols, wanted, accumulate);

    at.slot = "col_sum";
    const real *in = BP_T(place_rows)(0, rows, cols, x, &ldx);
    real *out = BP_T(place_vector)(1, cols, accumulate ? before : NULL);
    t->col_sum(rows, cols, in, ldx, out, accumulate);
    check_frame(1, 1, cols, cols, sizeof(real));
    for (int64_t j = 0; j < cols; j++) {
        one = before[j];
        t->col_sum(rows, 1, x + j, cols, &one, accumulate);
        BP_T(expect)(j, (double)x[j], out[j], wanted[j], 0, 0);
        BP_T(expect_same)(j, (double)x[j], one, out[j]);
    }
}

static void BP_T(check_transpose)(const BP_T(bp_kernels) *t, int64_t rows, int64_t cols) {
    real x[MAX_CELLS];
    int64_t lds, ldd;
    at.slot = "transpose";
    BP_T(draw_all)(VALUES_SPECIAL, rows * cols, x);
    const real *in = BP_T(place_rows)(0, cols, rows, x, &lds);
    real *out = BP_T(place_rows)(1, rows, cols, NULL, &ldd);
    t->transpose(rows, cols, in, lds, out, ldd);
    check_frame(1, rows, cols, ldd, sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            BP_T(expect)(i * cols + j, 0, out[i * ldd + j], x[j * rows + i], 0, 0);
        }
    }
}

static void BP_T(check_sum)(const char *slot, double (*portable)(int64_t n, const real *x),
                            double (*tested)(int64_t n, const real *x), int64_t n, values kind) {
    real x[MAX_CELLS];
    at.slot = slot;
    at.rows = 1;
    at.cols = n;
    BP_T(draw_rows)(kind, 1, n, x);
    if (kind == VALUES_SPECIAL && n > 0) {
        x[0] = (real)1;
        x[n - 1 - rotation % n] = (real)BP_T(special)(rotation);
    }
    const real *in = BP_T(place_vector)(0, n, x);
    double got = tested(n, in), again = tested(n, x), wanted = portable(n, x);
    double tolerance = (double)n * DBL_EPSILON * fabs(wanted);
    checks++;
    if (memcmp(&got, &again, sizeof got) != 0 && !isnan(got)) fail("depends on the alignment");
    if (isnan(wanted)   ? !isnan(got)
        : isinf(wanted) ? got != wanted
                        : !(fabs(got - wanted) <= tolerance))
        fail("is not the sum");
}

static void BP_T(check_rows)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t rows,
                             int64_t cols, values kind) {
    at.rows = rows;
    at.cols = cols;
    at.values = values_text[kind];
    /* Sums of squares leave the exponents of wide values. */
    values tame = kind == VALUES_WIDE ? VALUES_NORMAL : kind;
    BP_T(check_col_sum)(p, t, rows, cols, tame);
    BP_T(check_transpose)(t, rows, cols);
    if (cols % MAX_ROWS * (cols % MAX_ROWS + rows) <= MAX_CELLS)
        BP_T(check_transpose)(t, cols % MAX_ROWS, cols % MAX_ROWS + rows);
    if (cols > 0) {
        BP_T(check_softmax)(p, t, rows, cols, kind);
        BP_T(check_softmax_bwd)(p, t, rows, cols, tame);
        for (int loss = 0; loss < BP_LOSS_COUNT; loss++) {
            at.slot = loss_text[loss];
            BP_T(check_loss)(p, t, loss, rows, cols, tame);
        }
    }
    BP_T(check_sum)("sum_sq", p->sum_sq, t->sum_sq, rows * cols, tame);
    BP_T(check_sum)("sum_abs", p->sum_abs, t->sum_abs, rows * cols, tame);
}
