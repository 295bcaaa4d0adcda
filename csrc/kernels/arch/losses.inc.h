/* Losses: the example's loss and row_scale times its derivative, row by row.
 *
 * Terms of a row are summed in a fixed order, so an example's loss depends on its row alone, and is
 * the same whether d is asked for or not.
 */

/* One output's term of the loss; *d is its derivative in s. The mean over outputs is taken after
 * the sum of the row. */
BP_INLINE vreal V(loss_term)(int loss, vreal s, vreal y, vreal *d) {
    const vreal zero = V(set1)(0), one = V(set1)(1);
    if (loss == BP_LOSS_BINARY_CROSS_ENTROPY) {
        /* p - y as (1 - y) p - y (1 - p): neither part cancels where p is near 0 or 1. */
        vreal e = V(exp_neg)(V(neg_abs)(s)), r = V(ratio)(one, V(add)(one, e)), er = V(mul)(e, r);
        vmask negative = V(lt)(s, zero);
        vreal p = V(select)(negative, er, r), rest = V(select)(negative, r, er);
        *d = V(fnma)(y, rest, V(mul)(V(sub)(one, y), p));
        return V(add)(V(fnma)(s, y, V(max)(zero, s)), V(log1p_unit)(e));
    }
    vreal x = V(sub)(s, y), size = V(abs)(x);
    /* sign(x), 0 at 0, NaN at NaN */
    vreal sign = V(select)(V(eq)(x, zero), zero, V(copysign)(V(select)(V(eq)(x, x), one, x), x));
    switch (loss) {
    case BP_LOSS_MAE:
        *d = sign;
        return size;
    case BP_LOSS_HUBER:
        *d = V(select)(V(le)(size, one), x, sign);
        return V(select)(V(le)(size, one), V(mul)(V(mul)(x, x), V(set1)((real)0.5)),
                         V(sub)(size, V(set1)((real)0.5)));
    default:
        *d = V(add)(x, x);
        return V(mul)(x, x);
    }
}

/* Sum of the terms of a row; d = scale times their derivatives where want_d is set. */
BP_INLINE real V(loss_row)(int loss, int want_d, int64_t n, const real *s, const real *y,
                           real scale, real *d) {
    const vreal c = V(set1)(scale);
    vreal sum[2] = {V(set1)(0), V(set1)(0)}, slope;
    int64_t j = 0;
    for (; j + 2 * V(lanes) <= n; j += 2 * V(lanes)) {
        for (int v = 0; v < 2; v++) {
            int64_t at = j + v * V(lanes);
            sum[v] = V(add)(sum[v], V(loss_term)(loss, V(load)(s + at), V(load)(y + at), &slope));
            if (want_d) V(store)(d + at, V(mul)(c, slope));
        }
    }
    for (; j < n; j += V(lanes)) {
        int count = n - j < V(lanes) ? (int)(n - j) : V(lanes);
        vreal term = V(loss_term)(loss, V(get)(s + j, count), V(get)(y + j, count), &slope);
        sum[0] = V(add)(sum[0], V(first_n)(term, count, V(set1)(0)));
        if (want_d) V(put)(d + j, V(mul)(c, slope), count);
    }
    return V(sum)(V(add)(sum[0], sum[1]));
}

/* Rows of one output, stored without gaps, count <= V(lanes) of them: one term is the loss. */
BP_INLINE void V(loss_column)(int loss, int count, const real *s, const real *y,
                              const real *row_scale, real *out, real *d) {
    vreal slope, term = V(loss_term)(loss, V(get)(s, count), V(get)(y, count), &slope);
    if (d != NULL) V(put)(d, V(mul)(V(get)(row_scale, count), slope), count);
    V(put)(out, term, count);
}

