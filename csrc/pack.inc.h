/* Packing of one element type; included by pack.c for float and double. */

int64_t BP_T(bp_packed_count)(const BP_T(bp_kernels) *kernels, int64_t k, int64_t n) {
    const int64_t nr = kernels->gemm.nr;
    return (n + nr - 1) / nr * nr * k;
}

/* dst (rows x nr, contiguous) = the row-major src (rows x cols), padded with zeros. Copies in
 * pieces of constant size, which compilers turn into vector moves. */
static void BP_T(copy_panel)(int64_t rows, int64_t cols, int64_t nr, const real *src, int64_t lds,
                             real *dst) {
    enum { PIECE = 16 / sizeof(real) };
    const int64_t whole = cols - cols % PIECE;
    for (int64_t i = 0; i < rows; i++, src += lds, dst += nr) {
        int64_t j = 0;
        for (; j < whole; j += PIECE)
            memcpy(dst + j, src + j, PIECE * sizeof *dst);
        for (; j < cols; j++)
            dst[j] = src[j];
        for (; j < nr; j++)
            dst[j] = 0;
    }
}

void BP_T(bp_pack_b)(const BP_T(bp_kernels) *kernels, int64_t k, int64_t n, const real *b,
                     int64_t b_rs, int64_t b_cs, int64_t p0, int64_t p1, real *packed) {
    const int64_t nr = kernels->gemm.nr;
    for (int64_t p = p0; p < p1; p++) {
        const int64_t left = n - p * nr, cols = left < nr ? left : nr;
        const real *src = b + p * nr * b_cs;
        real *dst = packed + p * nr * k;
        if (b_cs == 1) {
            BP_T(copy_panel)(k, cols, nr, src, b_rs, dst);
        } else {
            kernels->transpose(k, cols, src, b_cs, dst, nr);
            for (int64_t i = 0; cols < nr && i < k; i++)
                memset(dst + i * nr + cols, 0, (size_t)(nr - cols) * sizeof *dst);
        }
    }
}
