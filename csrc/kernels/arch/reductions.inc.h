/* Reductions and conversions: softmax, sums of columns and of all, copies into the network's type.
 *
 * A sum runs in V(lanes) * 4 chains over the elements' positions, so its order is fixed by n.
 */

/* The largest of n elements, -inf for n = 0; a NaN may be lost, but not from the sum of exp. */
BP_INLINE real V(row_max)(int64_t n, const real *x) {
    const vreal lowest = V(set1)(-INFINITY);
    vreal m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;
    int64_t j = 0;
    for (; j + 4 * V(lanes) <= n; j += 4 * V(lanes)) {
        m0 = V(max)(V(load)(x + j), m0);
        m1 = V(max)(V(load)(x + j + V(lanes)), m1);
        m2 = V(max)(V(load)(x + j + 2 * V(lanes)), m2);
        m3 = V(max)(V(load)(x + j + 3 * V(lanes)), m3);
    }
    for (; j + V(lanes) <= n; j += V(lanes))
        m0 = V(max)(V(load)(x + j), m0);
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        m1 = V(max)(V(first_n)(V(load_n)(x + j, rest), rest, lowest), m1);
    }
    return V(largest)(V(max)(V(max)(m0, m1), V(max)(m2, m3)));
}

/* The row of n <= V(lanes) elements, padded. */
BP_INLINE vreal V(row_short)(int n, const real *x, real padding) {
    return V(first_n)(V(load_n)(x, n), n, V(set1)(padding));
}

BP_INLINE real V(row_sum)(int64_t n, const real *x) {
    vreal s0 = V(set1)(0), s1 = s0, s2 = s0, s3 = s0;
    int64_t j = 0;
    for (; j + 4 * V(lanes) <= n; j += 4 * V(lanes)) {
        s0 = V(add)(s0, V(load)(x + j));
        s1 = V(add)(s1, V(load)(x + j + V(lanes)));
        s2 = V(add)(s2, V(load)(x + j + 2 * V(lanes)));
        s3 = V(add)(s3, V(load)(x + j + 3 * V(lanes)));
    }
    for (; j + V(lanes) <= n; j += V(lanes))
        s0 = V(add)(s0, V(load)(x + j));
    if (V(lanes) > 1 && j < n) s1 = V(add)(s1, V(load_n)(x + j, (int)(n - j)));
    return V(sum)(V(add)(V(add)(s0, s1), V(add)(s2, s3)));
}

/* The sum of exp(x[j] - shift), and the terms in e where keep is set; e may be x. */
BP_INLINE real V(row_exp)(int keep, int64_t n, const real *x, real shift, real *e) {
    const vreal m = V(set1)(shift);
    if (V(lanes) == 1) { /* apart from the sum, the compiler vectorises the exponentials */
        real total = 0, room[256];
        for (int64_t start = 0; start < n; start += 256) {
            int64_t count = n - start < 256 ? n - start : 256;
            const real *from = x + start;
            real *to = keep ? e + start : room;
            BP_INDEPENDENT
            for (int64_t j = 0; j < count; j++)
                V(store)(to + j, V(exp_neg)(V(sub)(V(load)(from + j), m)));
            total += V(row_sum)(count, to);
        }
        return total;
    }
    vreal s = V(set1)(0);
    int64_t j = 0;
    for (; j + V(lanes) <= n; j += V(lanes)) {
        vreal y = V(exp_neg)(V(sub)(V(load)(x + j), m));
        if (keep) V(store)(e + j, y);
        s = V(add)(s, y);
    }
    if (j < n) {
        int rest = (int)(n - j);
        vreal y = V(exp_neg)(V(sub)(V(load_n)(x + j, rest), m));
        if (keep) V(store_n)(e + j, y, rest);
        s = V(add)(s, V(first_n)(y, rest, V(set1)(0)));
    }
    return V(sum)(s);
}

/* y = c x; y may be x. */
BP_INLINE void V(row_scale)(int64_t n, const real *x, real c, real *y) {
    const vreal factor = V(set1)(c);
    int64_t j = 0;
    BP_INDEPENDENT
    for (; j + V(lanes) <= n; j += V(lanes))
        V(store)(y + j, V(mul)(V(load)(x + j), factor));
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        V(store_n)(y + j, V(mul)(V(load_n)(x + j, rest), factor), rest);
    }
}

static void BPK(softmax)(int64_t rows, int64_t cols, const real *z, int64_t ldz, real *a,
                         int64_t lda) {
    if (V(lanes) > 1 && 0 < cols && cols <= V(lanes)) { /* a row in one register */
        for (int64_t i = 0; i < rows; i++) {
            vreal x = V(row_short)((int)cols, z + i * ldz, -INFINITY);
            vreal e = V(exp_neg)(V(sub)(x, V(set1)(V(largest)(x))));
            V(store_n)(a + i * lda, V(mul)(e, V(set1)(1 / V(sum)(e))), (int)cols);
        }
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        real shift = V(row_max)(cols, z + i * ldz);
        real sum = V(row_exp)(1, cols, z + i * ldz, shift, a + i * lda);
        V(row_scale)(cols, a + i * lda, 1 / sum, a + i * lda);
    }
}

