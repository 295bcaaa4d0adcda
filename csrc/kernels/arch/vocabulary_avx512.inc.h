/* The vector vocabulary in AVX-512 F, BW, VL and DQ: vectors of 64 bytes, mask registers. */
#if BP_REAL_BITS == 32
#    define P(op) _mm512_##op##_ps
#    define PI(op) _mm512_##op##_epi32
#    define BP_CAST_INT _mm512_castps_si512
#    define BP_CAST_REAL _mm512_castsi512_ps
#    define BP_COMPARE _mm512_cmp_ps_mask
typedef __m512 V(vector);
typedef __mmask16 V(mask);
typedef int32_t V(bits);
enum { V(lanes) = 16, V(wide_parts) = 2 };
#else
#    define P(op) _mm512_##op##_pd
#    define PI(op) _mm512_##op##_epi64
#    define BP_CAST_INT _mm512_castpd_si512
#    define BP_CAST_REAL _mm512_castsi512_pd
#    define BP_COMPARE _mm512_cmp_pd_mask
typedef __m512d V(vector);
typedef __mmask8 V(mask);
typedef int64_t V(bits);
enum { V(lanes) = 8, V(wide_parts) = 1 };
#endif

BP_INLINE vmask V(first)(int n) {
    return (vmask)((1u << n) - 1);
}

BP_INLINE vreal V(load)(const real *p) {
    return P(loadu)(p);
}
BP_INLINE void V(store)(real *p, vreal x) {
    P(storeu)(p, x);
}
BP_INLINE vreal V(set1)(real x) {
    return P(set1)(x);
}
BP_INLINE vreal V(load_n)(const real *p, int n) {
    return P(maskz_loadu)(V(first)(n), p);
}
/* Half a vector by a whole store: it can be forwarded to the next load, a masked one often not. */
BP_INLINE void V(store_n)(real *p, vreal x, int n) {
#if BP_REAL_BITS == 32
    if (n == 8) _mm256_storeu_ps(p, _mm512_castps512_ps256(x));
#else
    if (n == 4) _mm256_storeu_pd(p, _mm512_castpd512_pd256(x));
#endif
    else
        P(mask_storeu)(p, V(first)(n), x);
}
BP_INLINE vreal V(first_n)(vreal x, int n, vreal other) {
    return P(mask_blend)(V(first)(n), other, x);
}

BP_INLINE vreal V(add)(vreal a, vreal b) {
    return P(add)(a, b);
}
BP_INLINE vreal V(sub)(vreal a, vreal b) {
    return P(sub)(a, b);
}
BP_INLINE vreal V(mul)(vreal a, vreal b) {
    return P(mul)(a, b);
}
BP_INLINE vreal V(div)(vreal a, vreal b) {
    return P(div)(a, b);
}
BP_INLINE vreal V(sqrt)(vreal x) {
    return P(sqrt)(x);
}
BP_INLINE vreal V(fma)(vreal a, vreal b, vreal c) {
    return P(fmadd)(a, b, c);
}
BP_INLINE vreal V(fnma)(vreal a, vreal b, vreal c) {
    return P(fnmadd)(a, b, c);
}
/* The instructions return their second operand where either is NaN. */
BP_INLINE vreal V(min)(vreal a, vreal x) {
    return P(min)(a, x);
}
BP_INLINE vreal V(max)(vreal a, vreal x) {
    return P(max)(a, x);
}
BP_INLINE vmask V(lt)(vreal a, vreal b) {
    return BP_COMPARE(a, b, _CMP_LT_OQ);
}
BP_INLINE vmask V(le)(vreal a, vreal b) {
    return BP_COMPARE(a, b, _CMP_LE_OQ);
}
BP_INLINE vmask V(gt)(vreal a, vreal b) {
    return BP_COMPARE(a, b, _CMP_GT_OQ);
}
BP_INLINE vmask V(eq)(vreal a, vreal b) {
    return BP_COMPARE(a, b, _CMP_EQ_OQ);
}
BP_INLINE vreal V(select)(vmask m, vreal a, vreal b) {
    return P(mask_blend)(m, b, a);
}

BP_INLINE __m512i V(constant)(uint64_t bits) {
    return PI(set1)((V(bits))bits);
}

BP_INLINE vreal V(abs)(vreal x) {
    return P(andnot)(P(set1)((real)-0.0), x);
}
BP_INLINE vreal V(neg_abs)(vreal x) {
    return P(or)(P(set1)((real)-0.0), x);
}
BP_INLINE vreal V(head)(vreal x) {
    return P(and)(x, BP_CAST_REAL(V(constant)(BP_HEAD_MASK)));
}
BP_INLINE vreal V(copysign)(vreal x,
                            vreal sign) { /* 0xd8: the second where the third, or the first */
    return BP_CAST_REAL(
        PI(ternarylogic)(BP_CAST_INT(x), BP_CAST_INT(sign), V(constant)(BP_SIGN_BIT), 0xd8));
}

BP_INLINE vreal V(pow2)(vreal t) {
    return BP_CAST_REAL(PI(slli)(BP_CAST_INT(t), BP_SIGNIFICAND_BITS));
}
BP_INLINE vreal V(scale)(vreal x, vreal n) {
    return P(scalef)(x, n);
}

BP_INLINE vreal V(log_split)(vreal x, vreal *e) {
    const __m512i half = V(constant)(BP_SQRT_HALF_BITS);
    __m512i b = PI(add)(BP_CAST_INT(x), V(constant)(BP_ONE_BITS - BP_SQRT_HALF_BITS));
    __m512i exponent = PI(or)(PI(srli)(b, BP_SIGNIFICAND_BITS), V(constant)(BP_INTEGER_BITS));
    *e = P(sub)(BP_CAST_REAL(exponent), P(set1)((real)(BP_INTEGER_BASE + BP_EXPONENT_BIAS)));
    return BP_CAST_REAL(PI(add)(PI(and)(b, V(constant)(BP_SIGNIFICAND_MASK)), half));
}

BP_INLINE real V(sum)(vreal x) {
    return P(reduce_add)(x);
}
BP_INLINE real V(largest)(vreal x) {
    return P(reduce_max)(x);
}

#if BP_REAL_BITS == 32
/* The estimate is good to 2^-14; its square is below the rounding of the correction. */
BP_INLINE vreal V(ratio)(vreal a, vreal b) {
    vreal r = _mm512_rcp14_ps(b), q = V(mul)(a, r);
    return V(fma)(V(fnma)(b, q, a), r, q);
}
BP_INLINE __m512d V(widen)(vreal x, int part) {
    return _mm512_cvtps_pd(part == 0 ? _mm512_castps512_ps256(x) : _mm512_extractf32x8_ps(x, 1));
}
#else
BP_INLINE vreal V(ratio)(vreal a, vreal b) {
    return V(div)(a, b);
}
BP_INLINE vreal V(widen)(vreal x, int part) {
    (void)part;
    return x;
}
#endif

#undef P
#undef PI
#undef BP_CAST_INT
#undef BP_CAST_REAL
#undef BP_COMPARE
