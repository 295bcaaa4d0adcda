/* Conversion of float32 to one plane of bfloat16 with vcvtne2ps2bf16, which rounds, flushes and
 * quiets as the slots ask. More planes take the loops of bf16_convert.inc.h. */

/* Columns 0 <= j < n of a row, n <= 32, and zeros: two vectors of 16. */
static inline void bp_bf16_load_row(const float *x, int64_t n, __m512 halves[2]) {
    const uint32_t all = n >= BP_BF16_BLOCK ? 0xffffffffu : (1u << n) - 1u;
    halves[0] = _mm512_maskz_loadu_ps((__mmask16)all, x);
    halves[1] = _mm512_maskz_loadu_ps((__mmask16)(all >> 16), n > 16 ? x + 16 : x);
}

static void bpk_bf16_to_rows_native__avx512_bf16(int planes, int64_t rows, int64_t cols,
                                                 const float *src, int64_t ld, uint16_t *dst,
                                                 int64_t slab, int64_t plane) {
    if (planes > 1) {
        bpk_bf16_to_rows__avx512_bf16(planes, rows, cols, src, ld, dst, slab, plane);
        return;
    }
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += slab) {
        for (int64_t i = 0; i < rows; i++) {
            __m512 x[2];
            bp_bf16_load_row(src + i * ld + j, cols - j, x);
            _mm512_storeu_si512(dst + i * BP_BF16_BLOCK, (__m512i)_mm512_cvtne2ps_pbh(x[1], x[0]));
        }
    }
}

static void bpk_bf16_to_panels_native__avx512_bf16(int planes, int64_t rows, int64_t cols,
                                                   const float *src, int64_t ld, uint16_t *dst,
                                                   int64_t panel, int64_t plane) {
    /* Words 0 … 15 from the first row, 16 … 31 from the second. */
    const __m512i pairs =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const int64_t end = (rows + BP_BF16_BLOCK - 1) / BP_BF16_BLOCK * BP_BF16_BLOCK;
    if (planes > 1) {
        bpk_bf16_to_panels__avx512_bf16(planes, rows, cols, src, ld, dst, panel, plane);
        return;
    }
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += panel) {
        for (int64_t i = 0; i < end; i += 2) {
            const float *row = src + i * ld + j;
            __m512 x[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, y[2] = {x[0], x[0]};
            if (i < rows) bp_bf16_load_row(row, cols - j, x);
            if (i + 1 < rows) bp_bf16_load_row(row + ld, cols - j, y);
            for (int half = 0; half < 2; half++) {
                const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y[half], x[half]);
                _mm512_storeu_si512(dst + i * BP_BF16_BLOCK + half * BP_BF16_BLOCK,
                                    _mm512_permutexvar_epi16(pairs, both));
            }
        }
    }
}
