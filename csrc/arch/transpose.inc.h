/* Transposition of one element type without intrinsics: real, and TRANSPOSE_NAME, which is
 * undefined again at the end. */

/* Blocks of 8 x 8 keep the lines of src in cache until all of their elements are used. */
static void TRANSPOSE_NAME(int64_t rows, int64_t cols, const real *src, int64_t lds, real *dst,
                           int64_t ldd) {
    for (int64_t i0 = 0; i0 < rows; i0 += 8) {
        const int64_t i1 = i0 + 8 < rows ? i0 + 8 : rows;
        for (int64_t j0 = 0; j0 < cols; j0 += 8) {
            const int64_t j1 = j0 + 8 < cols ? j0 + 8 : cols;
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++)
                    dst[i * ldd + j] = src[j * lds + i];
        }
    }
}

#undef TRANSPOSE_NAME