BP_INLINE real V(row_dot)(int64_t n, const real *x, const real *y) {
    vreal s0 = V(set1)(0), s1 = s0, s2 = s0, s3 = s0;
    int64_t j = 0;
    for (; j + 4 * V(lanes) <= n; j += 4 * V(lanes)) {
        const real *p = x + j, *q = y + j;
        s0 = V(fma)(V(load)(p), V(load)(q), s0);
        s1 = V(fma)(V(load)(p + V(lanes)), V(load)(q + V(lanes)), s1);
        s2 = V(fma)(V(load)(p + 2 * V(lanes)), V(load)(q + 2 * V(lanes)), s2);
        s3 = V(fma)(V(load)(p + 3 * V(lanes)), V(load)(q + 3 * V(lanes)), s3);
    }
    for (; j + V(lanes) <= n; j += V(lanes))
        s0 = V(fma)(V(load)(x + j), V(load)(y + j), s0);
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        s1 = V(fma)(V(load_n)(x + j, rest), V(load_n)(y + j, rest), s1);
    }
    return V(sum)(V(add)(V(add)(s0, s1), V(add)(s2, s3)));
}

static void BPK(softmax_bwd)(int64_t rows, int64_t cols, const real *a, int64_t lda, real *d,
                             int64_t ldd) {
    for (int64_t i = 0; i < rows; i++) {
        const real *p = a + i * lda;
        real *q = d + i * ldd;
        const vreal dot = V(set1)(V(row_dot)(cols, p, q));
        int64_t j = 0;
        BP_INDEPENDENT
        for (; j + V(lanes) <= cols; j += V(lanes))
            V(store)(q + j, V(mul)(V(load)(p + j), V(sub)(V(load)(q + j), dot)));
        if (V(lanes) > 1 && j < cols) {
            int rest = (int)(cols - j);
            vreal y = V(mul)(V(load_n)(p + j, rest), V(sub)(V(load_n)(q + j, rest), dot));
            V(store_n)(q + j, y, rest);
        }
    }
}

/* `parts` vectors of columns, the last of `count` lanes. */
BP_INLINE void V(col_sum_strip)(int parts, int count, int64_t rows, const real *x, int64_t ldx,
                                real *out, int accumulate) {
    vreal s[4];
    for (int v = 0; v < parts; v++)
        s[v] =
            accumulate ? V(get)(out + v * V(lanes), v + 1 < parts ? V(lanes) : count) : V(set1)(0);
    for (int64_t i = 0; i < rows; i++) {
        for (int v = 0; v < parts; v++) {
            int lanes = v + 1 < parts ? V(lanes) : count;
            s[v] = V(add)(s[v], V(get)(x + i * ldx + v * V(lanes), lanes));
        }
    }
    for (int v = 0; v < parts; v++)
        V(put)(out + v * V(lanes), s[v], v + 1 < parts ? V(lanes) : count);
}

static void BPK(col_sum)(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *out,
                         int accumulate) {
    int64_t j = 0;
    if (V(lanes) == 1) { /* row by row: the compiler vectorises along the columns */
        for (; j < cols && !accumulate; j++)
            out[j] = 0;
        for (int64_t i = 0; i < rows; i++) {
            const real *row = x + i * ldx;
            for (j = 0; j < cols; j++)
                out[j] += row[j];
        }
        return;
    }
    for (; j + 4 * V(lanes) <= cols; j += 4 * V(lanes))
        V(col_sum_strip)(4, V(lanes), rows, x + j, ldx, out + j, accumulate);
    for (; j + V(lanes) <= cols; j += V(lanes))
        V(col_sum_strip)(1, V(lanes), rows, x + j, ldx, out + j, accumulate);
    if (j < cols) V(col_sum_strip)(1, (int)(cols - j), rows, x + j, ldx, out + j, accumulate);
}

/* Adds the squares, or the absolute values, of the lanes of x to 4 sums. */
BP_INLINE void V(tally)(int square, vreal x, vf64_vector *s) {
    for (int part = 0; part < V(wide_parts); part++) {
        vf64_vector y = V(widen)(x, part);
        s[part] = square ? vf64_fma(y, y, s[part]) : vf64_add(s[part], vf64_abs(y));
    }
}

BP_INLINE double V(total)(int square, int64_t n, const real *x) {
    vf64_vector s[4][2];
    for (int v = 0; v < 4; v++)
        s[v][0] = s[v][1] = vf64_set1(0);
    int64_t j = 0;
    for (; j + 4 * V(lanes) <= n; j += 4 * V(lanes))
        for (int v = 0; v < 4; v++)
            V(tally)(square, V(load)(x + j + v * V(lanes)), s[v]);
    for (; j + V(lanes) <= n; j += V(lanes))
        V(tally)(square, V(load)(x + j), s[0]);
    if (V(lanes) > 1 && j < n) V(tally)(square, V(load_n)(x + j, (int)(n - j)), s[1]);
    vf64_vector even = vf64_add(vf64_add(s[0][0], s[1][0]), vf64_add(s[2][0], s[3][0]));
    vf64_vector odd = vf64_add(vf64_add(s[0][1], s[1][1]), vf64_add(s[2][1], s[3][1]));
    return vf64_sum(vf64_add(even, odd));
}

