/* One layer for one element type; included by dense.h for float and double. */

/* A layer applied to a block of rows, and who computes which share of it. */
typedef struct {
    const BP_T(bp_kernels) *kernels;
    int64_t rows, n_in, n_out;
    int64_t lddw;       /* row stride of dw, or 0 for n_in */
    const real *w;      /* (n_out x n_in) */
    const real *packed; /* the panels of W^T, or NULL */
    int member, members;
    real *scratch; /* of this member, as bp_product_scratch asks */
} BP_T(bp_dense);

/* y (rows x n_out, stride ldy) = act(x W^T + b). z, with the stride of y, keeps the pre-activation
 * unless it is NULL; b may be NULL. Softmax stops at the pre-activation, which then goes to y. */
BP_T(bp_tile)
BP_T(bp_dense_fwd)(const BP_T(bp_dense) *d, int act, const real *x, int64_t ldx, const real *b,
                   real *z, real *y, int64_t ldy);

/* dx (rows x n_in, stride lddx) = delta W, times act'(saved) unless saved, with the stride of dx,
 * is NULL: the delta of the layer below. */
BP_T(bp_tile)
BP_T(bp_dense_bwd_x)(const BP_T(bp_dense) *d, const real *delta, int64_t ldd, int act,
                     const real *saved, real *dx, int64_t lddx);

/* dw (n_out x n_in, stride lddw) = delta^T x and db (n_out) = column sums of delta, or added to
 * them where accumulate. Either may be NULL. */
void BP_T(bp_dense_bwd_w)(const BP_T(bp_dense) *d, const real *x, int64_t ldx, const real *delta,
                          int64_t ldd, real *dw, real *db, int accumulate);
