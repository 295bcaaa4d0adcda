/* Conversion of float32 to planes of bfloat16 with vcvtne2ps2bf16, which rounds, flushes and quiets
 * as the slots ask. */

/* Columns 0 <= j < n of a row, n <= 32, and zeros: two vectors of 16. */
static inline void bp_bf16_load_row(const float *x, int64_t n, __m512 halves[2]) {
    const uint32_t all = n >= BP_BF16_BLOCK ? 0xffffffffu : (1u << n) - 1u;
    halves[0] = _mm512_maskz_loadu_ps((__mmask16)all, x);
    halves[1] = _mm512_maskz_loadu_ps((__mmask16)(all >> 16), n > 16 ? x + 16 : x);
}

/* x, but cut to the largest bfloat16 where it is finite and would be rounded to infinity. */
static inline __m512 bp_bf16_finite(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i size = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __m512i above = _mm512_sub_epi32(size, _mm512_set1_epi32(0x7f7f8000));
    const __mmask16 beyond = _mm512_cmplt_epu32_mask(above, _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(
        _mm512_mask_and_epi32(bits, beyond, bits, _mm512_set1_epi32(-0x10000)));
}

/* x less its part; 0 where the part is zero, infinite or NaN. */
static inline __m512 bp_bf16_rest(__m512 x, __m256i part) {
    enum { ZERO_OR_SPECIAL = 0x9f };
    const __m512 p = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(part), 16));
    const __mmask16 none = _mm512_fpclass_ps_mask(p, ZERO_OR_SPECIAL);
    return _mm512_maskz_sub_ps((__mmask16)~none, x, p);
}

/* The parts of 32 values. */
static inline void bp_bf16_split_32(const int planes, __m512 x[2], __m512i parts[BP_BF16_PLANES]) {
    for (int p = 0; p < planes; p++) {
        const int cuts = p == 0 && planes > 1;
        parts[p] = (__m512i)_mm512_cvtne2ps_pbh(cuts ? bp_bf16_finite(x[1]) : x[1],
                                                cuts ? bp_bf16_finite(x[0]) : x[0]);
        if (p == planes - 1) break;
        x[0] = bp_bf16_rest(x[0], _mm512_castsi512_si256(parts[p]));
        x[1] = bp_bf16_rest(x[1], _mm512_extracti64x4_epi64(parts[p], 1));
    }
}

static inline void bp_bf16_rows_native(const int planes, int64_t rows, int64_t cols,
                                       const float *src, int64_t ld, uint16_t *dst, int64_t slab,
                                       int64_t plane) {
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += slab) {
        for (int64_t i = 0; i < rows; i++) {
            __m512i parts[BP_BF16_PLANES];
            __m512 x[2];
            bp_bf16_load_row(src + i * ld + j, cols - j, x);
            bp_bf16_split_32(planes, x, parts);
            for (int p = 0; p < planes; p++)
                _mm512_storeu_si512(dst + p * plane + i * BP_BF16_BLOCK, parts[p]);
        }
    }
}

static inline void bp_bf16_panels_native(const int planes, int64_t rows, int64_t cols,
                                         const float *src, int64_t ld, uint16_t *dst, int64_t panel,
                                         int64_t plane) {
    /* Which words of two rows, the second's counted from 32, stand in the first 16 pairs. */
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    const int64_t end = (rows + BP_BF16_BLOCK - 1) / BP_BF16_BLOCK * BP_BF16_BLOCK;
    for (int64_t j = 0; j < cols; j += BP_BF16_BLOCK, dst += panel) {
        for (int64_t i = 0; i < end; i += 2) {
            const float *row = src + i * ld + j;
            __m512 x[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, y[2] = {x[0], x[0]};
            __m512i first[BP_BF16_PLANES], second[BP_BF16_PLANES];
            if (i < rows) bp_bf16_load_row(row, cols - j, x);
            if (i + 1 < rows) bp_bf16_load_row(row + ld, cols - j, y);
            bp_bf16_split_32(planes, x, first);
            bp_bf16_split_32(planes, y, second);
            for (int p = 0; p < planes; p++) {
                uint16_t *to = dst + p * plane + i * BP_BF16_BLOCK;
                _mm512_storeu_si512(to, _mm512_permutex2var_epi16(first[p], low, second[p]));
                _mm512_storeu_si512(to + BP_BF16_BLOCK,
                                    _mm512_permutex2var_epi16(first[p], high, second[p]));
            }
        }
    }
}

static void bpk_bf16_to_rows__avx512_bf16(int planes, int64_t rows, int64_t cols, const float *src,
                                          int64_t ld, uint16_t *dst, int64_t slab, int64_t plane) {
    if (planes == 1)
        bp_bf16_rows_native(1, rows, cols, src, ld, dst, slab, plane);
    else if (planes == 2)
        bp_bf16_rows_native(2, rows, cols, src, ld, dst, slab, plane);
    else
        bp_bf16_rows_native(3, rows, cols, src, ld, dst, slab, plane);
}

static void bpk_bf16_to_panels__avx512_bf16(int planes, int64_t rows, int64_t cols,
                                            const float *src, int64_t ld, uint16_t *dst,
                                            int64_t panel, int64_t plane) {
    if (planes == 1)
        bp_bf16_panels_native(1, rows, cols, src, ld, dst, panel, plane);
    else if (planes == 2)
        bp_bf16_panels_native(2, rows, cols, src, ld, dst, panel, plane);
    else
        bp_bf16_panels_native(3, rows, cols, src, ld, dst, panel, plane);
}
