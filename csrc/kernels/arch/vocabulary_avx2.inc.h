/* The vector vocabulary in AVX2 and FMA: vectors of 32 bytes; a mask is a vector of whole bits. */
#if BP_REAL_BITS == 32
#    define P(op) _mm256_##op##_ps
#    define PI(op) _mm256_##op##_epi32
#    define BP_CAST_INT _mm256_castps_si256
#    define BP_CAST_REAL _mm256_castsi256_ps
#    define BP_SET1_INT _mm256_set1_epi32
typedef __m256 V(vector);
typedef int32_t V(bits);
enum { V(lanes) = 8, V(wide_parts) = 2 };
#else
#    define P(op) _mm256_##op##_pd
#    define PI(op) _mm256_##op##_epi64
#    define BP_CAST_INT _mm256_castpd_si256
#    define BP_CAST_REAL _mm256_castsi256_pd
#    define BP_SET1_INT _mm256_set1_epi64x
typedef __m256d V(vector);
typedef int64_t V(bits);
enum { V(lanes) = 4, V(wide_parts) = 1 };
#endif
typedef V(vector) V(mask);

/* As many ones from V(edge) + V(lanes) - n on as n. */
static const V(bits) V(edge)[2 * V(lanes)] = {
#if BP_REAL_BITS == 32
    -1, -1, -1, -1,
#endif
    -1, -1, -1, -1};

BP_INLINE __m256i V(first)(int n) {
    return _mm256_loadu_si256((const void *)(V(edge) + V(lanes) - n));
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
    return P(maskload)(p, V(first)(n));
}
/* Powers of two: whole stores can be forwarded to the next load, masked ones often cannot. */
BP_INLINE void V(store_n)(real *p, vreal x, int n) {
    if (n == V(lanes)) {
        V(store)(p, x);
        return;
    }
#if BP_REAL_BITS == 32
    __m128 y = _mm256_castps256_ps128(x);
    if (n & 4) {
        _mm_storeu_ps(p, y);
        y = _mm256_extractf128_ps(x, 1), p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((void *)p, y);
        y = _mm_movehl_ps(y, y), p += 2;
    }
    if (n & 1) _mm_store_ss(p, y);
#else
    __m128d y = _mm256_castpd256_pd128(x);
    if (n & 2) {
        _mm_storeu_pd(p, y);
        y = _mm256_extractf128_pd(x, 1), p += 2;
    }
    if (n & 1) _mm_store_sd(p, y);
#endif
}
BP_INLINE vreal V(first_n)(vreal x, int n, vreal other) {
    return P(blendv)(other, x, BP_CAST_REAL(V(first)(n)));
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
BP_INLINE vreal V(ratio)(vreal a, vreal b) {
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
    return P(cmp)(a, b, _CMP_LT_OQ);
}
BP_INLINE vmask V(le)(vreal a, vreal b) {
    return P(cmp)(a, b, _CMP_LE_OQ);
}
BP_INLINE vmask V(gt)(vreal a, vreal b) {
    return P(cmp)(a, b, _CMP_GT_OQ);
}
BP_INLINE vmask V(eq)(vreal a, vreal b) {
    return P(cmp)(a, b, _CMP_EQ_OQ);
}
BP_INLINE vreal V(select)(vmask m, vreal a, vreal b) {
    return P(blendv)(b, a, m);
}

BP_INLINE __m256i V(constant)(uint64_t bits) {
    return BP_SET1_INT((V(bits))bits);
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
BP_INLINE vreal V(copysign)(vreal x, vreal sign) {
    const vreal bit = P(set1)((real)-0.0);
    return P(or)(P(and)(bit, sign), P(andnot)(bit, x));
}

BP_INLINE vreal V(pow2)(vreal t) {
    return BP_CAST_REAL(PI(slli)(BP_CAST_INT(t), BP_SIGNIFICAND_BITS));
}

BP_INLINE vreal V(log_split)(vreal x, vreal *e) {
    const __m256i half = V(constant)(BP_SQRT_HALF_BITS);
    __m256i b = PI(add)(BP_CAST_INT(x), V(constant)(BP_ONE_BITS - BP_SQRT_HALF_BITS));
    __m256i exponent =
        _mm256_or_si256(PI(srli)(b, BP_SIGNIFICAND_BITS), V(constant)(BP_INTEGER_BITS));
    *e = P(sub)(BP_CAST_REAL(exponent), P(set1)((real)(BP_INTEGER_BASE + BP_EXPONENT_BIAS)));
    b = _mm256_and_si256(b, V(constant)(BP_SIGNIFICAND_MASK));
    return BP_CAST_REAL(PI(add)(b, half));
}

#if BP_REAL_BITS == 32
BP_INLINE real V(sum)(vreal x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
BP_INLINE real V(largest)(vreal x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
BP_INLINE __m256d V(widen)(vreal x, int part) {
    return _mm256_cvtps_pd(part == 0 ? _mm256_castps256_ps128(x) : _mm256_extractf128_ps(x, 1));
}
#else
BP_INLINE real V(sum)(vreal x) {
    __m128d y = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}
BP_INLINE real V(largest)(vreal x) {
    __m128d y = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(y, _mm_unpackhi_pd(y, y)));
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
#undef BP_SET1_INT
