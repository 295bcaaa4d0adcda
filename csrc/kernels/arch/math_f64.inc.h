/* Constants and polynomials of math.inc.h for double. */

static const real V(inv_ln2) = 1.4426950408889634;
/* 40 bits, so that its product with an exponent is exact. */
static const real V(ln2_high) = 0x1.62e42fefa2p-1, V(ln2_low) = 0x1.9ef35793c7673p-41;
/* Added to a small real, this leaves the nearest integer in the low bits. */
static const real V(magic) = 6755399441055744.0, V(bias) = 1023.0;
static const real V(down) = 64.0, V(down_scale) = 0x1p-64;
static const real V(exp_lowest) = -746.0, V(exp_highest) = 710.0, V(expm1_lowest) = -38.0;
static const real V(tanh_highest) = 19.07;
static const real V(least_normal) = 0x1p-1022;
static const real V(log_scale) = 0x1p54, V(log_scale_exponent) = 54.0;
static const real V(erfcx_k) = 4.0, V(erfc_highest) = 27.3;

/* (e^x - 1 - x) / x^2 for |x| <= ln(2) / 2; 3.7e-18 of e^x. */
BP_INLINE vreal V(expm1_tail)(vreal x) {
    vreal p = V(set1)(2.50000192880997463e-08);
    p = V(fma)(p, x, V(set1)(2.76303065003003956e-07));
    p = V(fma)(p, x, V(set1)(2.75575868056603610e-06));
    p = V(fma)(p, x, V(set1)(2.48014929489053265e-05));
    p = V(fma)(p, x, V(set1)(1.98412695057649562e-04));
    p = V(fma)(p, x, V(set1)(1.38888889437606454e-03));
    p = V(fma)(p, x, V(set1)(8.33333333349498689e-03));
    p = V(fma)(p, x, V(set1)(4.16666666665297253e-02));
    p = V(fma)(p, x, V(set1)(1.66666666666664104e-01));
    p = V(fma)(p, x, V(set1)(5.00000000000001110e-01));
    return p;
}

/* e^x - 1. */
BP_INLINE vreal V(expm1_poly)(vreal x) {
    return V(fma)(V(mul)(x, x), V(expm1_tail)(x), x);
}

/* (e^(2 x) - 1) / 2 for |x| <= ln(2) / 4: the coefficients of expm1_tail times powers of two. */
BP_INLINE vreal V(half_expm1_poly)(vreal x) {
    vreal p = V(set1)(2.56000197510141402e-05);
    p = V(fma)(p, x, V(set1)(1.41467169281538026e-04));
    p = V(fma)(p, x, V(set1)(7.05474222224905241e-04));
    p = V(fma)(p, x, V(set1)(3.17459109745988179e-03));
    p = V(fma)(p, x, V(set1)(1.26984124836895720e-02));
    p = V(fma)(p, x, V(set1)(4.44444446200340654e-02));
    p = V(fma)(p, x, V(set1)(1.33333333335919790e-01));
    p = V(fma)(p, x, V(set1)(3.33333333332237802e-01));
    p = V(fma)(p, x, V(set1)(6.66666666666656416e-01));
    p = V(fma)(p, x, V(set1)(1.00000000000000222e+00));
    return V(fma)(V(mul)(x, x), p, x);
}

/* (2 atanh(s) - 2 s) / s^3 in x = s^2 for s <= (sqrt 2 - 1) / (sqrt 2 + 1); 2.5e-18. */
BP_INLINE vreal V(log_tail)(vreal x) {
    vreal p = V(set1)(1.47960997377706710e-01);
    p = V(fma)(p, x, V(set1)(1.53140362994112905e-01));
    p = V(fma)(p, x, V(set1)(1.81835648538165112e-01));
    p = V(fma)(p, x, V(set1)(2.22221985635985636e-01));
    p = V(fma)(p, x, V(set1)(2.85714287424755853e-01));
    p = V(fma)(p, x, V(set1)(3.99999999994143041e-01));
    p = V(fma)(p, x, V(set1)(6.66666666666673402e-01));
    return p;
}

