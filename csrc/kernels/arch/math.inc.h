/* Elementary functions over the vector vocabulary, one algorithm for all instruction sets.
 *
 * The bounds hold for all arguments, with or without fused multiply-adds: exp and log 2 ULP;
 * tanh, sigmoid and erf 4 ULP. Subnormal results are right, unless the caller's mode flushes them.
 * Polynomials are minimax in the relative error of the function; the error of the approximation
 * itself is given beside each.
 */
#if BP_REAL_BITS == 32
#    include "math_f32.inc.h"
#else
#    include "math_f64.inc.h"
#endif

/* x - n ln 2 with t = fma(x, 1/ln 2, magic) and n = t - magic, the integer nearest x / ln 2. */
BP_INLINE vreal V(exp_reduce)(vreal x, vreal magic, vreal *t, vreal *n) {
    *t = V(fma)(x, V(set1)(V(inv_ln2)), magic);
    *n = V(sub)(*t, magic);
    return V(fnma)(*n, V(set1)(V(ln2_low)), V(fnma)(*n, V(set1)(V(ln2_high)), x));
}

/* e^(high + low) for high <= 0 or NaN, |low| < 0.1. */
BP_INLINE vreal V(exp_split)(vreal high, vreal low) {
    const vreal magic = V(set1)(V(magic) + V(bias) + V(down));
    vreal t = V(fma)(V(add)(high, low), V(set1)(V(inv_ln2)), magic), n = V(sub)(t, magic);
    vreal r = V(fnma)(n, V(set1)(V(ln2_high)), high);
    r = V(add)(V(fnma)(n, V(set1)(V(ln2_low)), r), low);
    vreal p = V(add)(V(set1)(1), V(expm1_poly)(r));
#ifdef BP_HAS_SCALE
    return V(scale)(p, n);
#else
    return V(mul)(V(mul)(p, V(pow2)(t)), V(set1)(V(down_scale)));
#endif
}

/* e^x for x <= 0 or NaN: the power of two is built 2^down too large, where it is normal, so that a
 * subnormal result is rounded once, by the last product. */
BP_INLINE vreal V(exp_neg)(vreal x) {
    const vreal magic = V(set1)(V(magic) + V(bias) + V(down));
    vreal t, n, r = V(exp_reduce)(V(max)(V(set1)(V(exp_lowest)), x), magic, &t, &n);
    vreal p = V(add)(V(set1)(1), V(expm1_poly)(r));
#ifdef BP_HAS_SCALE
    return V(scale)(p, n);
#else
    return V(mul)(V(mul)(p, V(pow2)(t)), V(set1)(V(down_scale)));
#endif
}

/* e^x: 2^n in two factors, so that neither leaves the normal range. */
BP_INLINE vreal V(exp)(vreal x) {
    const vreal magic = V(set1)(V(magic) + V(bias));
    vreal t, n, r;
    x = V(min)(V(set1)(V(exp_highest)), V(max)(V(set1)(V(exp_lowest)), x));
    r = V(exp_reduce)(x, magic, &t, &n);
    vreal p = V(add)(V(set1)(1), V(expm1_poly)(r));
    vreal half = V(fma)(n, V(set1)((real)0.5), magic);
    vreal rest = V(add)(magic, V(sub)(n, V(sub)(half, magic)));
    return V(mul)(V(mul)(p, V(pow2)(half)), V(pow2)(rest));
}

/* e^x - 1 for x <= 0 or NaN, without cancellation. */
BP_INLINE vreal V(expm1_neg)(vreal x) {
    const vreal magic = V(set1)(V(magic) + V(bias));
    vreal t, n, r = V(exp_reduce)(V(max)(V(set1)(V(expm1_lowest)), x), magic, &t, &n);
    vreal s = V(pow2)(t);
    return V(fma)(V(expm1_poly)(r), s, V(sub)(s, V(set1)(1)));
}

/* log x; the sign, zeros, infinity and NaN are put right at the end. */
BP_INLINE vreal V(log)(vreal x) {
    vmask tiny = V(lt)(x, V(set1)(V(least_normal)));
    vreal e, m = V(log_split)(V(select)(tiny, V(mul)(x, V(set1)(V(log_scale))), x), &e);
    e = V(sub)(e, V(select)(tiny, V(set1)(V(log_scale_exponent)), V(set1)(0)));
    vreal y = V(log1p_reduced)(V(sub)(m, V(set1)(1)), e);
    vreal special = V(select)(V(eq)(x, V(set1)(0)), V(set1)(-INFINITY), V(set1)(NAN));
    y = V(select)(V(gt)(x, V(set1)(0)), y, special);
    return V(select)(V(eq)(x, V(set1)(INFINITY)), x, y);
}

