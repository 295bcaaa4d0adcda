/* The slots of one element type; included by kernels.h for float and double. */

/* The micro-kernel that every matrix product is made of. */
typedef struct {
    int mr, nr; /* rows of the largest tile; columns of it, and of a packed panel of B */
    /* c (m x n) = a (m x k) b (k x n), plus c if accumulate is not 0; 0 <= m <= mr, any n. Element
     * (i, p) of a is a[i * a_rs + p * a_cs]; (p, j) of b is b[j / nr * b_ps + p * b_rs + j % nr]:
     * b_ps is nr for a row-major b, k * nr for panels. Each element of c is one chain of fused
     * multiply-adds over ascending p that starts at 0, or at c: so blocking over k, and any choice
     * of tile, give the same bits. (Instruction sets without a fused multiply-add round the
     * product: still one fixed chain.) With accumulate 0, c is not read. Only columns < n of b and
     * c are touched. */
    void (*run)(int64_t k, const real *a, int64_t a_rs, int64_t a_cs, const real *b, int64_t b_rs,
                int64_t b_ps, real *c, int64_t c_rs, int m, int64_t n, int accumulate);
} BP_T(bp_gemm_kernel);

typedef void (*BP_T(bp_update_fn))(int64_t n, real *w, const real *g, real *s0, real *s1, real *s2,
                                   const bp_update *u);

/* The scalars of an update of many networks, one in each lane; filled by `scalars`. */
typedef struct {
    real value[BP_LANE_SCALARS][BP_MAX_LANES];
    int is_plain, nesterov, centered;
} BP_T(bp_lane_scalars);

/* Kernels that work on as many networks as a vector has lanes. Each operand is an array of vectors
 * that hold one element of all networks: entry i of the network in lane l is x[i * count + l].
 * Counts and strides are numbers of vectors. Each network gets the bits of the other kernels. */
typedef struct {
    int count; /* of lanes; 1 in the portable kernels, which leave vectors to the compiler */

    /* out[i] = x[i] in all lanes; x is an ordinary array of n. */
    void (*spread)(int64_t n, const real *x, real *out);

    /* c (m x n) = a (m x k) b (k x n), plus bias (n) unless NULL. Each element of c is one chain as
     * those of gemm, then the bias is added. Element (i, p) of a is a[i * a_rs + p * a_cs], (p, j)
     * of b is b[p * b_rs + j * b_cs]. */
    void (*product)(int64_t m, int64_t n, int64_t k, const real *a, int64_t a_rs, int64_t a_cs,
                    const real *b, int64_t b_rs, int64_t b_cs, const real *bias, real *c,
                    int64_t c_rs);

    /* out[j] = the sum over rows of x[i][j] (rows x cols), in the order in which row_sum adds up so
     * many columns. */
    void (*sum)(int64_t rows, int64_t cols, const real *x, real *out);

    /* The scalars of `count` updates, which differ in these alone. `first` is not read: before the
     * first step, momentum must be -0. */
    void (*scalars)(const bp_update *updates, BP_T(bp_lane_scalars) *to);

    /* update[opt] over n parameters of each network. */
    void (*update[BP_OPT_COUNT])(int64_t n, real *w, const real *g, real *s0, real *s1, real *s2,
                                 const BP_T(bp_lane_scalars) *scalars);
} BP_T(bp_lane_kernels);