BP_INLINE void V(loss_rows)(int loss, int64_t rows, int64_t cols, const real *s, int64_t lds,
                            const real *y, int64_t ldy, const real *row_scale, real *out, real *d,
                            int64_t ldd) {
    const real share = loss == BP_LOSS_SQUARED_ERROR || cols == 0 ? 1 : (real)1 / (real)cols;
    if (V(lanes) > 1 && cols == 1 && lds == 1 && ldy == 1 && (d == NULL || ldd == 1)) {
        int64_t i = 0;
        for (; i + V(lanes) <= rows; i += V(lanes))
            V(loss_column)
        (loss, V(lanes), s + i, y + i, row_scale ? row_scale + i : NULL, out + i, d ? d + i : NULL);
        if (i < rows) V(loss_column)
        (loss, (int)(rows - i), s + i, y + i, row_scale ? row_scale + i : NULL, out + i,
         d ? d + i : NULL);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        const real *p = s + i * lds, *q = y + i * ldy;
        real sum = d == NULL ? V(loss_row)(loss, 0, cols, p, q, 0, NULL)
                             : V(loss_row)(loss, 1, cols, p, q, row_scale[i] * share, d + i * ldd);
        out[i] = sum * share;
    }
}

#define BP_LOSS(name, loss)                                                                        \
    static void BPK(loss_##name)(int64_t rows, int64_t cols, const real *s, int64_t lds,           \
                                 const real *y, int64_t ldy, const int64_t *labels,                \
                                 const real *row_scale, real *out, real *d, int64_t ldd) {         \
        (void)labels;                                                                              \
        V(loss_rows)(loss, rows, cols, s, lds, y, ldy, row_scale, out, d, ldd);                    \
    }

BP_LOSS(mse, BP_LOSS_MSE)
BP_LOSS(squared_error, BP_LOSS_SQUARED_ERROR)
BP_LOSS(mae, BP_LOSS_MAE)
BP_LOSS(huber, BP_LOSS_HUBER)
BP_LOSS(binary_cross_entropy, BP_LOSS_BINARY_CROSS_ENTROPY)
#undef BP_LOSS

/* Sum of y (m - z), where a class of y = 0 counts nothing even if its z is -inf; *mass = sum of y.
 */
BP_INLINE real V(cross_row)(int64_t n, const real *z, const real *y, real shift, real *mass) {
    const vreal m = V(set1)(shift), zero = V(set1)(0);
    vreal sum = zero, total = zero;
    for (int64_t j = 0; j < n; j += V(lanes)) {
        int count = n - j < V(lanes) ? (int)(n - j) : V(lanes);
        vreal weight = V(get)(y + j, count);
        vreal term = V(mul)(weight, V(sub)(m, V(get)(z + j, count)));
        sum = V(add)(sum, V(select)(V(eq)(weight, zero), zero, term));
        total = V(add)(total, weight);
    }
    *mass = V(sum)(total);
    return V(sum)(sum);
}

/* d = scale (share e - y); d may be e. */
BP_INLINE void V(delta_row)(int64_t n, const real *e, real share, const real *y, real scale,
                            real *d) {
    const vreal factor = V(set1)(share), weight = V(set1)(scale);
    int64_t j = 0;
    BP_INDEPENDENT
    for (; j + V(lanes) <= n; j += V(lanes)) {
        vreal slope = V(sub)(V(mul)(V(load)(e + j), factor), V(load)(y + j));
        V(store)(d + j, V(mul)(slope, weight));
    }
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        vreal slope = V(sub)(V(mul)(V(load_n)(e + j, rest), factor), V(load_n)(y + j, rest));
        V(store_n)(d + j, V(mul)(slope, weight), rest);
    }
}

/* 1 at V(lanes): a vector from V(hot) + V(lanes) - i on is 1 at lane i, 0 elsewhere. */
static const real V(hot)[2 * V(lanes)] = {[V(lanes)] = 1};

