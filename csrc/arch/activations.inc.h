/* The activations and their derivatives: one lane function each, and the loops over matrices.
 *
 * `act` and `from` are constants wherever these functions are inlined, so each switch leaves one
 * case. Where a derivative is 0 it still multiplies: NaN and infinite d become NaN, as 0 * d has
 * it.
 */

/* count = V(lanes), a constant, or fewer. */
BP_INLINE vreal V(get)(const real *p, int count) {
    return count == V(lanes) ? V(load)(p) : V(load_n)(p, count);
}

BP_INLINE void V(put)(real *p, vreal x, int count) {
    if (count == V(lanes))
        V(store)(p, x);
    else
        V(store_n)(p, x, count);
}

/* high where x > 0, low where x <= 0, NaN where x is. */
BP_INLINE vreal V(step)(vreal x, vreal high, vreal low) {
    vreal zero = V(set1)(0);
    return V(select)(V(gt)(x, zero), high, V(select)(V(le)(x, zero), low, x));
}

BP_INLINE vreal V(softplus)(vreal z) {
    return V(add)(V(max)(V(set1)(0), z), V(log1p_unit)(V(exp_neg)(V(neg_abs)(z))));
}

/* z Phi(z), with the tail itself where z < 0: no digits are lost as z goes to minus infinity. */
BP_INLINE vreal V(gelu)(vreal z) {
    vreal bell, tail = V(normal_tail)(z, &bell);
    return V(mul)(z, V(select)(V(lt)(z, V(set1)(0)), tail, V(sub)(V(set1)(1), tail)));
}

/* Phi(z) + z phi(z). */
BP_INLINE vreal V(gelu_slope)(vreal z) {
    vreal bell, tail = V(normal_tail)(z, &bell);
    vreal phi = V(mul)(bell, V(set1)((real)0.398942280401432677940));
    vreal cdf = V(select)(V(lt)(z, V(set1)(0)), tail, V(sub)(V(set1)(1), tail));
    return V(fma)(z, phi, cdf);
}

/* s (1 + z (1 - s)) with s = sigmoid(z), 1 - s = sigmoid(-z). */
BP_INLINE vreal V(silu_slope)(vreal z) {
    vreal one = V(set1)(1), e = V(exp_neg)(V(neg_abs)(z));
    vreal r = V(ratio)(one, V(add)(one, e)), er = V(mul)(e, r);
    vmask negative = V(lt)(z, V(set1)(0));
    vreal s = V(select)(negative, er, r), rest = V(select)(negative, r, er);
    return V(mul)(s, V(fma)(z, rest, one));
}

/* tanh(softplus(z)) = p / (p + q): with e = e^-|z|, p = 1 + 2 e, q = 2 e^2 for z >= 0, and
 * p = e (e + 2), q = 2 for z < 0. */
BP_INLINE void V(mish_parts)(vreal z, vreal *e, vreal *p, vreal *q) {
    vreal one = V(set1)(1), two = V(set1)(2);
    vmask negative = V(lt)(z, V(set1)(0));
    *e = V(exp_neg)(V(neg_abs)(z));
    *p = V(select)(negative, V(mul)(*e, V(add)(*e, two)), V(fma)(*e, two, one));
    *q = V(select)(negative, two, V(mul)(V(mul)(*e, *e), two));
}

BP_INLINE vreal V(mish)(vreal z) {
    vreal e, p, q;
    V(mish_parts)(z, &e, &p, &q);
    return V(mul)(z, V(ratio)(p, V(add)(p, q)));
}

/* t + z (1 - t) (1 + t) sigmoid(z) with t = tanh(softplus(z)). */
BP_INLINE vreal V(mish_slope)(vreal z) {
    vreal e, p, q, one = V(set1)(1);
    V(mish_parts)(z, &e, &p, &q);
    vreal all = V(add)(p, q), t = V(ratio)(p, all), rest = V(ratio)(q, all);
    vreal s = V(ratio)(V(select)(V(lt)(z, V(set1)(0)), e, one), V(add)(one, e));
    return V(fma)(V(mul)(z, s), V(mul)(rest, V(add)(one, t)), t);
}

