/* The vector vocabulary in AArch64 Advanced SIMD: vectors of 16 bytes. */
#if BP_REAL_BITS == 32
#    define P(op) v##op##q_f32
#    define PI(op) v##op##q_u32
#    define PN(op) v##op##q_n_u32
#    define BP_SET1 vdupq_n_f32
#    define BP_CAST_INT vreinterpretq_u32_f32
#    define BP_CAST_REAL vreinterpretq_f32_u32
typedef float32x4_t V(vector);
typedef uint32x4_t V(mask);
typedef uint32_t V(bits);
enum { V(lanes) = 4, V(wide_parts) = 2 };
#else
#    define P(op) v##op##q_f64
#    define PI(op) v##op##q_u64
#    define PN(op) v##op##q_n_u64
#    define BP_SET1 vdupq_n_f64
#    define BP_CAST_INT vreinterpretq_u64_f64
#    define BP_CAST_REAL vreinterpretq_f64_u64
typedef float64x2_t V(vector);
typedef uint64x2_t V(mask);
typedef uint64_t V(bits);
enum { V(lanes) = 2, V(wide_parts) = 1 };
#endif

BP_INLINE vreal V(load)(const real *p) {
    return P(ld1)(p);
}
BP_INLINE void V(store)(real *p, vreal x) {
    P(st1)(p, x);
}
BP_INLINE vreal V(set1)(real x) {
    return BP_SET1(x);
}

#if BP_REAL_BITS == 32
BP_INLINE vreal V(load_n)(const real *p, int n) {
    if (n == V(lanes)) return V(load)(p);
    float32x2_t low = vdup_n_f32(0), high = vdup_n_f32(0);
    if (n & 2) {
        low = vld1_f32(p);
        if (n & 1) high = vld1_lane_f32(p + 2, high, 0);
    } else {
        low = vld1_lane_f32(p, low, 0);
    }
    return vcombine_f32(low, high);
}
BP_INLINE void V(store_n)(real *p, vreal x, int n) {
    if (n == V(lanes)) {
        V(store)(p, x);
    } else if (n & 2) {
        vst1_f32(p, vget_low_f32(x));
        if (n & 1) vst1q_lane_f32(p + 2, x, 2);
    } else {
        vst1q_lane_f32(p, x, 0);
    }
}
#else
BP_INLINE vreal V(load_n)(const real *p, int n) {
    return n == V(lanes) ? V(load)(p) : vld1q_lane_f64(p, vdupq_n_f64(0), 0);
}
BP_INLINE void V(store_n)(real *p, vreal x, int n) {
    if (n == V(lanes))
        V(store)(p, x);
    else
        vst1q_lane_f64(p, x, 0);
}
#endif
BP_INLINE vreal V(first_n)(vreal x, int n, vreal other) {
    static const V(bits) lane[] = {
        0,
        1,
#if BP_REAL_BITS == 32
        2,
        3
#endif
    };
    return P(bsl)(PI(clt)(PI(ld1)(lane), PN(dup)((V(bits))n)), x, other);
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
    return P(fma)(c, a, b);
}
BP_INLINE vreal V(fnma)(vreal a, vreal b, vreal c) {
    return P(fms)(c, a, b);
}
BP_INLINE vreal V(min)(vreal a, vreal x) {
    return P(min)(a, x);
}
BP_INLINE vreal V(max)(vreal a, vreal x) {
    return P(max)(a, x);
}
BP_INLINE vmask V(lt)(vreal a, vreal b) {
    return P(clt)(a, b);
}
BP_INLINE vmask V(le)(vreal a, vreal b) {
    return P(cle)(a, b);
}
BP_INLINE vmask V(gt)(vreal a, vreal b) {
    return P(cgt)(a, b);
}
BP_INLINE vmask V(eq)(vreal a, vreal b) {
    return P(ceq)(a, b);
}
BP_INLINE vreal V(select)(vmask m, vreal a, vreal b) {
    return P(bsl)(m, a, b);
}

BP_INLINE vmask V(constant)(uint64_t bits) {
    return PN(dup)((V(bits))bits);
}

BP_INLINE vreal V(abs)(vreal x) {
    return P(abs)(x);
}
BP_INLINE vreal V(neg_abs)(vreal x) {
    return P(neg)(P(abs)(x));
}
BP_INLINE vreal V(head)(vreal x) {
    return BP_CAST_REAL(PI(and)(BP_CAST_INT(x), V(constant)(BP_HEAD_MASK)));
}
BP_INLINE vreal V(copysign)(vreal x, vreal sign) {
    return P(bsl)(V(constant)(BP_SIGN_BIT), sign, x);
}

BP_INLINE vreal V(pow2)(vreal t) {
    return BP_CAST_REAL(PN(shl)(BP_CAST_INT(t), BP_SIGNIFICAND_BITS));
}

BP_INLINE vreal V(log_split)(vreal x, vreal *e) {
    vmask b = PI(add)(BP_CAST_INT(x), V(constant)(BP_ONE_BITS - BP_SQRT_HALF_BITS));
    vmask exponent = PI(orr)(PN(shr)(b, BP_SIGNIFICAND_BITS), V(constant)(BP_INTEGER_BITS));
    *e = P(sub)(BP_CAST_REAL(exponent), BP_SET1((real)(BP_INTEGER_BASE + BP_EXPONENT_BIAS)));
    b = PI(and)(b, V(constant)(BP_SIGNIFICAND_MASK));
    return BP_CAST_REAL(PI(add)(b, V(constant)(BP_SQRT_HALF_BITS)));
}

BP_INLINE real V(sum)(vreal x) {
#if BP_REAL_BITS == 32
    return vaddvq_f32(x);
#else
    return vaddvq_f64(x);
#endif
}
BP_INLINE real V(largest)(vreal x) {
#if BP_REAL_BITS == 32
    return vmaxvq_f32(x);
#else
    return vmaxvq_f64(x);
#endif
}

#if BP_REAL_BITS == 32
BP_INLINE float64x2_t V(widen)(vreal x, int part) {
    return part == 0 ? vcvt_f64_f32(vget_low_f32(x)) : vcvt_high_f64_f32(x);
}
#else
BP_INLINE vreal V(widen)(vreal x, int part) {
    (void)part;
    return x;
}
#endif

#undef P
#undef PI
#undef PN
#undef BP_SET1
#undef BP_CAST_INT
#undef BP_CAST_REAL
