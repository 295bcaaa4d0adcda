/* The checks of one element type: parameters and their updates, conversions, and a smoke check of
 * the micro-kernel, which check_gemm.inc.h tests to the bit. */

static void BP_T(check_add)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                            values kind) {
    real x[MAX_COLS], y[MAX_COLS] = {0}, wanted[MAX_COLS];
    at.slot = "add";
    BP_T(draw_all)(kind, n, x);
    BP_T(draw_all)(VALUES_NORMAL, n, y);
    memcpy(wanted, y, sizeof y);
    p->add(n, x, wanted, wanted);
    const real *in = BP_T(place_vector)(0, n, x);
    real *out = BP_T(place_vector)(1, n, y);
    t->add(n, in, out, out);
    check_frame(1, 1, n, n, sizeof(real));
    for (int64_t i = 0; i < n; i++) {
        BP_T(expect)(i, (double)x[i], out[i], wanted[i], 0, 0);
    }
}

/* mul, and chain with and without a first factor; each is exact. */
static void BP_T(check_chain)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                              values kind) {
    real x[4][MAX_COLS], y[MAX_COLS] = {0}, wanted[MAX_COLS];
    const real *in[4];
    for (int i = 0; i < 4; i++) {
        BP_T(draw_all)(i == 0 ? kind : VALUES_NORMAL, n, x[i]);
        in[i] = BP_T(place_vector)(i, n, x[i]);
    }
    BP_T(draw_all)(VALUES_NORMAL, n, y);
    for (int form = 0; form < 3; form++) {
        real *out = BP_T(place_vector)(4, n, y);
        memcpy(wanted, y, sizeof y);
        if (form == 2) {
            at.slot = "mul";
            p->mul(n, x[0], wanted);
            t->mul(n, in[0], out);
        } else {
            at.slot = form ? "chain" : "chain, no first";
            p->chain(n, form ? x[1] : NULL, x[0], x[2], x[3], wanted);
            t->chain(n, form ? in[1] : NULL, in[0], in[2], in[3], out);
        }
        check_frame(4, 1, n, n, sizeof(real));
        for (int64_t i = 0; i < n; i++) {
            BP_T(expect)(i, (double)x[0][i], out[i], wanted[i], 0, 0);
        }
    }
}

static void BP_T(check_add_penalty)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                                    values kind) {
    const double l1 = 0.01, l2 = 0.3;
    real w[MAX_COLS], g[MAX_COLS] = {0}, wanted[MAX_COLS];
    at.slot = "add_penalty";
    BP_T(draw_all)(kind, n, w);
    BP_T(draw_all)(VALUES_NORMAL, n, g);
    memcpy(wanted, g, sizeof g);
    p->add_penalty(n, w, l1, l2, wanted);
    const real *in = BP_T(place_vector)(0, n, w);
    real *out = BP_T(place_vector)(1, n, g);
    t->add_penalty(n, in, l1, l2, out);
    check_frame(1, 1, n, n, sizeof(real));
    for (int64_t i = 0; i < n; i++) {
        real alone = g[i];
        double scale = fabs((double)g[i]) + fabs((double)w[i]);
        t->add_penalty(1, &w[i], l1, l2, &alone);
        BP_T(expect)(i, (double)w[i], out[i], wanted[i], 2, isfinite(scale) ? scale : 0);
        BP_T(expect_same)(i, (double)w[i], alone, out[i]);
    }
}

/* ---- optimizers ---- */

/* Parameters, their gradient, and the state vectors. */
typedef struct {
    real w[MAX_CELLS], g[MAX_CELLS], s[3][MAX_CELLS];
} BP_T(parameters);

static void BP_T(run_update)(const BP_T(bp_kernels) *k, const update_case *c, int64_t from,
                             int64_t n, BP_T(parameters) *x) {
    real *s[3];
    for (int i = 0; i < 3; i++) {
        s[i] = c->states[i] ? x->s[i] + from : NULL;
    }
    k->update[c->kind](n, x->w + from, x->g + from, s[0], s[1], s[2], &c->update);
}

