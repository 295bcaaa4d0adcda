/* Constants and polynomials of math.inc.h for float. */

static const real V(inv_ln2) = 1.44269504f;
/* 15 bits, so that its product with an exponent is exact. */
static const real V(ln2_high) = 0.693145751953125f, V(ln2_low) = 1.42860677e-06f;
/* Added to a small real, this leaves the nearest integer in the low bits. */
static const real V(magic) = 12582912.0f, V(bias) = 127.0f;
static const real V(down) = 30.0f, V(down_scale) = 0x1p-30f;
static const real V(exp_lowest) = -104.0f, V(exp_highest) = 89.0f, V(expm1_lowest) = -18.0f;
static const real V(tanh_highest) = 9.02f;
static const real V(least_normal) = 0x1p-126f;
static const real V(log_scale) = 0x1p25f, V(log_scale_exponent) = 25.0f;
static const real V(erfcx_k) = 3.0f, V(erfc_highest) = 10.25f;

/* (e^x - 1 - x) / x^2 for |x| <= ln(2) / 2; 3.1e-9 of e^x. */
BP_INLINE vreal V(expm1_tail)(vreal x) {
    vreal p = V(set1)(1.381459297e-03f);
    p = V(fma)(p, x, V(set1)(8.368745446e-03f));
    p = V(fma)(p, x, V(set1)(4.166838899e-02f));
    p = V(fma)(p, x, V(set1)(1.666652113e-01f));
    p = V(fma)(p, x, V(set1)(4.999999404e-01f));
    return p;
}

/* e^x - 1. */
BP_INLINE vreal V(expm1_poly)(vreal x) {
    return V(fma)(V(mul)(x, x), V(expm1_tail)(x), x);
}

/* (e^(2 x) - 1) / 2 for |x| <= ln(2) / 4: the coefficients of expm1_tail times powers of two. */
BP_INLINE vreal V(half_expm1_poly)(vreal x) {
    vreal p = V(set1)(4.420669749e-02f);
    p = V(fma)(p, x, V(set1)(1.338999271e-01f));
    p = V(fma)(p, x, V(set1)(3.333471119e-01f));
    p = V(fma)(p, x, V(set1)(6.666608453e-01f));
    p = V(fma)(p, x, V(set1)(9.999998808e-01f));
    return V(fma)(V(mul)(x, x), p, x);
}

/* (log(1 + x) - x + x^2 / 2) / x^3 for sqrt(1/2) <= 1 + x <= sqrt 2; 7.5e-10. */
BP_INLINE vreal V(log1p_tail)(vreal x) {
    vreal p = V(set1)(6.746622920e-02f);
    p = V(fma)(p, x, V(set1)(-1.167603433e-01f));
    p = V(fma)(p, x, V(set1)(1.188837513e-01f));
    p = V(fma)(p, x, V(set1)(-1.240554601e-01f));
    p = V(fma)(p, x, V(set1)(1.421951950e-01f));
    p = V(fma)(p, x, V(set1)(-1.666799635e-01f));
    p = V(fma)(p, x, V(set1)(2.000212073e-01f));
    p = V(fma)(p, x, V(set1)(-2.500000894e-01f));
    p = V(fma)(p, x, V(set1)(3.333331347e-01f));
    return p;
}

/* log(1 + f) + e ln 2 for sqrt(1/2) <= 1 + f <= sqrt 2. */
BP_INLINE vreal V(log1p_reduced)(vreal f, vreal e) {
    vreal z = V(mul)(f, f), y = V(mul)(V(mul)(f, z), V(log1p_tail)(f));
    y = V(fma)(e, V(set1)(V(ln2_low)), y);
    y = V(add)(f, V(fnma)(z, V(set1)(0.5f), y));
    return V(fma)(e, V(set1)(V(ln2_high)), y);
}

/* erf(sqrt x) / sqrt x for 0 <= x <= 0.5625; 2.5e-11. */
BP_INLINE vreal V(erf_poly)(vreal x) {
    vreal p = V(set1)(9.460862202e-05f);
    p = V(fma)(p, x, V(set1)(-8.355304017e-04f));
    p = V(fma)(p, x, V(set1)(5.216686521e-03f));
    p = V(fma)(p, x, V(set1)(-2.686474100e-02f));
    p = V(fma)(p, x, V(set1)(1.128377840e-01f));
    p = V(fma)(p, x, V(set1)(-3.761263788e-01f));
    p = V(fma)(p, x, V(set1)(1.128379226e+00f));
    return p;
}

/* e^(t^2) erfc(t) (3 + t) for x = (t - 3) / (t + 3), 0 <= t <= 10.3; 2.3e-9. */
BP_INLINE vreal V(erfcx_poly)(vreal x) {
    vreal p = V(set1)(-3.247205459e-04f);
    p = V(fma)(p, x, V(set1)(-4.819965689e-04f));
    p = V(fma)(p, x, V(set1)(3.080577822e-03f));
    p = V(fma)(p, x, V(set1)(-1.227044966e-03f));
    p = V(fma)(p, x, V(set1)(-2.684006095e-02f));
    p = V(fma)(p, x, V(set1)(1.195291653e-01f));
    p = V(fma)(p, x, V(set1)(-3.104659617e-01f));
    p = V(fma)(p, x, V(set1)(5.902282596e-01f));
    p = V(fma)(p, x, V(set1)(-8.833944798e-01f));
    p = V(fma)(p, x, V(set1)(1.074006915e+00f));
    return p;
}