static double BPK(sum_sq)(int64_t n, const real *x) {
    return V(total)(1, n, x);
}
static double BPK(sum_abs)(int64_t n, const real *x) {
    return V(total)(0, n, x);
}

static void BPK(gemv)(int64_t rows, int64_t cols, const real *a, int64_t lda, const real *x,
                      real *y) {
    for (int64_t i = 0; i < rows; i++)
        y[i] = V(row_dot)(cols, a + i * lda, x);
}

static void BPK(row_sum)(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *out,
                         int accumulate) {
    for (int64_t i = 0; i < rows; i++) {
        real sum = accumulate ? out[i] : 0;
        for (int64_t j = 0; cols < 8 && j < cols; j++)
            sum += x[i * ldx + j];
        out[i] = cols < 8 ? sum : sum + V(row_sum)(cols, x + i * ldx);
    }
}

static void BPK(add)(int64_t n, const real *x, const real *y, real *z) {
    BP_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        z[i] = x[i] + y[i];
}

static void BPK(add_bias)(int64_t rows, int64_t cols, const real *bias, real *z, int64_t ldz) {
    for (int64_t i = 0; i < rows; i++) {
        real *row = z + i * ldz;
        const real b = bias[i];
        BP_INDEPENDENT
        for (int64_t j = 0; j < cols; j++)
            row[j] += b;
    }
}

#define BP_LOAD(name, type)                                                                        \
    static void BPK(name)(int64_t n, const type *src, const real *shift, const real *scale,        \
                          real *dst) {                                                             \
        if (shift == NULL) {                                                                       \
            BP_INDEPENDENT for (int64_t j = 0; j < n; j++) dst[j] = (real)src[j];                  \
        } else {                                                                                   \
            BP_INDEPENDENT for (int64_t j = 0; j < n; j++) dst[j] =                                \
                ((real)src[j] - shift[j]) * scale[j];                                              \
        }                                                                                          \
        BP_LEAVE_VECTORS();                                                                        \
    }

BP_LOAD(load_f32, float)
BP_LOAD(load_f64, double)
BP_LOAD(load_u8, uint8_t)
#undef BP_LOAD

/* A register of the peak loop, and x -> x / 2 + 1, which stays near 2. */
#ifdef BP_PACK_BYTES
typedef real V(pack) __attribute__((vector_size(BP_PACK_BYTES)));
BP_INLINE V(pack) V(pack_start)(real x) {
    return x + (V(pack)){0};
}
BP_INLINE V(pack) V(pack_step)(V(pack) x) {
    return x * (real)0.5 + (real)1;
}
BP_INLINE real V(pack_first)(V(pack) x) {
    return x[0];
}
#else
typedef vreal V(pack);
BP_INLINE V(pack) V(pack_start)(real x) {
    return V(set1)(x);
}
BP_INLINE V(pack) V(pack_step)(V(pack) x) {
    return V(fma)(x, V(set1)((real)0.5), V(set1)(1));
}
BP_INLINE real V(pack_first)(V(pack) x) {
    return V(sum)(x);
}
#endif

/* Enough chains to hide the latencies, and few enough for 16 registers. */
static double BPK(peak)(int64_t iterations) {
    enum { chains = 12 };
    V(pack) acc[chains];
    BP_UNROLL_ALL
    for (int c = 0; c < chains; c++)
        acc[c] = V(pack_start)((real)c); /* all different: equal chains would be computed once */
    for (int64_t i = 0; i < iterations; i++) {
        BP_UNROLL_ALL
        for (int c = 0; c < chains; c++)
            acc[c] = V(pack_step)(acc[c]);
    }
    real total = 0;
    BP_UNROLL_ALL
    for (int c = 0; c < chains; c++)
        total += V(pack_first)(acc[c]);
    volatile real used = total;
    (void)used;
    return 2.0 * chains * (double)(sizeof acc[0] / sizeof(real)) * (double)iterations;
}

static void BPK(init_rows)(BP_T(bp_kernels) *k) {
    k->softmax = BPK(softmax);
    k->softmax_bwd = BPK(softmax_bwd);
    k->col_sum = BPK(col_sum);
    k->sum_sq = BPK(sum_sq);
    k->sum_abs = BPK(sum_abs);
    k->gemv = BPK(gemv);
    k->row_sum = BPK(row_sum);
    k->add = BPK(add);
    k->add_bias = BPK(add_bias);
    k->load_f32 = BPK(load_f32);
    k->load_f64 = BPK(load_f64);
    k->load_u8 = BPK(load_u8);
    k->peak = BPK(peak);
}