static void BP_T(draw_parameters)(int64_t n, values kind, BP_T(parameters) *x) {
    BP_T(draw_all)(VALUES_NORMAL, n, x->w);
    BP_T(draw_all)(kind, n, x->g);
    for (int i = 0; i < 3; i++) {
        BP_T(draw_all)(VALUES_UNIT, n, x->s[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        /* rmsprop subtracts the square of s2 from s0, which must not cancel. */
        x->s[0][i] += (real)1;
        x->s[1][i] += (real)0.5;
        x->s[2][i] *= (real)0.5;
        /* Where a square overflows, a fused product may stay finite and a rounded one may not. */
        if (fabs((double)x->g[i]) == (double)(real)BP_HUGE) {
            x->g[i] = (real)copysign(sqrt(BP_HUGE), (double)x->g[i]);
        }
    }
}

static void BP_T(compare_parameters)(int64_t n, const update_case *c,
                                     const BP_T(parameters) *before, const BP_T(parameters) *wanted,
                                     const BP_T(parameters) *got, const BP_T(parameters) *parts) {
    for (int64_t i = 0; i < n; i++) {
        double g = (double)before->g[i];
        double scale = fabs((double)before->w[i]) + (isfinite(g) ? fabs(g) + g * g : 0);
        if (!isfinite(scale)) scale = 0;
        for (int s = 0; s < 3; s++) {
            if (!c->states[s]) continue;
            BP_T(expect)(i, g, got->s[s][i], wanted->s[s][i], TOLERANCE_UPDATE,
                         scale + fabs((double)before->s[s][i]));
            BP_T(expect_same)(i, g, parts->s[s][i], got->s[s][i]);
        }
        BP_T(expect)(i, g, got->w[i], wanted->w[i], TOLERANCE_UPDATE, scale);
        BP_T(expect_same)(i, g, parts->w[i], got->w[i]);
    }
}

static void BP_T(check_update)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t,
                               const update_case *c, int64_t n, values kind) {
    static BP_T(parameters) before, wanted, got, parts;
    at.slot = c->name;
    BP_T(draw_parameters)(n, kind, &before);
    wanted = before;
    BP_T(run_update)(p, c, 0, n, &wanted);

    real *w = BP_T(place_vector)(0, n, before.w);
    const real *g = BP_T(place_vector)(1, n, before.g);
    real *s[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        if (c->states[i]) s[i] = BP_T(place_vector)(2 + i, n, before.s[i]);
    }
    t->update[c->kind](n, w, g, s[0], s[1], s[2], &c->update);
    check_frame(0, 1, n, n, sizeof(real));
    BP_T(copy_rows)(1, n, w, n, got.w, n);
    for (int i = 0; i < 3; i++) {
        if (!c->states[i]) continue;
        check_frame(2 + i, 1, n, n, sizeof(real));
        BP_T(copy_rows)(1, n, s[i], n, got.s[i], n);
    }

    parts = before;
    int64_t cut = n > 0 ? random_below(n) : 0;
    BP_T(run_update)(t, c, 0, cut, &parts);
    BP_T(run_update)(t, c, cut, n - cut, &parts);
    BP_T(compare_parameters)(n, c, &before, &wanted, &got, &parts);
}

/* add_penalty, then an update without penalties, rounds as the update with them does. */
static void BP_T(check_penalties_agree)(const BP_T(bp_kernels) *t, const update_case *c,
                                        int64_t n) {
    static BP_T(parameters) inside, apart;
    update_case plain = *c;
    at.slot = c->name;
    plain.update.l1 = plain.update.l2 = 0;
    BP_T(draw_parameters)(n, VALUES_NORMAL, &inside);
    apart = inside;
    BP_T(run_update)(t, c, 0, n, &inside);
    t->add_penalty(n, apart.w, c->update.l1, c->update.l2, apart.g);
    BP_T(run_update)(t, &plain, 0, n, &apart);
    for (int64_t i = 0; i < n; i++) {
        checks++;
        if (inside.w[i] != apart.w[i]) fail("add_penalty rounds in another way than update");
    }
}

/* ---- conversions ---- */

/* What all three of load_f32, load_f64 and load_u8 share. */
#define CHECK_LOAD(slot_name, source, draw_one)                                                    \
    do {                                                                                           \
        source from[MAX_COLS];                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            from[i] = (source)(draw_one);                                                          \
        }                                                                                          \
        at.slot = #slot_name;                                                                      \
        p->slot_name(n, from, scaled ? shift : NULL, scaled ? scale : NULL, wanted);               \
        source *in = place(0, n, sizeof *in);                                                      \
        if (n > 0) memcpy(in, from, (size_t)n * sizeof *in);                                       \
        real *out = BP_T(place_vector)(3, n, NULL);                                                \
        t->slot_name(n, in, scaled ? placed_shift : NULL, scaled ? placed_scale : NULL, out);      \
        check_frame(3, 1, n, n, sizeof(real));                                                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            BP_T(expect)(i, (double)from[i], out[i], wanted[i], 0, 0);                             \
        }                                                                                          \
    } while (0)