BP_INLINE vreal V(activation)(int act, vreal z) {
    const vreal zero = V(set1)(0);
    switch (act) {
    case BP_ACT_SIGMOID:
        return V(sigmoid)(z);
    case BP_ACT_TANH:
        return V(tanh)(z);
    case BP_ACT_RELU:
        return V(max)(zero, z);
    case BP_ACT_LEAKY_RELU:
        return V(select)(V(gt)(z, zero), z, V(mul)(z, V(set1)((real)BP_LEAKY_SLOPE)));
    case BP_ACT_ELU:
        return V(select)(V(lt)(z, zero), V(expm1_neg)(z), z);
    case BP_ACT_SELU:
        return V(select)(V(lt)(z, zero),
                         V(mul)(V(expm1_neg)(z), V(set1)((real)(BP_SELU_LAMBDA * BP_SELU_ALPHA))),
                         V(mul)(z, V(set1)((real)BP_SELU_LAMBDA)));
    case BP_ACT_SOFTPLUS:
        return V(softplus)(z);
    case BP_ACT_GELU:
        return V(gelu)(z);
    case BP_ACT_SILU:
        return V(mul)(z, V(sigmoid)(z));
    case BP_ACT_MISH:
        return V(mish)(z);
    default:
        return z;
    }
}

/* act'(z) from a = act(z), or from z itself for those of bp_act_needs_z. */
BP_INLINE vreal V(slope)(int act, vreal s) {
    const vreal one = V(set1)(1), zero = V(set1)(0);
    const real scale = (real)(BP_SELU_LAMBDA * BP_SELU_ALPHA);
    switch (act) {
    case BP_ACT_SIGMOID:
        return V(mul)(s, V(sub)(one, s));
    case BP_ACT_TANH:
        return V(mul)(V(sub)(one, s), V(add)(one, s));
    case BP_ACT_RELU:
        return V(step)(s, one, zero);
    case BP_ACT_LEAKY_RELU:
        return V(step)(s, one, V(set1)((real)BP_LEAKY_SLOPE));
    case BP_ACT_ELU:
        return V(select)(V(gt)(s, zero), one, V(add)(s, one));
    case BP_ACT_SELU:
        return V(select)(V(gt)(s, zero), V(set1)((real)BP_SELU_LAMBDA), V(add)(s, V(set1)(scale)));
    case BP_ACT_SOFTPLUS:
        return V(sub)(zero, V(expm1_neg)(V(neg_abs)(s)));
    case BP_ACT_GELU:
        return V(gelu_slope)(s);
    case BP_ACT_SILU:
        return V(silu_slope)(s);
    case BP_ACT_MISH:
        return V(mish_slope)(s);
    default:
        return one;
    }
}

/* act'(z) from z: as slope, but where a has lost digits of z, in their stable forms. */
BP_INLINE vreal V(derivative)(int act, vreal z) {
    const vreal one = V(set1)(1), zero = V(set1)(0);
    vreal e, r;
    switch (act) {
    case BP_ACT_SIGMOID:
        e = V(exp_neg)(V(neg_abs)(z));
        r = V(ratio)(one, V(add)(one, e));
        return V(mul)(V(mul)(e, r), r);
    case BP_ACT_TANH:
        e = V(exp_neg)(V(mul)(V(neg_abs)(z), V(set1)(2)));
        r = V(ratio)(V(set1)(2), V(add)(one, e));
        return V(mul)(V(mul)(e, r), r);
    case BP_ACT_ELU:
        return V(select)(V(gt)(z, zero), one, V(exp_neg)(z));
    case BP_ACT_SELU:
        return V(select)(V(gt)(z, zero), V(set1)((real)BP_SELU_LAMBDA),
                         V(mul)(V(exp_neg)(z), V(set1)((real)(BP_SELU_LAMBDA * BP_SELU_ALPHA))));
    case BP_ACT_SOFTPLUS:
        return V(sigmoid)(z);
    default:
        return V(slope)(act, z);
    }
}

