/* What the functions should be, by libm; included by ulp_sweep.c for double and long double.
 *
 *   wide, M(name), R(name)   the type, a function of libm for it, and a function of this file
 *
 * Without branches around the calls, so that a compiler with a vector library may use it. */
static inline wide R(exp)(wide x) {
    return M(exp)(x);
}
static inline wide R(log)(wide x) {
    return M(log)(x);
}
static inline wide R(tanh)(wide x) {
    return M(tanh)(x);
}
static inline wide R(erf)(wide x) {
    return M(erf)(x);
}
static inline wide R(sigmoid)(wide x) {
    wide e = M(exp)(-M(fabs)(x));
    return (x < 0 ? e : 1) / (1 + e);
}
static inline wide R(softplus)(wide x) {
    wide rest = M(log1p)(M(exp)(-M(fabs)(x)));
    return x > 0 ? x + rest : rest;
}
static inline wide R(elu)(wide x) {
    wide below = M(expm1)(x > 0 ? 0 : x);
    return x > 0 ? x : below;
}
static inline wide R(selu)(wide x) {
    wide below = (wide)1.6732632423543772848170429916717L * M(expm1)(x > 0 ? 0 : x);
    return (wide)1.0507009873554804934193349852946L * (x > 0 ? x : below);
}
static inline wide R(gelu)(wide x) {
    return x * M(erfc)(-x * (wide)0.707106781186547524400844362104849039L) / 2;
}
static inline wide R(silu)(wide x) {
    return x * R(sigmoid)(x);
}
static inline wide R(mish)(wide x) {
    wide e = M(exp)(-M(fabs)(x));
    return x < 0 ? x * (e * (e + 2)) / (e * (e + 2) + 2)
                 : x * ((1 + 2 * e) / (1 + 2 * e + 2 * e * e));
}
static inline wide R(sigmoid_slope)(wide x) {
    wide e = M(exp)(-M(fabs)(x));
    return e / ((1 + e) * (1 + e));
}
static inline wide R(tanh_slope)(wide x) {
    return 4 * R(sigmoid_slope)(2 * x);
}
static inline wide R(elu_slope)(wide x) {
    wide below = M(exp)(x > 0 ? 0 : x);
    return x > 0 ? 1 : below;
}
static inline wide R(sigmoid_second)(wide x) {
    return -R(sigmoid_slope)(x) * M(tanh)(x / 2);
}
static inline wide R(tanh_second)(wide x) {
    return -2 * M(tanh)(x) * R(tanh_slope)(x);
}
static inline wide R(elu_second)(wide x) {
    wide below = M(exp)(x > 0 ? 0 : x);
    return x > 0 ? 0 : below;
}
