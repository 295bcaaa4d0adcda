/* The checks of one element type; included by check_kernels.c with `real`, BP_T, BP_EPS (the unit
 * in the last place of 1), BP_TINY (the smallest normal number), BP_HUGE and BP_BITS set. */

static double BP_T(special)(int64_t i) {
    const double list[SPECIALS] = {NAN,     INFINITY, -INFINITY,     0.0,           -0.0,
                                   BP_HUGE, -BP_HUGE, BP_TINY / 4,   -BP_TINY / 4,  BP_TINY,
                                   1.0,     -1.0,     BP_EPS * 0.25, -0.5 * BP_EPS, 20.0};
    return list[i % SPECIALS];
}

static real BP_T(draw)(values kind, int64_t i) {
    switch (kind) {
    case VALUES_NORMAL:
        return (real)random_between(-4, 4);
    case VALUES_WIDE:
        return (real)random_wide();
    case VALUES_UNIT:
        return (real)random_between(0, 1);
    default:
        return (real)BP_T(special)(i + rotation);
    }
}

static void BP_T(draw_all)(values kind, int64_t n, real *x) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = BP_T(draw)(kind, i);
    }
}

/* Copies rows between a compact matrix and one with gaps. */
static void BP_T(copy_rows)(int64_t rows, int64_t cols, const real *from, int64_t ld_from, real *to,
                            int64_t ld_to) {
    for (int64_t i = 0; i < rows; i++) {
        if (cols > 0) memcpy(to + i * ld_to, from + i * ld_from, (size_t)cols * sizeof(real));
    }
}

/* A matrix in region r with a random row stride; NULL `from` leaves it filled with the pattern. */
static real *BP_T(place_rows)(int r, int64_t rows, int64_t cols, const real *from, int64_t *ld) {
    *ld = cols + random_below(10);
    int64_t elements = rows > 0 && cols > 0 ? (rows - 1) * *ld + cols : 0;
    real *to = place(r, elements, sizeof(real));
    if (from) BP_T(copy_rows)(rows, cols, from, cols, to, *ld);
    return to;
}

static real *BP_T(place_vector)(int r, int64_t n, const real *from) {
    real *to = place(r, n, sizeof(real));
    if (from && n > 0) memcpy(to, from, (size_t)n * sizeof(real));
    return to;
}

/* Equal as values, NaN to NaN. */
static int BP_T(same)(real a, real b) {
    return a == b || (isnan(a) && isnan(b));
}

/* Within `ulps` of the larger of |wanted| and scale; the same where either is not finite. 0 ulps:
 * equal. A result below the normal numbers may be flushed or not. */
static int BP_T(near)(real got, real wanted, double ulps, double scale) {
    if (BP_T(same)(got, wanted)) return 1;
    if (ulps == 0 || !isfinite(got) || !isfinite(wanted)) return 0;
    double size = fmax(fabs((double)wanted), scale);
    return fabs((double)got - (double)wanted) <= ulps * (BP_EPS * size) + 2 * BP_TINY;
}

static void BP_T(expect)(int64_t i, double input, real got, real wanted, double ulps,
                         double scale) {
    checks++;
    if (BP_T(near)(got, wanted, ulps, scale)) return;
    char text[160];
    snprintf(text, sizeof text, "element %lld, of %.17g: %.17g instead of %.17g (%.3g ulp)",
             (long long)i, input, (double)got, (double)wanted,
             fabs((double)got - (double)wanted) /
                 (BP_EPS * fmax(fabs((double)wanted), fmax(scale, BP_TINY))));
    fail(text);
}

/* The same bits, however the call was cut or placed. */
static void BP_T(expect_same)(int64_t i, double input, real got, real whole) {
    checks++;
    if ((isnan(got) && isnan(whole)) || memcmp(&got, &whole, sizeof got) == 0) return;
    char text[160];
    snprintf(text, sizeof text, "element %lld, of %.17g, depends on its position: %.17g, %.17g",
             (long long)i, input, (double)got, (double)whole);
    fail(text);
}

/* ---- y = f(x), one by one: vec_exp …, act_derivative, act_second ---- */

typedef void (*BP_T(map_fn))(int64_t n, const real *x, real *y);

static void BP_T(check_map)(const char *slot, BP_T(map_fn) portable, BP_T(map_fn) tested, int64_t n,
                            values kind, bound near) {
    real x[MAX_COLS], wanted[MAX_COLS], parts[MAX_COLS];
    at.slot = slot;
    at.rows = 1;
    at.cols = n;
    at.values = values_text[kind];
    BP_T(draw_all)(kind, n, x);
    portable(n, x, wanted);

    const real *in = BP_T(place_vector)(0, n, x);
    real *out = BP_T(place_vector)(1, n, NULL);
    tested(n, in, out);
    check_frame(1, 1, n, n, sizeof(real));

    /* Any cut in two parts gives the bits of the whole. */
    int64_t cut = n > 0 ? random_below(n) : 0;
    tested(cut, x, parts);
    tested(n - cut, x + cut, parts + cut);
    for (int64_t i = 0; i < n; i++) {
        BP_T(expect)(i, (double)x[i], out[i], wanted[i], near.ulps, near.scale);
        BP_T(expect_same)(i, (double)x[i], parts[i], out[i]);
        if (isnan(x[i]) && !isnan(out[i]) && !near.constant) fail("NaN is lost");
    }
}

