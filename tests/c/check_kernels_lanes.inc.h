/* Kernels that work on a network in each lane, against those that work on one, of the same
 * instruction set: the bits are the same. */

/* Every `step`th of n elements from the lane on. */
static void BP_T(take_lane)(int64_t n, const real *x, int64_t step, int lane, real *to) {
    for (int64_t i = 0; i < n; i++) {
        to[i] = x[i * step + lane];
    }
}

static void BP_T(check_lane_product)(const BP_T(bp_kernels) *t, int64_t m, int64_t n, int64_t k) {
    static real a[LANE_VECTORS * BP_MAX_LANES], b[LANE_VECTORS * BP_MAX_LANES];
    real bias[MAX_COLS * BP_MAX_LANES], one_a[LANE_VECTORS], one_b[LANE_VECTORS],
        one_bias[MAX_COLS], wanted[LANE_VECTORS];
    const int count = t->lanes.count, across = (int)random_below(2), adds = (int)random_below(2);
    at.slot = "lanes.product";
    at.rows = m;
    at.cols = n;
    BP_T(draw_all)(VALUES_NORMAL, m * k * count, a);
    BP_T(draw_all)(VALUES_NORMAL, k * n * count, b);
    BP_T(draw_all)(VALUES_NORMAL, n * count, bias);
    const real *in_a = BP_T(place_vector)(0, m * k * count, a);
    const real *in_b = BP_T(place_vector)(1, k * n * count, b);
    const real *in_bias = BP_T(place_vector)(2, n * count, bias);
    real *c = BP_T(place_vector)(3, m * n * count, NULL);
    const int64_t a_rs = across ? 1 : k, a_cs = across ? m : 1;
    t->lanes.product(m, n, k, in_a, a_rs, a_cs, in_b, across ? 1 : n, across ? k : 1,
                     adds ? in_bias : NULL, c, n);
    check_frame(3, 1, m * n * count, m * n * count, sizeof(real));
    for (int lane = 0; lane < count; lane++) {
        BP_T(take_lane)(m * k, a, count, lane, one_a);
        BP_T(take_lane)(n, bias, count, lane, one_bias);
        for (int64_t p = 0; p < k; p++) {
            for (int64_t j = 0; j < n; j++) {
                one_b[p * n + j] = b[(across ? j * k + p : p * n + j) * count + lane];
            }
        }
        for (int64_t i = 0; i < m; i++) {
            t->gemm.run(k, one_a + i * a_rs, 0, a_cs, one_b, n, t->gemm.nr, wanted + i * n, n, 1, n,
                        0);
        }
        if (adds && m > 0 && n > 0)
            t->act_fwd[BP_ACT_IDENTITY](m, n, wanted, n, one_bias, wanted, n);
        for (int64_t i = 0; i < m * n; i++) {
            BP_T(expect_same)(i, (double)lane, c[i * count + lane], wanted[i]);
        }
    }
}

static void BP_T(check_lane_sum)(const BP_T(bp_kernels) *t, int64_t rows, int64_t cols) {
    static real x[MAX_EDGE * 2 * BP_MAX_LANES];
    real column[MAX_EDGE], one[2 * MAX_EDGE], wanted;
    const int count = t->lanes.count;
    at.slot = "lanes.sum";
    at.rows = rows;
    at.cols = cols;
    BP_T(draw_all)(VALUES_NORMAL, rows * cols * count, x);
    const real *in = BP_T(place_vector)(0, rows * cols * count, x);
    real *out = BP_T(place_vector)(1, cols * count, NULL);
    t->lanes.sum(rows, cols, in, out);
    check_frame(1, 1, cols * count, cols * count, sizeof(real));
    for (int lane = 0; lane < count; lane++) {
        BP_T(take_lane)(rows * cols, x, count, lane, one);
        for (int64_t j = 0; j < cols; j++) {
            BP_T(take_lane)(rows, one, cols, (int)j, column);
            t->row_sum(1, rows, column, rows, &wanted, 0);
            BP_T(expect_same)(j, (double)lane, out[j * count + lane], wanted);
        }
    }
}

