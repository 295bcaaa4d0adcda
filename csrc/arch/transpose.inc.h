/* Transposition of one element type: real, TRANSPOSE_NAME, and what reads TRANSPOSE_LANES rows of
 * src at once, TRANSPOSE_STEP elements of each:
 *
 *   TRANSPOSE_BLOCK(src, lds, dst, ldd)    dst[s][t] = src[t][s] for all s < TRANSPOSE_STEP and
 *                                          t < TRANSPOSE_LANES
 *
 * All but real are undefined again at the end. */

static void TRANSPOSE_NAME(int64_t rows, int64_t cols, const real *src, int64_t lds, real *dst,
                           int64_t ldd) {
    for (int64_t j = 0; j < cols; j += TRANSPOSE_LANES) {
        const int64_t j1 = j + TRANSPOSE_LANES < cols ? j + TRANSPOSE_LANES : cols;
        int64_t i = 0;
        if (j1 - j == TRANSPOSE_LANES)
            for (; i + TRANSPOSE_STEP <= rows; i += TRANSPOSE_STEP)
                TRANSPOSE_BLOCK(src + j * lds + i, lds, dst + i * ldd + j, ldd);
        for (; i < rows; i++)
            for (int64_t t = j; t < j1; t++)
                dst[i * ldd + t] = src[t * lds + i];
    }
}

#undef TRANSPOSE_NAME
#undef TRANSPOSE_LANES
#undef TRANSPOSE_STEP
#undef TRANSPOSE_BLOCK