/* log(1 + f) + e ln 2 for sqrt(1/2) <= 1 + f <= sqrt 2, in the order of fdlibm's log. */
BP_INLINE vreal V(log1p_reduced)(vreal f, vreal e) {
    vreal s = V(div)(f, V(add)(V(set1)(2), f)), z = V(mul)(s, s);
    vreal half = V(mul)(V(mul)(f, f), V(set1)(0.5));
    vreal y = V(fma)(z, V(log_tail)(z), half);
    y = V(fma)(s, y, V(mul)(e, V(set1)(V(ln2_low))));
    y = V(sub)(f, V(sub)(half, y));
    return V(fma)(e, V(set1)(V(ln2_high)), y);
}

/* erf(sqrt x) / sqrt x for 0 <= x <= 0.5625; 7.9e-19. */
BP_INLINE vreal V(erf_poly)(vreal x) {
    vreal p = V(set1)(1.14632437593516149e-08);
    p = V(fma)(p, x, V(set1)(-1.59374620125140787e-07));
    p = V(fma)(p, x, V(set1)(1.64303725006020753e-06));
    p = V(fma)(p, x, V(set1)(-1.49241756485300749e-05));
    p = V(fma)(p, x, V(set1)(1.20552887397216087e-04));
    p = V(fma)(p, x, V(set1)(-8.54832616821306411e-04));
    p = V(fma)(p, x, V(set1)(5.22397761510979934e-03));
    p = V(fma)(p, x, V(set1)(-2.68661706444014610e-02));
    p = V(fma)(p, x, V(set1)(1.12837916709524769e-01));
    p = V(fma)(p, x, V(set1)(-3.76126389031837149e-01));
    p = V(fma)(p, x, V(set1)(1.12837916709551256e+00));
    return p;
}

/* e^(t^2) erfc(t) (4 + t) for x = (t - 4) / (t + 4), 0 <= t <= 27.6; 3.3e-18. */
BP_INLINE vreal V(erfcx_poly)(vreal x) {
    vreal p = V(set1)(1.02686631388853666e-09);
    p = V(fma)(p, x, V(set1)(-3.55825925788975306e-10));
    p = V(fma)(p, x, V(set1)(-1.53949565324383254e-08));
    p = V(fma)(p, x, V(set1)(2.54285142062220513e-09));
    p = V(fma)(p, x, V(set1)(1.23907182003527837e-07));
    p = V(fma)(p, x, V(set1)(-7.79099791229492980e-08));
    p = V(fma)(p, x, V(set1)(-8.45955603238135714e-07));
    p = V(fma)(p, x, V(set1)(1.42605708186672461e-06));
    p = V(fma)(p, x, V(set1)(4.69429273181527947e-06));
    p = V(fma)(p, x, V(set1)(-1.88617746486731912e-05));
    p = V(fma)(p, x, V(set1)(-3.63513356832269705e-06));
    p = V(fma)(p, x, V(set1)(1.76813085400349176e-04));
    p = V(fma)(p, x, V(set1)(-4.55052692889979773e-04));
    p = V(fma)(p, x, V(set1)(-2.80958915887426057e-04));
    p = V(fma)(p, x, V(set1)(6.11205565738742653e-03));
    p = V(fma)(p, x, V(set1)(-2.63700533345946203e-02));
    p = V(fma)(p, x, V(set1)(7.63815149090952966e-02));
    p = V(fma)(p, x, V(set1)(-1.74010937240292485e-01));
    p = V(fma)(p, x, V(set1)(3.30851587878025766e-01));
    p = V(fma)(p, x, V(set1)(-5.40853831313224842e-01));
    p = V(fma)(p, x, V(set1)(7.73208702265236747e-01));
    p = V(fma)(p, x, V(set1)(-9.76548729080882083e-01));
    p = V(fma)(p, x, V(set1)(1.09599566100049106e+00));
    return p;
}