/* log(1 + u) for 0 <= u <= 1 or NaN: where 1 + u > sqrt 2, as ln 2 + log(1 + (u - 1) / 2). */
BP_INLINE vreal V(log1p_unit)(vreal u) {
    vmask big = V(gt)(u, V(set1)((real)0.41421356237309503));
    vreal f = V(select)(big, V(fma)(u, V(set1)((real)0.5), V(set1)((real)-0.5)), u);
    return V(log1p_reduced)(f, V(select)(big, V(set1)(1), V(set1)(0)));
}

/* h / (h + 1) with h = (e^(2 |x|) - 1) / 2. One product with ln 2 is enough: its error matters less
 * the larger the exponent is. */
BP_INLINE vreal V(tanh)(vreal x) {
    const vreal magic = V(set1)(V(magic) + V(bias)), half = V(set1)((real)0.5);
    vreal a = V(min)(V(set1)(V(tanh_highest)), V(abs)(x));
    vreal t = V(fma)(a, V(set1)(2 * V(inv_ln2)), magic), n = V(sub)(t, magic);
    vreal r = V(fnma)(n, V(set1)((real)0.34657359027997265471), a), s = V(pow2)(t);
    vreal h = V(fma)(V(half_expm1_poly)(r), s, V(fma)(s, half, V(set1)((real)-0.5)));
    return V(copysign)(V(ratio)(h, V(add)(h, V(set1)(1))), x);
}

/* 1 / (1 + e^-x) as 1 or e^-|x| over 1 + e^-|x|, so that neither tail loses digits. */
BP_INLINE vreal V(sigmoid)(vreal x) {
    vreal e = V(exp_neg)(V(neg_abs)(x));
    return V(ratio)(V(select)(V(lt)(x, V(set1)(0)), e, V(set1)(1)), V(add)(V(set1)(1), e));
}

/* c e^(x^2) erfc(x) for x >= 0, from t = c x and k = c V(erfcx_k): S((t - k) / (t + k)) / (t + k),
 * after Shepherd and Laframboise (Math. Comp. 36, 1981). With the argument as 2 t / (t + k) - 1 the
 * rounding of the quotient counts once at most. */
BP_INLINE vreal V(erfcx_scaled)(vreal t, vreal k) {
    vreal r = V(ratio)(V(set1)(1), V(add)(t, k));
    return V(mul)(r, V(erfcx_poly)(V(fma)(V(mul)(t, r), V(set1)(2), V(set1)(-1))));
}

/* e^(-c t^2) for c = 1/2 or 1: the square is formed in two parts, the first of them exact. */
BP_INLINE vreal V(exp_square)(vreal t, real c) {
    vreal h = V(head)(t);
    vreal low = V(mul)(V(sub)(h, t), V(mul)(V(add)(t, h), V(set1)(c)));
    return V(exp_split)(V(mul)(V(mul)(h, V(set1)(-c)), h), low);
}

BP_INLINE vreal V(erf)(vreal x) {
    vreal a = V(abs)(x), t = V(min)(V(set1)(V(erfc_highest)), a);
    vreal tail = V(mul)(V(exp_square)(t, 1), V(erfcx_scaled)(t, V(set1)(V(erfcx_k))));
    vreal near = V(mul)(x, V(erf_poly)(V(mul)(t, t)));
    vreal far = V(copysign)(V(sub)(V(set1)(1), tail), x);
    return V(select)(V(lt)(a, V(set1)((real)0.75)), near, far);
}

/* Phi(-|z|), the normal distribution's tail, 0 <= it <= 1/2, and e^(-z^2 / 2). Relative error of
 * the tail: a few ULP for all z. */
BP_INLINE vreal V(normal_tail)(vreal z, vreal *bell) {
    const vreal k = V(set1)((real)(1.41421356237309504880 * V(erfcx_k)));
    vreal t = V(min)(V(set1)((real)(1.41421356237309504880 * V(erfc_highest))), V(abs)(z));
    *bell = V(exp_square)(t, (real)0.5);
    return V(mul)(V(mul)(*bell, V(set1)((real)0.70710678118654752440)), V(erfcx_scaled)(t, k));
}
