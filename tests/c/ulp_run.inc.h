/* y = f(x) by the slot of one element type; included by ulp_sweep.c for float and double. */
static void BP_T(run)(const BP_T(bp_kernels) *k, const function *f, int n, const real *x, real *y) {
    switch (f->slot) {
    case VEC_EXP:
        k->vec_exp(n, x, y);
        break;
    case VEC_LOG:
        k->vec_log(n, x, y);
        break;
    case VEC_TANH:
        k->vec_tanh(n, x, y);
        break;
    case VEC_SIGMOID:
        k->vec_sigmoid(n, x, y);
        break;
    case VEC_ERF:
        k->vec_erf(n, x, y);
        break;
    case SLOPE:
        k->act_derivative[f->act](n, x, y);
        break;
    case SECOND:
        k->act_second[f->act](n, x, y);
        break;
    default:
        memcpy(y, x, (size_t)n * sizeof *x);
        k->act_fwd[f->act](1, n, y, n, NULL, y, n);
    }
}
