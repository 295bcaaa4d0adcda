/* Packed panels of B: contiguous in the order in which the micro-kernel reads them. */

static int64_t packed_count(const real_kernels *kernels, int64_t k, int64_t n) {
    const int64_t nr = kernels->gemm.nr;
    return (n + nr - 1) / nr * nr * k;
}

/* Copies in pieces of constant size, which compilers turn into vector moves. */
static void copy_row(int64_t cols, const real *src, real *dst) {
    enum { PIECE = 16 / sizeof(real) };
    int64_t j = 0;
    for (; j + PIECE <= cols; j += PIECE)
        memcpy(dst + j, src + j, PIECE * sizeof *dst);
    for (; j < cols; j++)
        dst[j] = src[j];
}

/* Panels p0 <= p < p1 of a row-major b, row by row, so that memory that is far apart is touched
 * only once. */
static void copy_panels(int64_t nr, int64_t k, int64_t n, const real *b, int64_t b_rs, int64_t p0,
                        int64_t p1, real *packed) {
    for (int64_t i = 0; i < k; i++, b += b_rs) {
        for (int64_t p = p0; p < p1; p++) {
            const int64_t remaining = n - p * nr;
            copy_row(remaining < nr ? remaining : nr, b + p * nr, packed + (p * k + i) * nr);
        }
    }
}

static void pack_b(const real_kernels *kernels, int64_t k, int64_t n, const real *b, int64_t b_rs,
                   int64_t b_cs, int64_t p0, int64_t p1, real *packed) {
    enum { TOGETHER = 8 }; /* panels: not more streams than caches and TLB follow */
    const int64_t nr = kernels->gemm.nr;
    if (b_cs == 1) {
        for (int64_t p = p0; p < p1; p += TOGETHER)
            copy_panels(nr, k, n, b, b_rs, p, p + TOGETHER < p1 ? p + TOGETHER : p1, packed);
        return;
    }
    for (int64_t p = p0; p < p1; p++) {
        const int64_t remaining = n - p * nr;
        kernels->transpose(k, remaining < nr ? remaining : nr, b + p * nr * b_cs, b_cs,
                           packed + p * nr * k, nr);
    }
}