typedef struct {
    BP_T(bp_gemm_kernel) gemm;
    BP_T(bp_lane_kernels) lanes;

    /* dst (rows x cols) = the transpose of src (cols x rows). */
    void (*transpose)(int64_t rows, int64_t cols, const real *src, int64_t lds, real *dst,
                      int64_t ldd);

    /* z (rows x cols) += bias (cols) unless bias is NULL, then a = act(z).
     * a may be z itself with the same stride; otherwise z keeps the biased pre-activation. Without
     * a bias and with another a, z is only read.
     * Not for BP_ACT_SOFTMAX, whose slot is NULL. */
    void (*act_fwd[BP_ACT_COUNT])(int64_t rows, int64_t cols, real *z, int64_t ldz,
                                  const real *bias, real *a, int64_t lda);

    /* z[i][j] += bias[i]. */
    void (*add_bias)(int64_t rows, int64_t cols, const real *bias, real *z, int64_t ldz);

    /* d (rows x cols) *= act'(z), where s holds z if bp_act_needs_z(act), else a = act(z).
     * An act' of 0 multiplies too, so NaN and infinite d become NaN. act'(NaN) is NaN, except for
     * the identity.
     * Not for BP_ACT_SOFTMAX, whose slot is NULL. */
    void (*act_bwd[BP_ACT_COUNT])(int64_t rows, int64_t cols, const real *s, int64_t lds, real *d,
                                  int64_t ldd);

    /* y = act'(z) from z for every activation, stable near saturation; softmax: NULL. */
    void (*act_derivative[BP_ACT_COUNT])(int64_t n, const real *z, real *y);

    /* y = act''(z) from z, stable near saturation; 0 at the kinks of relu and leaky_relu, and from
     * the left at those of elu and selu; softmax: NULL. */
    void (*act_second[BP_ACT_COUNT])(int64_t n, const real *z, real *y);

    /* a = softmax of each row of z, shifted by the row's maximum. a may be z. */
    void (*softmax)(int64_t rows, int64_t cols, const real *z, int64_t ldz, real *a, int64_t lda);

    /* d (rows x cols) = a * (d - row sum of (a * d)): the product with softmax's Jacobian. */
    void (*softmax_bwd)(int64_t rows, int64_t cols, const real *a, int64_t lda, real *d,
                        int64_t ldd);

    /* Per-example loss (rows) and, unless d is NULL, row_scale[i] times its derivative.
     * mse, squared_error, mae, huber: s is a, and d is the derivative in a.
     * cross_entropy (softmax) and binary_cross_entropy (sigmoid): s is z, and d is delta, the
     * derivative in z, row_scale * (p - y) / cols (softmax: row_scale * (p * sum(y) - y)).
     * y is (rows x cols), or NULL where labels (rows; each 0 <= label < cols) are given, which only
     * cross_entropy takes. d may be s itself with the same stride. */
    void (*loss[BP_LOSS_COUNT])(int64_t rows, int64_t cols, const real *s, int64_t lds,
                                const real *y, int64_t ldy, const int64_t *labels,
                                const real *row_scale, real *loss, real *d, int64_t ldd);

    /* out[j] = (accumulate ? out[j] : 0) + sum over rows of x[i][j], rows in ascending order. */
    void (*col_sum)(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *out,
                    int accumulate);

    /* out[i] = (accumulate ? out[i] : 0) + sum over columns of x[i][j], in an order fixed by cols
     * alone; fewer than 8 columns are added in ascending order, as by col_sum. */
    void (*row_sum)(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *out,
                    int accumulate);

    /* y (rows) = a (rows x cols) x (cols), each sum in an order fixed by cols alone. */
    void (*gemv)(int64_t rows, int64_t cols, const real *a, int64_t lda, const real *x, real *y);

    /* Sums in double, in an order fixed by n alone. */
    double (*sum_sq)(int64_t n, const real *x);
    double (*sum_abs)(int64_t n, const real *x);

    /* z[i] = x[i] + y[i]; z may be x or y. */
    void (*add)(int64_t n, const real *x, const real *y, real *z);

    /* y[i] *= x[i]. */
    void (*mul)(int64_t n, const real *x, real *y);

    /* The chain rule of second order: v = first v + second (u w), each product and the sum rounded;
     * first NULL stands for 1. u may be w. */
    void (*chain)(int64_t n, const real *first, const real *second, const real *u, const real *w,
                  real *v);

    /* g = g + l2 w + l1 sign(w), sign(0) = 0: the same roundings as inside `update`. */
    void (*add_penalty)(int64_t n, const real *w, double l1, double l2, real *g);

    /* One optimizer step over n parameters: w and the state in place; bp_optimizer (pybackprop.h)
     * says which state vectors exist; the others are NULL and not touched. */
    BP_T(bp_update_fn) update[BP_OPT_COUNT];

    /* update[opt] for w (rows x cols), whose rows and those of its states follow each other, and
     * whose gradient is the outer product of d (rows) and x (cols). */
    void (*update_outer)(int opt, int64_t rows, int64_t cols, real *w, const real *d, const real *x,
                         real *s0, real *s1, real *s2, const bp_update *u);

    /* dst[j] = (src[j] - shift[j]) * scale[j]; shift and scale both NULL for a plain conversion. */
    void (*load_f32)(int64_t n, const float *src, const real *shift, const real *scale, real *dst);
    void (*load_f64)(int64_t n, const double *src, const real *shift, const real *scale, real *dst);
    void (*load_u8)(int64_t n, const uint8_t *src, const real *shift, const real *scale, real *dst);

    /* Independent chains of multiply-adds in registers; returns the flops done. */
    double (*peak)(int64_t iterations);

    /* Functions by themselves, for accuracy tests: y[i] = f(x[i]). */
    void (*vec_exp)(int64_t n, const real *x, real *y);
    void (*vec_log)(int64_t n, const real *x, real *y);
    void (*vec_tanh)(int64_t n, const real *x, real *y);
    void (*vec_sigmoid)(int64_t n, const real *x, real *y);
    void (*vec_erf)(int64_t n, const real *x, real *y);
} BP_T(bp_kernels);
