/* The product of one element type; included by gemm.h for float and double. */

/* c (m x n) = a (m x k) b (k x n), plus c where accumulate. Element (i, j) of an operand x is
 * x[i * x_rs + j * x_cs]; one of the two strides of a, and one of b, is 1. */
typedef struct {
    int64_t m, n, k;
    const real *a;
    int64_t a_rs, a_cs;
    const real *b;
    int64_t b_rs, b_cs;
    const real
        *b_packed; /* b as BP_T(bp_pack_b) lays it out, or NULL; where given, b is not read */
    real *c;
    int64_t c_rs;
    int accumulate;

    bp_epilogue epilogue;
    int act;
    const real *bias;  /* ACT_FWD: n values or NULL */
    real *act_out;     /* ACT_FWD: where the activation goes; c itself, or another (m x n) */
    const real *saved; /* ACT_BWD: what the act_bwd slot reads, (m x n) */
    int64_t act_rs;    /* row stride of act_out or saved */
} BP_T(bp_product);

/* Rows m0 <= i < m1 and columns n0 <= j < n1 of a result. */
typedef struct {
    int64_t m0, m1, n0, n1;
} BP_T(bp_tile);

/* Elements of scratch that BP_T(bp_product_run) needs; the same for every product. */
int64_t BP_T(bp_product_scratch)(const BP_T(bp_kernels) *kernels);

/* Computes rows m0 <= i < m1, columns n0 <= j < n1 of the product on the calling thread, epilogue
 * included. n0 is a multiple of kernels->gemm.nr. The bits of an element do not depend on the
 * ranges. scratch is 64-byte aligned. */
void BP_T(bp_product_run)(const BP_T(bp_kernels) *kernels, const BP_T(bp_product) *product,
                          int64_t m0, int64_t m1, int64_t n0, int64_t n1, real *scratch);

/* The share of part `part` of `parts` (0 <= part < parts) in the tiles of an m x n result:
 * ranges[4] = m0, m1, n0, n1, columns in whole panels; empty where nothing is left to share. */
void BP_T(bp_product_share)(const BP_T(bp_kernels) *kernels, int64_t m, int64_t n, int part,
                            int parts, int64_t ranges[4]);

/* Elements of a packed copy of b (k x n): panels of nr columns, each (k x nr) row-major; what
 * the last has beyond b is neither written nor read. */
int64_t BP_T(bp_packed_count)(const BP_T(bp_kernels) *kernels, int64_t k, int64_t n);

/* Packs panels p0 <= p < p1 of b (panel p holds columns p * nr …). */
void BP_T(bp_pack_b)(const BP_T(bp_kernels) *kernels, int64_t k, int64_t n, const real *b,
                     int64_t b_rs, int64_t b_cs, int64_t p0, int64_t p1, real *packed);
