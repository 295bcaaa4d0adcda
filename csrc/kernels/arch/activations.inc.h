/* The activations and their derivatives: one lane function each, and the loops over matrices.
 *
 * For each name of BP_EACH_ACTIVATION (kernels.h) there is V(name), the activation; V(name_slope),
 * its derivative from what is kept, a or z; and what the list names for its derivative from z,
 * which is another function where a has lost digits of z.
 *
 * `act` and `from` are constants wherever these functions are inlined, so each switch leaves one
 * case. A derivative of 0 still multiplies: NaN and infinite d become NaN, as in 0 * d.
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

BP_INLINE vreal V(relu)(vreal z) {
    return V(max)(V(set1)(0), z);
}

BP_INLINE vreal V(leaky_relu)(vreal z) {
    return V(select)(V(gt)(z, V(set1)(0)), z, V(mul)(z, V(set1)((real)BP_LEAKY_SLOPE)));
}

BP_INLINE vreal V(elu)(vreal z) {
    return V(select)(V(lt)(z, V(set1)(0)), V(expm1_neg)(z), z);
}

BP_INLINE vreal V(selu)(vreal z) {
    return V(select)(V(lt)(z, V(set1)(0)),
                     V(mul)(V(expm1_neg)(z), V(set1)((real)(BP_SELU_LAMBDA * BP_SELU_ALPHA))),
                     V(mul)(z, V(set1)((real)BP_SELU_LAMBDA)));
}

BP_INLINE vreal V(silu)(vreal z) {
    return V(mul)(z, V(sigmoid)(z));
}

/* From a. */

BP_INLINE vreal V(sigmoid_slope)(vreal a) {
    return V(mul)(a, V(sub)(V(set1)(1), a));
}

BP_INLINE vreal V(tanh_slope)(vreal a) {
    return V(mul)(V(sub)(V(set1)(1), a), V(add)(V(set1)(1), a));
}

BP_INLINE vreal V(relu_slope)(vreal a) {
    return V(step)(a, V(set1)(1), V(set1)(0));
}

BP_INLINE vreal V(leaky_relu_slope)(vreal a) {
    return V(step)(a, V(set1)(1), V(set1)((real)BP_LEAKY_SLOPE));
}

BP_INLINE vreal V(elu_slope)(vreal a) {
    return V(select)(V(gt)(a, V(set1)(0)), V(set1)(1), V(add)(a, V(set1)(1)));
}

BP_INLINE vreal V(selu_slope)(vreal a) {
    const real scale = (real)(BP_SELU_LAMBDA * BP_SELU_ALPHA);
    return V(select)(V(gt)(a, V(set1)(0)), V(set1)((real)BP_SELU_LAMBDA),
                     V(add)(a, V(set1)(scale)));
}

BP_INLINE vreal V(softplus_slope)(vreal a) {
    return V(sub)(V(set1)(0), V(expm1_neg)(V(neg_abs)(a)));
}

/* From z, where a has lost digits of it. */

BP_INLINE vreal V(sigmoid_derivative)(vreal z) {
    vreal one = V(set1)(1), e = V(exp_neg)(V(neg_abs)(z));
    vreal r = V(ratio)(one, V(add)(one, e));
    return V(mul)(V(mul)(e, r), r);
}

BP_INLINE vreal V(tanh_derivative)(vreal z) {
    vreal e = V(exp_neg)(V(mul)(V(neg_abs)(z), V(set1)(2)));
    vreal r = V(ratio)(V(set1)(2), V(add)(V(set1)(1), e));
    return V(mul)(V(mul)(e, r), r);
}

BP_INLINE vreal V(elu_derivative)(vreal z) {
    return V(select)(V(gt)(z, V(set1)(0)), V(set1)(1), V(exp_neg)(z));
}

BP_INLINE vreal V(selu_derivative)(vreal z) {
    return V(select)(V(gt)(z, V(set1)(0)), V(set1)((real)BP_SELU_LAMBDA),
                     V(mul)(V(exp_neg)(z), V(set1)((real)(BP_SELU_LAMBDA * BP_SELU_ALPHA))));
}

/* ---- by number ---- */

#define BP_CASE(name, number, from_z, derivative)                                                  \
    case number:                                                                                   \
        return V(name)(z);
BP_INLINE vreal V(activation)(int act, vreal z) {
    switch (act) {
        BP_EACH_ACTIVATION(BP_CASE)
    default:
        return z;
    }
}
#undef BP_CASE

/* act'(z) from a = act(z), or from z itself for those of bp_act_needs_z. */
#define BP_CASE(name, number, from_z, derivative)                                                  \
    case number:                                                                                   \
        return V(name##_slope)(s);
BP_INLINE vreal V(slope)(int act, vreal s) {
    switch (act) {
        BP_EACH_ACTIVATION(BP_CASE)
    default:
        return V(set1)(1);
    }
}
#undef BP_CASE

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

/* keep: whether z gets the biased values; not if a is z. */
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

#define BP_ACTIVATION(name, number, from_z, derivative)                                            \
    static void BPK(act_fwd_##name)(int64_t rows, int64_t cols, real * z, int64_t ldz,             \
                                    const real *bias, real *a, int64_t lda) {                      \
        V(act_fwd)(number, rows, cols, z, ldz, bias, a, lda);                                      \
    }                                                                                              \
    static void BPK(act_bwd_##name)(int64_t rows, int64_t cols, const real *s, int64_t lds,        \
                                    real *d, int64_t ldd) {                                        \
        V(act_bwd)(number, rows, cols, s, lds, d, ldd);                                            \
    }                                                                                              \
    BP_MAP(BPK(act_derivative_##name), V(derivative)(x))

BP_EACH_ACTIVATION(BP_ACTIVATION)

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

#define BP_SET_ACTIVATION(name, number, from_z, derivative)                                        \
    k->act_fwd[number] = BPK(act_fwd_##name);                                                      \
    k->act_bwd[number] = BPK(act_bwd_##name);                                                      \
    k->act_derivative[number] = BPK(act_derivative_##name);

static void BPK(init_activations)(BP_T(bp_kernels) *k) {
    BP_SET_ACTIVATION(identity, BP_ACT_IDENTITY, 0, identity)
    BP_EACH_ACTIVATION(BP_SET_ACTIVATION)
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
