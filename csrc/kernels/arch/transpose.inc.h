/* Transposition of one element type: real, TRANSPOSE_NAME, and what reads TRANSPOSE_LANES rows of
 * src at once, TRANSPOSE_STEP elements of each:
 *
 *   TRANSPOSE_BLOCK(src, lds, dst, ldd)    dst[s][t] = src[t][s] for all s < TRANSPOSE_STEP and
 *                                          t < TRANSPOSE_LANES
 *   TRANSPOSE_PART(steps, lanes, src, lds, dst, ldd)
 *                                          the same for s < steps and t < lanes, at most as many
 *
 *   TRANSPOSE_SQUARE(src, lds, dst, ldd)   optional: the same for TRANSPOSE_LANES of both
 *
 * TRANSPOSE_PART is by default a loop. All but real are undefined again at the end. */

#ifndef TRANSPOSE_PART
#    define TRANSPOSE_PART(steps, lanes, src, lds, dst, ldd)                                       \
        for (int64_t s = 0; s < (steps); s++)                                                      \
            for (int64_t t = 0; t < (lanes); t++)                                                  \
                (dst)[s * (ldd) + t] = (src)[t * (lds) + s];
#endif

static void TRANSPOSE_NAME(int64_t rows, int64_t cols, const real *src, int64_t lds, real *dst,
                           int64_t ldd) {
    for (int64_t j = 0; j < cols; j += TRANSPOSE_LANES) {
        const int lanes = cols - j < TRANSPOSE_LANES ? (int)(cols - j) : TRANSPOSE_LANES;
        int64_t i = 0;
        for (; lanes == 1 && i < rows; i++)
            dst[i * ldd + j] = src[j * lds + i];
#ifdef TRANSPOSE_SQUARE
        for (; lanes == TRANSPOSE_LANES && i + TRANSPOSE_LANES <= rows; i += TRANSPOSE_LANES)
            TRANSPOSE_SQUARE(src + j * lds + i, lds, dst + i * ldd + j, ldd);
#endif
        if (lanes == TRANSPOSE_LANES)
            for (; i + TRANSPOSE_STEP <= rows; i += TRANSPOSE_STEP)
                TRANSPOSE_BLOCK(src + j * lds + i, lds, dst + i * ldd + j, ldd);
        for (; i < rows; i += TRANSPOSE_STEP) {
            const int steps = rows - i < TRANSPOSE_STEP ? (int)(rows - i) : TRANSPOSE_STEP;
            TRANSPOSE_PART(steps, lanes, src + j * lds + i, lds, dst + i * ldd + j, ldd);
        }
    }
}

#undef TRANSPOSE_NAME
#undef TRANSPOSE_LANES
#undef TRANSPOSE_STEP
#undef TRANSPOSE_BLOCK
#undef TRANSPOSE_SQUARE
#undef TRANSPOSE_PART
