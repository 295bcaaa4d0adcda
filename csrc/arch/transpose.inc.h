/* Transposition of one element type: real, TRANSPOSE_NAME, and what reads TRANSPOSE_LANES rows of
 * src at once, TRANSPOSE_STEP elements of each:
 *
 *   TRANSPOSE_BLOCK(row, i, dst, ldd, n)    dst[s][t] = row[t][i + s], s < TRANSPOSE_STEP, t < n
 *
 * All but real are undefined again at the end. */

static void TRANSPOSE_NAME(int64_t rows, int64_t cols, const real *src, int64_t lds, real *dst,
                           int64_t ldd) {
    for (int64_t j = 0; j < cols; j += TRANSPOSE_LANES) {
        const int n = cols - j < TRANSPOSE_LANES ? (int)(cols - j) : TRANSPOSE_LANES;
        const real *row[TRANSPOSE_LANES];
        /* Rows beyond the end are read as copies of the first, and not written. */
        for (int t = 0; t < TRANSPOSE_LANES; t++)
            row[t] = src + (j + (t < n ? t : 0)) * lds;
        int64_t i = 0;
        for (; i + TRANSPOSE_STEP <= rows; i += TRANSPOSE_STEP)
            TRANSPOSE_BLOCK(row, i, dst + i * ldd + j, ldd, n);
        for (; i < rows; i++)
            for (int t = 0; t < n; t++)
                dst[i * ldd + j + t] = row[t][i];
    }
}

#undef TRANSPOSE_NAME
#undef TRANSPOSE_LANES
#undef TRANSPOSE_STEP
#undef TRANSPOSE_BLOCK