BP_INLINE void V(act_row)(int act, int64_t n, real *z, real *a) {
    int64_t j = 0;
    BP_INDEPENDENT
    for (; j + V(lanes) <= n; j += V(lanes))
        V(store)(a + j, V(activation)(act, V(load)(z + j)));
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        V(store_n)(a + j, V(activation)(act, V(load_n)(z + j, rest)), rest);
    }
}

/* keep: whether z gets the biased values; not where a is z. */
BP_INLINE void V(act_row_bias)(int act, int keep, int64_t n, real *z, const real *bias, real *a) {
    int64_t j = 0;
    BP_INDEPENDENT
    for (; j + V(lanes) <= n; j += V(lanes)) {
        vreal x = V(add)(V(load)(z + j), V(load)(bias + j));
        if (keep) V(store)(z + j, x);
        V(store)(a + j, V(activation)(act, x));
    }
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        vreal x = V(add)(V(load_n)(z + j, rest), V(load_n)(bias + j, rest));
        if (keep) V(store_n)(z + j, x, rest);
        V(store_n)(a + j, V(activation)(act, x), rest);
    }
}

BP_INLINE void V(act_fwd)(int act, int64_t rows, int64_t cols, real *z, int64_t ldz,
                          const real *bias, real *a, int64_t lda) {
    if (bias == NULL && ldz == cols && lda == cols) {
        V(act_row)(act, rows * cols, z, a);
    } else if (bias == NULL) {
        for (int64_t i = 0; i < rows; i++)
            V(act_row)(act, cols, z + i * ldz, a + i * lda);
    } else if (a == z) {
        for (int64_t i = 0; i < rows; i++)
            V(act_row_bias)(act, 0, cols, z + i * ldz, bias, a + i * lda);
    } else {
        for (int64_t i = 0; i < rows; i++)
            V(act_row_bias)(act, 1, cols, z + i * ldz, bias, a + i * lda);
    }
}

BP_INLINE void V(slope_row)(int act, int64_t n, const real *s, real *d) {
    int64_t j = 0;
    BP_INDEPENDENT
    for (; j + V(lanes) <= n; j += V(lanes))
        V(store)(d + j, V(mul)(V(load)(d + j), V(slope)(act, V(load)(s + j))));
    if (V(lanes) > 1 && j < n) {
        int rest = (int)(n - j);
        vreal slope = V(slope)(act, V(load_n)(s + j, rest));
        V(store_n)(d + j, V(mul)(V(load_n)(d + j, rest), slope), rest);
    }
}

