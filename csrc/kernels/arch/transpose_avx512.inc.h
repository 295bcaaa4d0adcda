/* Transposition for AVX-512: squares of whole vectors, and for the rest vectors that are put
 * together from quarters of four rows. Missing rows are read as the first row, and their results
 * are not stored. */

static inline __m512 bp_avx512_quarters_f32(const __m128 *q) {
    __m512 r = _mm512_castps128_ps512(q[0]);
    r = _mm512_insertf32x4(r, q[1], 1);
    r = _mm512_insertf32x4(r, q[2], 2);
    return _mm512_insertf32x4(r, q[3], 3);
}

static inline __m512d bp_avx512_quarters_f64(const __m128d *q) {
    __m512d r = _mm512_castpd128_pd512(q[0]);
    r = _mm512_insertf64x2(r, q[1], 1);
    r = _mm512_insertf64x2(r, q[2], 2);
    return _mm512_insertf64x2(r, q[3], 3);
}

BP_INLINE void bp_avx512_turn_f32(const int whole, int steps, int lanes, const float *src,
                                  int64_t lds, float *dst, int64_t ldd) {
    const __mmask8 step = (__mmask8)((1u << steps) - 1u);
    const __mmask16 lane = (__mmask16)((1u << lanes) - 1u);
    __m512 r[4], out[4];
    for (int t = 0; t < 4; t++) {
        __m128 q[4];
        for (int i = 0; i < 4; i++) {
            const float *row = src + (whole || t + 4 * i < lanes ? t + 4 * i : 0) * lds;
            q[i] = whole ? _mm_loadu_ps(row) : _mm_maskz_loadu_ps(step, row);
        }
        r[t] = bp_avx512_quarters_f32(q);
    }
    const __m512 low01 = _mm512_unpacklo_ps(r[0], r[1]), high01 = _mm512_unpackhi_ps(r[0], r[1]);
    const __m512 low23 = _mm512_unpacklo_ps(r[2], r[3]), high23 = _mm512_unpackhi_ps(r[2], r[3]);
    out[0] = _mm512_shuffle_ps(low01, low23, 0x44);
    out[1] = _mm512_shuffle_ps(low01, low23, 0xee);
    out[2] = _mm512_shuffle_ps(high01, high23, 0x44);
    out[3] = _mm512_shuffle_ps(high01, high23, 0xee);
    for (int s = 0; s < 4; s++) {
        if (whole)
            _mm512_storeu_ps(dst + s * ldd, out[s]);
        else if (s < steps)
            _mm512_mask_storeu_ps(dst + s * ldd, lane, out[s]);
    }
}

BP_INLINE void bp_avx512_turn_f64(const int whole, int steps, int lanes, const double *src,
                                  int64_t lds, double *dst, int64_t ldd) {
    const __mmask8 step = (__mmask8)((1u << steps) - 1u), lane = (__mmask8)((1u << lanes) - 1u);
    __m512d r[2], out[2];
    for (int t = 0; t < 2; t++) {
        __m128d q[4];
        for (int i = 0; i < 4; i++) {
            const double *row = src + (whole || t + 2 * i < lanes ? t + 2 * i : 0) * lds;
            q[i] = whole ? _mm_loadu_pd(row) : _mm_maskz_loadu_pd(step, row);
        }
        r[t] = bp_avx512_quarters_f64(q);
    }
    out[0] = _mm512_unpacklo_pd(r[0], r[1]);
    out[1] = _mm512_unpackhi_pd(r[0], r[1]);
    for (int s = 0; s < 2; s++) {
        if (whole)
            _mm512_storeu_pd(dst + s * ldd, out[s]);
        else if (s < steps)
            _mm512_mask_storeu_pd(dst + s * ldd, lane, out[s]);
    }
}

/* Whole lines of 16 rows at once. At strides of a page the rows share the ways of one set of the
 * nearest cache, which would lose lines that are read a quarter at a time. */
BP_INLINE void bp_avx512_square_f32(const float *src, int64_t lds, float *dst, int64_t ldd) {
    __m512 r[16], t[16];
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_loadu_ps(src + i * lds);
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int half = 0; half < 2; half++) {
            r[i + 2 * half] = _mm512_shuffle_ps(t[i + half], t[i + 2 + half], 0x44);
            r[i + 2 * half + 1] = _mm512_shuffle_ps(t[i + half], t[i + 2 + half], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        for (int half = 0; half < 16; half += 8) {
            t[i + half] = _mm512_shuffle_f32x4(r[i + half], r[i + half + 4], 0x88);
            t[i + half + 4] = _mm512_shuffle_f32x4(r[i + half], r[i + half + 4], 0xdd);
        }
    }
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_ps(dst + i * ldd, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
        _mm512_storeu_ps(dst + (i + 8) * ldd, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd));
    }
}

BP_INLINE void bp_avx512_square_f64(const double *src, int64_t lds, double *dst, int64_t ldd) {
    __m512d r[8], t[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm512_loadu_pd(src + i * lds);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        for (int half = 0; half < 8; half += 4) {
            r[i + half] = _mm512_shuffle_f64x2(t[i + half], t[i + half + 2], 0x88);
            r[i + half + 2] = _mm512_shuffle_f64x2(t[i + half], t[i + half + 2], 0xdd);
        }
    }
    for (int i = 0; i < 4; i++) {
        _mm512_storeu_pd(dst + i * ldd, _mm512_shuffle_f64x2(r[i], r[i + 4], 0x88));
        _mm512_storeu_pd(dst + (i + 4) * ldd, _mm512_shuffle_f64x2(r[i], r[i + 4], 0xdd));
    }
}

#define BLOCK_f32(src, lds, dst, ldd) bp_avx512_turn_f32(1, 4, 16, src, lds, dst, ldd)
#define PART_f32(steps, lanes, src, lds, dst, ldd)                                                 \
    bp_avx512_turn_f32(0, steps, lanes, src, lds, dst, ldd)
#define BLOCK_f64(src, lds, dst, ldd) bp_avx512_turn_f64(1, 2, 8, src, lds, dst, ldd)
#define PART_f64(steps, lanes, src, lds, dst, ldd)                                                 \
    bp_avx512_turn_f64(0, steps, lanes, src, lds, dst, ldd)

#define real float
#define TRANSPOSE_NAME bpk_f32_transpose__avx512
#define TRANSPOSE_LANES 16
#define TRANSPOSE_STEP 4
#define TRANSPOSE_BLOCK BLOCK_f32
#define TRANSPOSE_SQUARE bp_avx512_square_f32
#define TRANSPOSE_PART PART_f32
#include "transpose.inc.h"
#undef real

#define real double
#define TRANSPOSE_NAME bpk_f64_transpose__avx512
#define TRANSPOSE_LANES 8
#define TRANSPOSE_STEP 2
#define TRANSPOSE_BLOCK BLOCK_f64
#define TRANSPOSE_SQUARE bp_avx512_square_f64
#define TRANSPOSE_PART PART_f64
#include "transpose.inc.h"
#undef real

#undef BLOCK_f32
#undef PART_f32
#undef BLOCK_f64
#undef PART_f64
