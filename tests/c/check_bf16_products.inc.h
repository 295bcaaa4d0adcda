/* Micro-kernel and driver; included by check_bf16.c. */

static float model_step(float acc, const float *a, const float *b) {
    float even = 0, odd = 0;
    if (at.sums == SUMS_IN_TILE) {
        for (int p = 0; p < 32; p += 2) {
            even = flushed_fma(a[p], b[p], even);
            odd = flushed_fma(a[p + 1], b[p + 1], odd);
        }
        return flushed_add(acc, flushed_add(even, odd));
    }
    for (int p = 0; p < 32; p++) {
        const float x = a[p ^ 1], y = b[p ^ 1];
        if (at.sums == SUMS_FUSED) {
            acc = flushed_fma(x, y, acc);
        } else {
            const float product = flushed(flushed(x) * flushed(y));
            acc = flushed_add(product, acc);
        }
    }
    return acc;
}

/* One element of a block as the slot's contract has it. */
static float model_element(const bp_bf16_block *q, int64_t i, int64_t j, float acc) {
    for (int64_t p0 = 0; p0 < q->k; p0 += 32) {
        for (int t = 0; t < q->n_terms; t++) {
            const uint16_t *x = q->a + q->terms[t].a + p0 / 32 * q->slab + i * 32;
            const uint16_t *y = q->b + q->terms[t].b + j / 32 * q->panel + p0 * 32 + j % 32 * 2;
            float a[32], b[32];
            for (int p = 0; p < 32; p++) {
                a[p] = from_bf16(x[p]);
                b[p] = from_bf16(y[p / 2 * 64 + p % 2]);
            }
            acc = model_step(acc, a, b);
        }
    }
    return acc;
}

static float *make_output(int64_t rows, int64_t cols, int64_t ld, float *start) {
    float *c = guarded_take(memory_c, (size_t)(rows * ld) * sizeof *c);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            c[i * ld + j] = start[i * cols + j] = random_float(DRAW_UNIT);
    return c;
}

static void check_output(const char *what, const float *c, int64_t rows, int64_t cols, int64_t ld,
                         const float *expected, int variant) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++)
            CHECK(same(c[i * ld + j], expected[i * cols + j]),
                  "%s (%d x %d) variant %d at %d, %d: %a, not %a", what, (int)rows, (int)cols,
                  variant, (int)i, (int)j, c[i * ld + j], expected[i * cols + j]);
        const unsigned char *rest = (const unsigned char *)(c + i * ld + cols);
        for (size_t b = 0; b < (size_t)(ld - cols) * sizeof *c; b++)
            CHECK(rest[b] == CANARY, "%s wrote beyond its columns", what);
    }
    const unsigned char *before = (const unsigned char *)c - 256;
    for (int i = 0; i < 256 && rows && cols; i++)
        CHECK(before[i] == CANARY, "%s wrote before its output", what);
}

static void check_block(int64_t m, int64_t n, int64_t k, int planes, int accumulate, draw kind) {
    static float start[4096], expected[4096];
    const float *src_a = random_floats(memory_c, m, k, k, kind);
    int64_t count;
    bp_bf16_operand a = make_operand(memory_a, BP_BF16_ROWS, planes, m, k, &count);
    bp_bf16_convert(&at.kernels, BP_BF16_ROWS, planes, m, k, src_a, k, &a, 0, 0);
    const float *src_b = random_floats(memory_c, k, n, n, kind);
    bp_bf16_operand b = make_operand(memory_b, BP_BF16_PANELS, planes, k, n, &count);
    bp_bf16_convert(&at.kernels, BP_BF16_PANELS, planes, k, n, src_b, n, &b, 0, 0);
    const bp_bf16_term terms[] = {{0, 0}, {(planes - 1) * a.plane, 0}, {0, (planes - 1) * b.plane}};
    const bp_bf16_block q = {
        .m = m,
        .n = n,
        .k = k,
        .a = a.x,
        .slab = a.stride,
        .b = b.x,
        .panel = b.stride,
        .terms = terms,
        .n_terms = planes > 1 ? 3 : 1,
        .c = make_output(m, n, n + 5, start),
        .c_rs = n + 5,
        .accumulate = accumulate,
    };
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            expected[i * n + j] = model_element(&q, i, j, accumulate ? start[i * n + j] : 0);
    const uint64_t mode = bp_fp_enter();
    at.kernels.bf16->begin();
    at.kernels.bf16->run(&q);
    CHECK(!upper_halves_in_use(), "micro-kernel m %d n %d: no vzeroupper", (int)m, (int)n);
    at.kernels.bf16->end();
    bp_fp_leave(mode);
    check_output("micro-kernel", q.c, m, n, n + 5, expected, (int)k * 10 + planes);
}