BP_INLINE void V(act_bwd)(int act, int64_t rows, int64_t cols, const real *s, int64_t lds, real *d,
                          int64_t ldd) {
    if (lds == cols && ldd == cols) {
        V(slope_row)(act, rows * cols, s, d);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        V(slope_row)(act, cols, s + i * lds, d + i * ldd);
}

/* y = lane(x) for a lane function of one argument. */
#define BP_MAP(kernel, lane_of_x)                                                                  \
    static void kernel(int64_t n, const real *in, real *out) {                                     \
        int64_t j = 0;                                                                             \
        BP_INDEPENDENT                                                                             \
        for (; j + V(lanes) <= n; j += V(lanes)) {                                                 \
            vreal x = V(load)(in + j);                                                             \
            V(store)(out + j, lane_of_x);                                                          \
        }                                                                                          \
        if (V(lanes) > 1 && j < n) {                                                               \
            int rest = (int)(n - j);                                                               \
            vreal x = V(load_n)(in + j, rest);                                                     \
            V(store_n)(out + j, lane_of_x, rest);                                                  \
        }                                                                                          \
    }

#define BP_ACTIVATION(name, act)                                                                   \
    static void BPK(act_fwd_##name)(int64_t rows, int64_t cols, real * z, int64_t ldz,             \
                                    const real *bias, real *a, int64_t lda) {                      \
        V(act_fwd)(act, rows, cols, z, ldz, bias, a, lda);                                         \
    }                                                                                              \
    static void BPK(act_bwd_##name)(int64_t rows, int64_t cols, const real *s, int64_t lds,        \
                                    real *d, int64_t ldd) {                                        \
        V(act_bwd)(act, rows, cols, s, lds, d, ldd);                                               \
    }                                                                                              \
    BP_MAP(BPK(act_derivative_##name), V(derivative)(act, x))

BP_ACTIVATION(sigmoid, BP_ACT_SIGMOID)
BP_ACTIVATION(tanh, BP_ACT_TANH)
BP_ACTIVATION(relu, BP_ACT_RELU)
BP_ACTIVATION(leaky_relu, BP_ACT_LEAKY_RELU)
BP_ACTIVATION(elu, BP_ACT_ELU)
BP_ACTIVATION(selu, BP_ACT_SELU)
BP_ACTIVATION(softplus, BP_ACT_SOFTPLUS)
BP_ACTIVATION(gelu, BP_ACT_GELU)
BP_ACTIVATION(silu, BP_ACT_SILU)
BP_ACTIVATION(mish, BP_ACT_MISH)

BP_MAP(BPK(vec_exp), V(exp)(x))
BP_MAP(BPK(vec_log), V(log)(x))
BP_MAP(BPK(vec_tanh), V(tanh)(x))
BP_MAP(BPK(vec_sigmoid), V(sigmoid)(x))
BP_MAP(BPK(vec_erf), V(erf)(x))

/* The identity: nothing to do but the bias, and the copy where a is not z. */
static void BPK(act_fwd_identity)(int64_t rows, int64_t cols, real *z, int64_t ldz,
                                  const real *bias, real *a, int64_t lda) {
    if (bias == NULL && a == z) return;
    V(act_fwd)(BP_ACT_IDENTITY, rows, cols, z, ldz, bias, a, lda);
}

static void BPK(act_bwd_identity)(int64_t rows, int64_t cols, const real *s, int64_t lds, real *d,
                                  int64_t ldd) {
    (void)rows, (void)cols, (void)s, (void)lds, (void)d, (void)ldd;
}

BP_MAP(BPK(act_derivative_identity), ((void)x, V(set1)(1)))

#define BP_SET_ACTIVATION(name, act)                                                               \
    k->act_fwd[act] = BPK(act_fwd_##name);                                                         \
    k->act_bwd[act] = BPK(act_bwd_##name);                                                         \
    k->act_derivative[act] = BPK(act_derivative_##name)

static void BPK(init_activations)(BP_T(bp_kernels) *k) {
    BP_SET_ACTIVATION(identity, BP_ACT_IDENTITY);
    BP_SET_ACTIVATION(sigmoid, BP_ACT_SIGMOID);
    BP_SET_ACTIVATION(tanh, BP_ACT_TANH);
    BP_SET_ACTIVATION(relu, BP_ACT_RELU);
    BP_SET_ACTIVATION(leaky_relu, BP_ACT_LEAKY_RELU);
    BP_SET_ACTIVATION(elu, BP_ACT_ELU);
    BP_SET_ACTIVATION(selu, BP_ACT_SELU);
    BP_SET_ACTIVATION(softplus, BP_ACT_SOFTPLUS);
    BP_SET_ACTIVATION(gelu, BP_ACT_GELU);
    BP_SET_ACTIVATION(silu, BP_ACT_SILU);
    BP_SET_ACTIVATION(mish, BP_ACT_MISH);
    k->act_fwd[BP_ACT_SOFTMAX] = NULL;
    k->act_bwd[BP_ACT_SOFTMAX] = NULL;
    k->act_derivative[BP_ACT_SOFTMAX] = NULL;
    k->vec_exp = BPK(vec_exp);
    k->vec_log = BPK(vec_log);
    k->vec_tanh = BPK(vec_tanh);
    k->vec_sigmoid = BPK(vec_sigmoid);
    k->vec_erf = BPK(vec_erf);
}

#undef BP_MAP
#undef BP_ACTIVATION
#undef BP_SET_ACTIVATION