static void BP_T(check_lane_spread)(const BP_T(bp_kernels) *t, int64_t n) {
    real x[MAX_COLS];
    const int count = t->lanes.count;
    at.slot = "lanes.spread";
    BP_T(draw_all)(VALUES_WIDE, n, x);
    const real *in = BP_T(place_vector)(0, n, x);
    real *out = BP_T(place_vector)(1, n * count, NULL);
    t->lanes.spread(n, in, out);
    check_frame(1, 1, n * count, n * count, sizeof(real));
    for (int64_t i = 0; i < n * count; i++) {
        BP_T(expect_same)(i, (double)x[i / count], out[i], x[i / count]);
    }
}

/* Every lane has a rate of its own, and weight decay where the case has penalties. */
static void BP_T(check_lane_update)(const BP_T(bp_kernels) *t, const update_case *c, int64_t n) {
    static BP_T(parameters) before, wanted;
    static BP_T(bp_lane_scalars) scalars;
    bp_update updates[BP_MAX_LANES];
    const int count = t->lanes.count;
    at.slot = "lanes.update";
    at.rows = c->kind;
    at.cols = n;
    for (int lane = 0; lane < count; lane++) {
        updates[lane] = c->update;
        updates[lane].first = 0;
        updates[lane].lr *= 1 + 0.1 * lane;
        updates[lane].momentum *= 1 - 0.02 * lane;
        updates[lane].weight_decay *= 1 + lane;
    }
    BP_T(draw_parameters)(n * count, VALUES_NORMAL, &before);
    real *w = BP_T(place_vector)(0, n * count, before.w), *s[3] = {NULL, NULL, NULL};
    const real *g = BP_T(place_vector)(1, n * count, before.g);
    for (int i = 0; i < 3; i++) {
        if (c->states[i]) s[i] = BP_T(place_vector)(2 + i, n * count, before.s[i]);
    }
    t->lanes.scalars(updates, &scalars);
    t->lanes.update[c->kind](n, w, g, s[0], s[1], s[2], &scalars);
    check_frame(0, 1, n * count, n * count, sizeof(real));
    for (int lane = 0; lane < count; lane++) {
        update_case alone = *c;
        alone.update = updates[lane];
        BP_T(take_lane)(n, before.w, count, lane, wanted.w);
        BP_T(take_lane)(n, before.g, count, lane, wanted.g);
        for (int i = 0; i < 3; i++) {
            BP_T(take_lane)(n, before.s[i], count, lane, wanted.s[i]);
        }
        BP_T(run_update)(t, &alone, 0, n, &wanted);
        for (int64_t i = 0; i < n; i++) {
            BP_T(expect_same)(i, (double)lane, w[i * count + lane], wanted.w[i]);
            for (int j = 0; j < 3; j++) {
                if (s[j])
                    BP_T(expect_same)(i, (double)lane, s[j][i * count + lane], wanted.s[j][i]);
            }
        }
    }
}

static void BP_T(check_lanes)(const BP_T(bp_kernels) *t) {
    at.values = values_text[VALUES_NORMAL];
    for (int64_t m = 0; m <= 9; m++) {
        for (int64_t n = 0; n <= 5; n++) {
            BP_T(check_lane_product)(t, m, n, random_below(18));
        }
    }
    for (int64_t rows = 0; rows <= MAX_EDGE; rows += at.step) {
        BP_T(check_lane_sum)(t, rows, 1 + rows % 2);
        BP_T(check_lane_spread)(t, rows);
    }
    for (int i = 0; i < UPDATE_CASES; i++) {
        BP_T(check_lane_update)(t, &update_cases[i], random_below(MAX_CELLS / BP_MAX_LANES));
    }
}
