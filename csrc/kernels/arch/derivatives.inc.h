/* What second-order derivatives need: act'' of every activation as V(name_second), and the chain
 * rule's products. */

/* With s = sigmoid(z), e = e^-|z|: s (1 - s) = e / (1 + e)^2, and (e - 1) / (e + 1), which is
 * 1 - 2 s for z >= 0 and 2 s - 1 for z < 0: neither loses digits where s is near 1/2 or 1. */
BP_INLINE vreal V(logistic_parts)(vreal z, vreal *minus_tanh_half) {
    vreal low = V(neg_abs)(z), e = V(exp_neg)(low);
    vreal r = V(ratio)(V(set1)(1), V(add)(V(set1)(1), e));
    *minus_tanh_half = V(mul)(V(expm1_neg)(low), r);
    return V(mul)(V(mul)(e, r), r);
}

/* s (1 - s) (1 - 2 s). */
BP_INLINE vreal V(sigmoid_second)(vreal z) {
    vreal t, slope = V(logistic_parts)(z, &t);
    return V(copysign)(V(mul)(slope, t), V(mul)(z, V(set1)(-1)));
}

/* (2 - z^2) phi(z); beyond the bound of |z|, phi is 0. */
BP_INLINE vreal V(gelu_second)(vreal z) {
    vreal t = V(min)(V(set1)((real)(1.41421356237309504880 * V(erfc_highest))), V(abs)(z));
    vreal phi = V(mul)(V(exp_square)(t, (real)0.5), V(set1)((real)0.398942280401432677940));
    return V(mul)(phi, V(fnma)(t, t, V(set1)(2)));
}

/* s (1 - s) (2 + z (1 - 2 s)). */
BP_INLINE vreal V(silu_second)(vreal z) {
    vreal t, slope = V(logistic_parts)(z, &t);
    return V(mul)(slope, V(fma)(V(abs)(z), t, V(set1)(2)));
}

/* (1 - t) (1 + t) s (2 + z (1 - s - 2 t s)) with t = tanh(softplus(z)), s = sigmoid(z). */
BP_INLINE vreal V(mish_second)(vreal z) {
    vreal e, p, q, one = V(set1)(1), two = V(set1)(2);
    vmask negative = V(lt)(z, V(set1)(0));
    V(mish_parts)(z, &e, &p, &q);
    vreal all = V(add)(p, q), t = V(ratio)(p, all), rest = V(ratio)(q, all), sum = V(add)(one, e);
    vreal s = V(ratio)(V(select)(negative, e, one), sum);
    vreal inner = V(fnma)(V(mul)(t, two), s, V(ratio)(V(select)(negative, one, e), sum));
    return V(mul)(V(mul)(V(mul)(rest, V(add)(one, t)), s), V(fma)(z, inner, two));
}

BP_INLINE vreal V(tanh_second)(vreal z) {
    return V(mul)(V(mul)(V(tanh)(z), V(set1)(-2)), V(tanh_derivative)(z));
}

BP_INLINE vreal V(relu_second)(vreal z) {
    return V(step)(z, V(set1)(0), V(set1)(0));
}

BP_INLINE vreal V(leaky_relu_second)(vreal z) {
    return V(step)(z, V(set1)(0), V(set1)(0));
}

BP_INLINE vreal V(elu_second)(vreal z) {
    return V(select)(V(gt)(z, V(set1)(0)), V(set1)(0), V(exp_neg)(z));
}

BP_INLINE vreal V(selu_second)(vreal z) {
    const real scale = (real)(BP_SELU_LAMBDA * BP_SELU_ALPHA);
    return V(select)(V(gt)(z, V(set1)(0)), V(set1)(0), V(mul)(V(exp_neg)(z), V(set1)(scale)));
}

BP_INLINE vreal V(softplus_second)(vreal z) {
    return V(sigmoid_derivative)(z);
}

#define BP_SECOND(name, number, from_z, derivative)                                                \
    static void BPK(act_second_##name)(int64_t n, const real *z, real *y) {                        \
        int64_t j = 0;                                                                             \
        BP_INDEPENDENT                                                                             \
        for (; j + V(lanes) <= n; j += V(lanes))                                                   \
            V(store)(y + j, V(name##_second)(V(load)(z + j)));                                     \
        if (V(lanes) > 1 && j < n) {                                                               \
            int rest = (int)(n - j);                                                               \
            V(store_n)(y + j, V(name##_second)(V(load_n)(z + j, rest)), rest);                     \
        }                                                                                          \
    }

BP_EACH_ACTIVATION(BP_SECOND)

static void BPK(act_second_identity)(int64_t n, const real *z, real *y) {
    (void)z;
    memset(y, 0, (size_t)n * sizeof *y);
}

static void BPK(mul)(int64_t n, const real *x, real *y) {
    BP_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] *= x[i];
}

/* No fused products: the compiler may not form them, so all instruction sets give the same bits. */
static void BPK(chain)(int64_t n, const real *first, const real *second, const real *u,
                       const real *w, real *v) {
    if (first == NULL) {
        BP_INDEPENDENT
        for (int64_t i = 0; i < n; i++)
            v[i] += second[i] * (u[i] * w[i]);
        return;
    }
    BP_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        v[i] = first[i] * v[i] + second[i] * (u[i] * w[i]);
}

#define BP_SET_SECOND(name, number, from_z, derivative)                                            \
    k->act_second[number] = BPK(act_second_##name);

static void BPK(init_derivatives)(BP_T(bp_kernels) *k) {
    k->act_second[BP_ACT_IDENTITY] = BPK(act_second_identity);
    BP_EACH_ACTIVATION(BP_SET_SECOND)
    k->act_second[BP_ACT_SOFTMAX] = NULL;
    k->mul = BPK(mul);
    k->chain = BPK(chain);
}

#undef BP_SECOND
#undef BP_SET_SECOND
