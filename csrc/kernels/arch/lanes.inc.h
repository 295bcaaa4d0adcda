/* Products and sums of many networks at a time, one in each lane: lanes never mix, and each
 * computes what the kernels for one network compute. */

static void BPK(lane_spread)(int64_t n, const real *x, real *out) {
    for (int64_t i = 0; i < n; i++)
        V(store)(out + i * V(lanes), V(set1)(x[i]));
}

/* Columns of the largest tile, whose 4 rows of sums are registers. */
enum { V(tile_cols) = BP_VECTOR_REGISTERS < 32 ? 2 : 4 };

/* rows and cols are constants. Eight chains or more keep the multiply-adds busy. */
BP_INLINE void V(lane_tile)(const int rows, const int cols, int64_t k, const real *a, int64_t a_rs,
                            int64_t a_cs, const real *b, int64_t b_rs, int64_t b_cs,
                            const real *bias, real *c, int64_t c_rs) {
    vreal sum[4][V(tile_cols)];
    BP_UNROLL_ALL
    for (int i = 0; i < rows; i++) {
        BP_UNROLL_ALL
        for (int j = 0; j < cols; j++)
            sum[i][j] = V(set1)(0);
    }
    for (int64_t p = 0; p < k; p++, a += a_cs, b += b_rs) {
        vreal y[V(tile_cols)];
        BP_UNROLL_ALL
        for (int j = 0; j < cols; j++)
            y[j] = V(load)(b + j * b_cs);
        BP_UNROLL_ALL
        for (int i = 0; i < rows; i++) {
            const vreal x = V(load)(a + i * a_rs);
            BP_UNROLL_ALL
            for (int j = 0; j < cols; j++)
                sum[i][j] = V(fma)(x, y[j], sum[i][j]);
        }
    }
    BP_UNROLL_ALL
    for (int j = 0; j < cols; j++) {
        BP_UNROLL_ALL
        for (int i = 0; i < rows; i++) {
            vreal x = sum[i][j];
            if (bias) x = V(add)(x, V(load)(bias + j * V(lanes)));
            V(store)(c + i * c_rs + j * V(lanes), x);
        }
    }
}

/* So many rows of the product. */
BP_INLINE void V(lane_rows)(const int rows, int64_t n, int64_t k, const real *a, int64_t a_rs,
                            int64_t a_cs, const real *b, int64_t b_rs, int64_t b_cs,
                            const real *bias, real *c, int64_t c_rs) {
#define BP_TILE(cols)                                                                              \
    V(lane_tile)                                                                                   \
    (rows, cols, k, a, a_rs, a_cs, b + j * b_cs, b_rs, b_cs, bias ? bias + j * V(lanes) : NULL,    \
     c + j * V(lanes), c_rs)
    int64_t j = 0;
    for (; j + V(tile_cols) <= n; j += V(tile_cols))
        BP_TILE(V(tile_cols));
    for (; j + 2 <= n; j += 2)
        BP_TILE(2);
    if (j < n) BP_TILE(1);
#undef BP_TILE
}

static void BPK(lane_product)(int64_t m, int64_t n, int64_t k, const real *a, int64_t a_rs,
                              int64_t a_cs, const real *b, int64_t b_rs, int64_t b_cs,
                              const real *bias, real *c, int64_t c_rs) {
    int64_t i = 0;
    a_rs *= V(lanes), a_cs *= V(lanes), b_rs *= V(lanes), b_cs *= V(lanes), c_rs *= V(lanes);
    for (; i + 4 <= m; i += 4)
        V(lane_rows)(4, n, k, a + i * a_rs, a_rs, a_cs, b, b_rs, b_cs, bias, c + i * c_rs, c_rs);
    if (i + 2 <= m) {
        V(lane_rows)(2, n, k, a + i * a_rs, a_rs, a_cs, b, b_rs, b_cs, bias, c + i * c_rs, c_rs);
        i += 2;
    }
    if (i < m)
        V(lane_rows)(1, n, k, a + i * a_rs, a_rs, a_cs, b, b_rs, b_cs, bias, c + i * c_rs, c_rs);
}

/* What V(sum) makes of the lanes of a vector, from vectors. */
BP_INLINE vreal V(sum_vectors)(vreal *x) {
    for (int n = V(lanes) / 2; n > 0; n /= 2) {
        for (int i = 0; i < n; i++) {
#ifdef BP_SUM_OF_NEIGHBOURS
            x[i] = V(add)(x[2 * i], x[2 * i + 1]);
#else
            x[i] = V(add)(x[i], x[i + n]);
#endif
        }
    }
    return x[0];
}

/* The four chains of V(row_sum) at lane `at` of its vectors, added up: the values at x[i * ldx]. */
BP_INLINE vreal V(sum_at)(int64_t n, int64_t at, const real *x, int64_t ldx) {
    const int64_t strip = 4 * V(lanes), long_end = n / strip * strip, end = n / V(lanes) * V(lanes);
    vreal s[4] = {V(set1)(0), V(set1)(0), V(set1)(0), V(set1)(0)};
    int64_t i = at;
    for (; i < long_end; i += strip)
        for (int v = 0; v < 4; v++)
            s[v] = V(add)(s[v], V(load)(x + (i + v * V(lanes)) * ldx));
    for (; i < end; i += V(lanes))
        s[0] = V(add)(s[0], V(load)(x + i * ldx));
    if (i < n) s[1] = V(add)(s[1], V(load)(x + i * ldx));
    return V(add)(V(add)(s[0], s[1]), V(add)(s[2], s[3]));
}

static void BPK(lane_sum)(int64_t rows, int64_t cols, const real *x, real *out) {
    const int64_t ldx = cols * V(lanes);
    for (int64_t j = 0; j < cols; j++, x += V(lanes), out += V(lanes)) {
        vreal sum = V(set1)(0);
        for (int64_t i = 0; rows < 8 && i < rows; i++)
            sum = V(add)(sum, V(load)(x + i * ldx));
        if (rows >= 8) {
            vreal s[V(lanes)];
            for (int at = 0; at < V(lanes); at++)
                s[at] = V(sum_at)(rows, at, x, ldx);
            sum = V(add)(sum, V(sum_vectors)(s));
        }
        V(store)(out, sum);
    }
}

static void BPK(init_lanes)(BP_T(bp_kernels) *k) {
    k->lanes.count = V(lanes);
    k->lanes.spread = BPK(lane_spread);
    k->lanes.product = BPK(lane_product);
    k->lanes.sum = BPK(lane_sum);
}