static void check_micro_kernel(void) {
    for (int64_t m = 0; m <= 34; m++) {
        for (int64_t n = m % step; n <= 70; n += step * (m < 4 ? 1 : 3)) {
            const int planes = (int)(m + n) % 3 + 1, add = (int)(m + n / 3) % 2;
            check_block(m, n, (m + n) % 3 * 32, planes, add, DRAW_WIDE);
        }
    }
    check_block(7, 40, 64, 1, 1, DRAW_ANY);
    check_block(33, 33, 32, 3, 0, DRAW_ANY);
    check_block(1, 300, 64, 1, 0, DRAW_UNIT);
    check_block(5, 200, 32, 2, 1, DRAW_UNIT);
}

/* ---- the driver ---- */

typedef struct {
    int64_t m, n, k;
    int planes, accumulate;
    bp_epilogue epilogue;
    draw kind;
} problem;

/* The sum of terms in their order, from acc. */
static float model_terms(const bp_bf16_product *p, int large, int64_t i, int64_t j, float acc) {
    static const int small2[][2] = {{0, 1}, {1, 0}};
    static const int small3[][2] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}};
    bp_bf16_term terms[5] = {{0, 0}};
    const int count = large ? 1 : p->planes == 2 ? 2 : 5;
    for (int t = 0; t < count && !large; t++) {
        const int *planes = p->planes == 2 ? small2[t] : small3[t];
        terms[t] = (bp_bf16_term){planes[0] * p->a.plane, planes[1] * p->b.plane};
    }
    const bp_bf16_block q = {
        .k = at_least(p->k, 32),
        .a = p->a.x,
        .slab = p->a.stride,
        .b = p->b.x,
        .panel = p->b.stride,
        .terms = terms,
        .n_terms = count,
    };
    return model_element(&q, i, j, acc);
}

static void model_product(const bp_bf16_product *p, const float *start, float *c) {
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            const float old = p->accumulate ? start[i * p->n + j] : 0;
            float sum = p->planes == 1 ? old : 0;
            if (p->planes > 1) {
                sum = model_terms(p, 0, i, j, 0);
                if (!isfinite(sum)) sum = 0;
            }
            sum = model_terms(p, 1, i, j, sum);
            c[i * p->n + j] = p->planes > 1 && p->accumulate ? flushed_add(old, sum) : sum;
        }
    }
    const bp_kernels_f32 *f32 = at.kernels.f32;
    const uint64_t mode = bp_fp_enter();
    if (p->epilogue == BP_EPILOGUE_ACT_FWD)
        f32->act_fwd[p->act](p->m, p->n, c, p->n, p->bias, c, p->n);
    else if (p->epilogue == BP_EPILOGUE_ACT_BWD)
        f32->act_bwd[p->act](p->m, p->n, p->saved, p->act_rs, c, p->n);
    bp_fp_leave(mode);
}

/* All of the product in parts x parts ranges, the last first. */
static void run_in_parts(const bp_bf16_product *p, int64_t parts, float *scratch) {
    const int64_t down = at_least((p->m + parts - 1) / parts, 32);
    const int64_t across = at_least((p->n + parts - 1) / parts, 32);
    const uint64_t mode = bp_fp_enter();
    at.kernels.bf16->begin();
    for (int64_t i = parts - 1; i >= 0; i--) {
        for (int64_t j = parts - 1; j >= 0; j--) {
            const int64_t m1 = (i + 1) * down, n1 = (j + 1) * across;
            bp_bf16_product_run(&at.kernels, p, i * down < p->m ? i * down : p->m,
                                m1 < p->m ? m1 : p->m, j * across < p->n ? j * across : p->n,
                                n1 < p->n ? n1 : p->n, scratch);
        }
    }
    at.kernels.bf16->end();
    bp_fp_leave(mode);
}

/* The outputs are what the finished result converts to. */
static void check_outputs(const bp_bf16_product *p, const float *result) {
    for (int o = 0; o < 2; o++) {
        int64_t count;
        bp_bf16_operand whole =
            make_operand(memory_a, p->out[o].form, p->planes, p->m, p->n, &count);
        bp_bf16_convert(&at.kernels, p->out[o].form, p->planes, p->m, p->n, result, p->n, &whole, 0,
                        0);
        CHECK(memcmp(whole.x, p->out[o].operand.x, (size_t)count * sizeof *whole.x) == 0,
              "output %d (%d x %d), planes %d, form %d", o, (int)p->m, (int)p->n, p->planes,
              p->out[o].form);
    }
}