/* cross_entropy_row for n <= V(lanes): all in registers. */
BP_INLINE real V(cross_entropy_short)(int n, const real *z, const real *y, int64_t label,
                                      const real *row_scale, real *d, real *base, real *mass) {
    const vreal zero = V(set1)(0);
    vreal x = V(row_short)(n, z, -INFINITY);
    const vreal shift = V(set1)(V(largest)(x));
    vreal target = y == NULL ? V(load)(V(hot) + V(lanes) - label) : V(load_n)(y, n);
    *mass = 1;
    if (y == NULL) {
        *base = V(largest)(x) - z[label];
    } else {
        vreal term = V(mul)(target, V(sub)(shift, x));
        *mass = V(sum)(target);
        *base = V(sum)(V(select)(V(eq)(target, zero), zero, term));
    }
    vreal e = V(exp_neg)(V(sub)(x, shift));
    real sum = V(sum)(e);
    if (d != NULL) {
        vreal slope = V(sub)(V(mul)(e, V(set1)(*mass / sum)), target);
        V(store_n)(d, V(mul)(slope, V(set1)(*row_scale)), n);
    }
    return sum;
}

/* Everything of one row but the logarithm: the loss is *base + *mass log(returned sum). */
BP_INLINE real V(cross_entropy_row)(int64_t n, const real *z, const real *y, int64_t label,
                                    const real *row_scale, real *d, real *base, real *mass) {
    if (V(lanes) > 1 && n <= V(lanes))
        return V(cross_entropy_short)((int)n, z, y, label, row_scale, d, base, mass);
    real shift = V(row_max)(n, z);
    *mass = 1;
    if (y == NULL)
        *base = shift - z[label];
    else
        *base = V(cross_row)(n, z, y, shift, mass);
    if (d == NULL) return V(row_exp)(0, n, z, shift, NULL);
    real sum = V(row_exp)(1, n, z, shift, d), share = *mass / sum;
    if (y != NULL) {
        V(delta_row)(n, d, share, y, *row_scale, d);
    } else {
        real own = *row_scale * (d[label] * share - 1);
        V(row_scale)(n, d, *row_scale * share, d);
        d[label] = own;
    }
    return sum;
}

static void BPK(loss_cross_entropy)(int64_t rows, int64_t cols, const real *s, int64_t lds,
                                    const real *y, int64_t ldy, const int64_t *labels,
                                    const real *row_scale, real *out, real *d, int64_t ldd) {
    enum { block = 64 }; /* rows whose logarithms are taken together */
    real sum[block], mass[block];
    for (int64_t start = 0; start < rows && cols > 0; start += block) {
        int64_t count = rows - start < block ? rows - start : block;
        for (int64_t r = 0; r < count; r++) {
            int64_t i = start + r;
            sum[r] =
                V(cross_entropy_row)(cols, s + i * lds, y == NULL ? NULL : y + i * ldy,
                                     y == NULL ? labels[i] : 0, d == NULL ? NULL : row_scale + i,
                                     d == NULL ? NULL : d + i * ldd, &out[i], &mass[r]);
        }
        for (int64_t r = 0; r < count; r += V(lanes)) {
            int n = count - r < V(lanes) ? (int)(count - r) : V(lanes);
            vreal log_sum = V(log)(V(get)(sum + r, n)), base = V(get)(out + start + r, n);
            V(put)(out + start + r, V(fma)(V(get)(mass + r, n), log_sum, base), n);
        }
    }
}

static void BPK(init_losses)(BP_T(bp_kernels) *k) {
    k->loss[BP_LOSS_MSE] = BPK(loss_mse);
    k->loss[BP_LOSS_SQUARED_ERROR] = BPK(loss_squared_error);
    k->loss[BP_LOSS_MAE] = BPK(loss_mae);
    k->loss[BP_LOSS_HUBER] = BPK(loss_huber);
    k->loss[BP_LOSS_CROSS_ENTROPY] = BPK(loss_cross_entropy);
    k->loss[BP_LOSS_BINARY_CROSS_ENTROPY] = BPK(loss_binary_cross_entropy);
}