static void BP_T(check_loads)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                              values kind) {
    real shift[MAX_COLS], scale[MAX_COLS], wanted[MAX_COLS];
    int scaled = (int)random_below(2);
    BP_T(draw_all)(VALUES_NORMAL, n, shift);
    BP_T(draw_all)(VALUES_NORMAL, n, scale);
    const real *placed_shift = BP_T(place_vector)(1, n, shift);
    const real *placed_scale = BP_T(place_vector)(2, n, scale);
    CHECK_LOAD(load_f32, float, BP_T(draw)(kind, i));
    CHECK_LOAD(load_f64, double, BP_T(draw)(kind, i));
    CHECK_LOAD(load_u8, uint8_t, random_below(256));
}

/* ---- the micro-kernel ---- */

static void BP_T(check_gemm)(const BP_T(bp_kernels) *t, int m, int n, int64_t k) {
    enum { ROOM = 64 * 64 };
    static real a[ROOM], b[ROOM], c[ROOM];
    int64_t lda, ldb, ldc;
    int accumulate = (int)random_below(2);
    at.slot = "gemm";
    at.rows = m;
    at.cols = n;
    at.values = values_text[VALUES_NORMAL];
    BP_T(draw_all)(VALUES_NORMAL, m * k, a);
    BP_T(draw_all)(VALUES_NORMAL, k * n, b);
    BP_T(draw_all)(VALUES_NORMAL, m * n, c);
    const real *in_a = BP_T(place_rows)(0, m, k, a, &lda);
    const real *in_b = BP_T(place_rows)(1, k, n, b, &ldb);
    real *out = BP_T(place_rows)(2, m, n, accumulate ? c : NULL, &ldc);
    t->gemm.run(k, in_a, lda, 1, in_b, ldb, t->gemm.nr, out, ldc, m, n, accumulate);
    check_frame(2, m, n, ldc, sizeof(real));
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double start = accumulate ? (double)c[i * n + j] : 0, sum = start, size = fabs(start);
            for (int64_t q = 0; q < k; q++) {
                double term = (double)a[i * k + q] * (double)b[q * n + j];
                sum += term;
                size += fabs(term);
            }
            BP_T(expect)(i * n + j, sum, out[i * ldc + j], (real)sum, (double)k + 2, size);
        }
    }
}

static void BP_T(check_gemms)(const BP_T(bp_kernels) *t) {
    const int64_t ks[] = {0, 1, 2, 3, 17};
    for (int m = 0; m <= t->gemm.mr; m++) {
        for (int n = 0; n <= t->gemm.nr + 1; n++) {
            BP_T(check_gemm)(t, m, n, ks[random_below(5)]);
        }
    }
}

/* ---- all ---- */

static void BP_T(check_updates)(const BP_T(bp_kernels) *p, const BP_T(bp_kernels) *t, int64_t n,
                                values kind) {
    at.rows = 1;
    at.cols = n;
    at.values = values_text[kind];
    BP_T(check_add)(p, t, n, kind);
    BP_T(check_chain)(p, t, n, kind);
    BP_T(check_add_penalty)(p, t, n, kind);
    BP_T(check_loads)(p, t, n, kind);
    for (int i = 0; i < UPDATE_CASES; i++) {
        BP_T(check_update)(p, t, &update_cases[i], n, kind == VALUES_WIDE ? VALUES_NORMAL : kind);
        BP_T(check_penalties_agree)(t, &update_cases[i], n);
    }
}