static void run_and_check(bp_bf16_product *p, const problem *q, int parts, const float *start,
                          const float *expected) {
    const int64_t ld = p->n + 2;
    float *scratch = malloc((size_t)bp_bf16_product_scratch(&at.kernels) * sizeof *scratch);
    float *c = guarded_take(memory_c, (size_t)(p->m * ld) * sizeof *c);
    int64_t count;
    for (int64_t i = 0; i < p->m; i++)
        memcpy(c + i * ld, start + i * p->n, (size_t)p->n * sizeof *c);
    p->c = c;
    p->c_rs = ld;
    if (p->epilogue == BP_EPILOGUE_ACT_FWD) {
        p->act_out = c;
        p->act_rs = ld;
    }
    const int forward = p->epilogue == BP_EPILOGUE_ACT_FWD;
    p->out[0].form = BP_BF16_ROWS;
    p->out[1].form = forward ? BP_BF16_PANELS : BP_BF16_ROWS_T;
    for (int o = 0; o < 2; o++)
        p->out[o].operand =
            make_operand(memory_out[o], p->out[o].form, p->planes, p->m, p->n, &count);
    run_in_parts(p, parts, scratch);
    check_output("product", c, p->m, p->n, ld, expected, (int)q->k * 100 + q->planes * 10 + parts);
    free(scratch);
}

static void check_product(problem q) {
    const size_t elements = (size_t)(q.m * q.n + 1);
    float *start = malloc(elements * sizeof *start), *expected = malloc(elements * sizeof *start);
    float *saved = malloc(elements * sizeof *start),
          *bias = malloc((size_t)(q.n + 1) * sizeof *bias);
    for (int64_t i = 0; i < q.m * q.n; i++) {
        start[i] = random_float(DRAW_UNIT);
        saved[i] = random_float(DRAW_UNIT);
    }
    for (int64_t j = 0; j < q.n; j++)
        bias[j] = random_float(DRAW_UNIT);
    bp_bf16_product p = {
        .m = q.m,
        .n = q.n,
        .k = q.k,
        .planes = q.planes,
        .accumulate = q.accumulate,
        .epilogue = q.epilogue,
        .act = BP_ACT_TANH,
        .bias = bias,
        .saved = saved,
        .act_rs = q.n,
    };
    int64_t count;
    const float *src = random_floats(memory_c, q.k, q.m, q.m, q.kind);
    p.a = make_operand(memory_a, BP_BF16_ROWS_T, q.planes, q.k, q.m, &count);
    bp_bf16_convert(&at.kernels, BP_BF16_ROWS_T, q.planes, q.k, q.m, src, q.m, &p.a, 0, 0);
    src = random_floats(memory_c, q.n, q.k, q.k, q.kind);
    p.b = make_operand(memory_b, BP_BF16_PANELS_T, q.planes, q.n, q.k, &count);
    bp_bf16_convert(&at.kernels, BP_BF16_PANELS_T, q.planes, q.n, q.k, src, q.k, &p.b, 0, 0);
    model_product(&p, start, expected);
    for (int parts = 1; parts <= 3; parts++)
        run_and_check(&p, &q, parts, start, expected);
    if (q.kind != DRAW_ANY) check_outputs(&p, expected);
    free(start);
    free(expected);
    free(saved);
    free(bias);
}

static void check_products(void) {
    for (int planes = 1; planes <= 3; planes++) {
        for (int add = 0; add < 2; add++) {
            check_product((problem){1, 1, 1, planes, add, BP_EPILOGUE_NONE, DRAW_UNIT});
            check_product((problem){7, 5, 0, planes, add, BP_EPILOGUE_ACT_FWD, DRAW_UNIT});
            check_product((problem){33, 65, 31, planes, add, BP_EPILOGUE_ACT_FWD, DRAW_WIDE});
            check_product((problem){70, 40, 97, planes, add, BP_EPILOGUE_ACT_BWD, DRAW_WIDE});
            check_product((problem){9, 34, 7, planes, add, BP_EPILOGUE_NONE, DRAW_ANY});
            /* Beyond one block of k, of rows and of columns. */
            if (step > 2) continue;
            check_product((problem){5, 34, 1100, planes, add, BP_EPILOGUE_NONE, DRAW_UNIT});
        }
        if (step > 1) continue;
        check_product((problem){600, 20, 33, planes, 1, BP_EPILOGUE_ACT_FWD, DRAW_UNIT});
        check_product((problem){40, 1000, 40, planes, 0, BP_EPILOGUE_ACT_BWD, DRAW_UNIT});
    }
    check_product((problem){0, 5, 3, 1, 0, BP_EPILOGUE_NONE, DRAW_UNIT});
}