static void BP_T(check_maps)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                             values kind) {
    const bound exponential = {TOLERANCE_EXP, 0, 0}, sigmoidal = {TOLERANCE_TANH, 0, 0};
    BP_T(check_map)("vec_exp", p->vec_exp, t->vec_exp, n, kind, exponential);
    BP_T(check_map)("vec_log", p->vec_log, t->vec_log, n, kind, exponential);
    BP_T(check_map)("vec_tanh", p->vec_tanh, t->vec_tanh, n, kind, sigmoidal);
    BP_T(check_map)("vec_sigmoid", p->vec_sigmoid, t->vec_sigmoid, n, kind, sigmoidal);
    BP_T(check_map)("vec_erf", p->vec_erf, t->vec_erf, n, kind, sigmoidal);
    for (int act = 0; act < BP_ACT_SOFTMAX; act++) {
        char slot[64];
        snprintf(slot, sizeof slot, "act_derivative[%s]", act_text[act]);
        BP_T(check_map)(slot, p->act_derivative[act], t->act_derivative[act], n, kind,
                        act_bound(act, 1));
        snprintf(slot, sizeof slot, "act_second[%s]", act_text[act]);
        BP_T(check_map)(slot, p->act_second[act], t->act_second[act], n, kind, act_bound(act, 1));
    }
}

/* ---- activations over rows ---- */

typedef void (*BP_T(act_fwd_fn))(int64_t rows, int64_t cols, real *z, int64_t ldz, const real *bias,
                                 real *a, int64_t lda);

static void BP_T(check_act_fwd)(BP_T(act_fwd_fn) portable, BP_T(act_fwd_fn) tested, int act,
                                int64_t rows, int64_t cols, values kind, int with_bias,
                                int in_place) {
    const bound near = act_bound(act, 0);
    real z[MAX_CELLS] = {0}, b[MAX_COLS], wanted_z[MAX_CELLS], wanted_a[MAX_CELLS];
    BP_T(draw_all)(kind, rows * cols, z);
    BP_T(draw_all)(VALUES_NORMAL, cols, b);
    memcpy(wanted_z, z, sizeof z);
    portable(rows, cols, wanted_z, cols, with_bias ? b : NULL, wanted_a, cols);

    int64_t ldz, lda;
    real *in = BP_T(place_rows)(0, rows, cols, z, &ldz);
    real *bias = BP_T(place_vector)(1, cols, b);
    real *out = BP_T(place_rows)(2, rows, cols, NULL, &lda);
    if (in_place) {
        out = in;
        lda = ldz;
    }
    tested(rows, cols, in, ldz, with_bias ? bias : NULL, out, lda);
    check_frame(0, rows, cols, ldz, sizeof(real));
    check_frame(1, 1, cols, cols, sizeof(real));
    if (!in_place) check_frame(2, rows, cols, lda, sizeof(real));

    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            int64_t c = i * cols + j;
            double input = (double)wanted_z[c];
            real got = out[i * lda + j];
            if (!in_place) BP_T(expect_same)(c, input, in[i * ldz + j], wanted_z[c]);
            BP_T(expect)(c, input, got, wanted_a[c], near.ulps, near.scale);
            if (isnan(input) && !isnan(got)) fail("NaN is lost");
            /* Alone, and with the bias already in, it is the same. */
            real alone = wanted_z[c], a;
            tested(1, 1, &alone, 1, NULL, &a, 1);
            BP_T(expect_same)(c, input, a, got);
        }
    }
}

typedef void (*BP_T(act_bwd_fn))(int64_t rows, int64_t cols, const real *s, int64_t lds, real *d,
                                 int64_t ldd);

/* The saved values of an activation: its inputs where the derivative needs them, else outputs. */
static void BP_T(draw_saved)(const BP_T(bp_kernels) *p, int act, values kind, int64_t n, real *s) {
    BP_T(draw_all)(kind, n, s);
    if (!bp_act_needs_z(act)) p->act_fwd[act](1, n, s, n, NULL, s, n);
}

static void BP_T(check_act_bwd)(const BP_T(bp_kernels) *p, BP_T(act_bwd_fn) tested, int act,
                                int64_t rows, int64_t cols, values kind) {
    const bound near = act_bound(act, 1);
    real s[MAX_CELLS], d[MAX_CELLS] = {0}, wanted[MAX_CELLS];
    BP_T(draw_saved)(p, act, kind, rows * cols, s);
    BP_T(draw_all)(VALUES_NORMAL, rows * cols, d);
    memcpy(wanted, d, sizeof d);
    p->act_bwd[act](rows, cols, s, cols, wanted, cols);

    int64_t lds, ldd;
    const real *saved = BP_T(place_rows)(0, rows, cols, s, &lds);
    real *out = BP_T(place_rows)(1, rows, cols, d, &ldd);
    tested(rows, cols, saved, lds, out, ldd);
    check_frame(1, rows, cols, ldd, sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            int64_t c = i * cols + j;
            real alone = d[c];
            BP_T(expect)(c, (double)s[c], out[i * ldd + j], wanted[c], near.ulps,
                         near.scale * fabs((double)d[c]));
            tested(1, 1, &s[c], 1, &alone, 1);
            BP_T(expect_same)(c, (double)s[c], alone, out[i * ldd + j]);
        }
    }
}

static void BP_T(check_activations)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t,
                                    int64_t rows, int64_t cols, values kind) {
    char slot[64];
    at.slot = slot;
    at.rows = rows;
    at.cols = cols;
    at.values = values_text[kind];
    for (int act = 0; act < BP_ACT_SOFTMAX; act++) {
        snprintf(slot, sizeof slot, "act_fwd[%s]", act_text[act]);
        int form = (int)random_below(4);
        BP_T(check_act_fwd)(p->act_fwd[act], t->act_fwd[act], act, rows, cols, kind, form & 1,
                            form >> 1);
        snprintf(slot, sizeof slot, "act_bwd[%s]", act_text[act]);
        BP_T(check_act_bwd)(p, t->act_bwd[act], act, rows, cols, kind);
    }
}
