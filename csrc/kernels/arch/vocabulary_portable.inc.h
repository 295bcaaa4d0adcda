/* The vector vocabulary in plain C: vectors of one lane. */
#if BP_REAL_BITS == 32
#    define vbits uint32_t
#else
#    define vbits uint64_t
#endif

typedef real V(vector);
typedef int V(mask);

enum { V(lanes) = 1, V(wide_parts) = 1 };

BP_INLINE vreal V(load)(const real *p) {
    return *p;
}
BP_INLINE void V(store)(real *p, vreal x) {
    *p = x;
}
BP_INLINE vreal V(set1)(real x) {
    return x;
}

/* Never called with a count of lanes below one; here so that the shared code compiles. */
BP_INLINE vreal V(load_n)(const real *p, int n) {
    return n > 0 ? *p : 0;
}
BP_INLINE void V(store_n)(real *p, vreal x, int n) {
    if (n > 0) *p = x;
}
BP_INLINE vreal V(first_n)(vreal x, int n, vreal other) {
    return n > 0 ? x : other;
}

BP_INLINE vreal V(add)(vreal a, vreal b) {
    return a + b;
}
BP_INLINE vreal V(sub)(vreal a, vreal b) {
    return a - b;
}
BP_INLINE vreal V(mul)(vreal a, vreal b) {
    return a * b;
}
BP_INLINE vreal V(div)(vreal a, vreal b) {
    return a / b;
}
BP_INLINE vreal V(ratio)(vreal a, vreal b) {
    return a / b;
}
BP_INLINE vreal V(fma)(vreal a, vreal b, vreal c) {
    return a * b + c;
}
BP_INLINE vreal V(fnma)(vreal a, vreal b, vreal c) {
    return c - a * b;
}
BP_INLINE vreal V(min)(vreal a, vreal x) {
    return a < x ? a : x;
}
BP_INLINE vreal V(max)(vreal a, vreal x) {
    return a > x ? a : x;
}
BP_INLINE vmask V(lt)(vreal a, vreal b) {
    return a < b;
}
BP_INLINE vmask V(le)(vreal a, vreal b) {
    return a <= b;
}
BP_INLINE vmask V(gt)(vreal a, vreal b) {
    return a > b;
}
BP_INLINE vmask V(eq)(vreal a, vreal b) {
    return a == b;
}
BP_INLINE vreal V(select)(vmask m, vreal a, vreal b) {
    return m ? a : b;
}
BP_INLINE vreal V(sum)(vreal x) {
    return x;
}
BP_INLINE vreal V(largest)(vreal x) {
    return x;
}
BP_INLINE double V(widen)(vreal x, int part) {
    (void)part;
    return (double)x;
}

BP_INLINE vreal V(sqrt)(vreal x) {
#if BP_REAL_BITS == 32
    return sqrtf(x);
#else
    return sqrt(x);
#endif
}

BP_INLINE vbits V(bits)(vreal x) {
    vbits b;
    memcpy(&b, &x, sizeof b);
    return b;
}

BP_INLINE vreal V(from_bits)(vbits b) {
    vreal x;
    memcpy(&x, &b, sizeof x);
    return x;
}

BP_INLINE vreal V(neg_abs)(vreal x) {
    return V(from_bits)(V(bits)(x) | (vbits)BP_SIGN_BIT);
}

BP_INLINE vreal V(abs)(vreal x) {
    return V(from_bits)(V(bits)(x) & (vbits) ~(vbits)BP_SIGN_BIT);
}

BP_INLINE vreal V(copysign)(vreal x, vreal sign) {
    return V(from_bits)((V(bits)(x) & (vbits) ~(vbits)BP_SIGN_BIT) |
                        (V(bits)(sign) & (vbits)BP_SIGN_BIT));
}

BP_INLINE vreal V(head)(vreal x) {
    return V(from_bits)(V(bits)(x) & (vbits)BP_HEAD_MASK);
}

BP_INLINE vreal V(pow2)(vreal t) {
    return V(from_bits)(V(bits)(t) << BP_SIGNIFICAND_BITS);
}

BP_INLINE vreal V(log_split)(vreal x, vreal *e) {
    const vbits half = (vbits)BP_SQRT_HALF_BITS, one = (vbits)BP_ONE_BITS;
    vbits b = V(bits)(x) + (one - half);
    *e = V(from_bits)((b >> BP_SIGNIFICAND_BITS) | (vbits)BP_INTEGER_BITS) -
         (real)(BP_INTEGER_BASE + BP_EXPONENT_BIAS);
    return V(from_bits)((b & (vbits)BP_SIGNIFICAND_MASK) + half);
}
#undef vbits
