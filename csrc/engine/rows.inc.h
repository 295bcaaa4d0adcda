/* Loading rows into buffers of the element type. */

/* Shuffled rows come from anywhere, so their first lines are prefetched this many rows ahead. */
enum { AHEAD = 8 };

#if defined(__GNUC__)
#    define BP_PREFETCH(p) __builtin_prefetch(p)
#else
#    define BP_PREFETCH(p) ((void)(p))
#endif

/* One row whose columns are not next to each other. */
static void load_strided(const bp_matrix *src, const char *row, const real *shift,
                         const real *scale, real *dst) {
    for (int64_t j = 0; j < src->cols; j++) {
        const char *p = row + j * src->col_stride;
        real value = src->dtype == BP_FLOAT32   ? (real) * (const float *)(const void *)p
                     : src->dtype == BP_FLOAT64 ? (real) * (const double *)(const void *)p
                                                : (real) * (const uint8_t *)p;
        dst[j] = scale ? (value - shift[j]) * scale[j] : value;
    }
}

/* A row that needs no conversion. Short ones are not worth a call. */
static inline void copy_values(int64_t cols, const real *restrict src, real *restrict dst) {
    if (cols * (int64_t)sizeof(real) >= 256) {
        memcpy(dst, src, (size_t)cols * sizeof(real));
        return;
    }
    for (int64_t j = 0; j < cols; j++)
        dst[j] = src[j];
}

static void rows_load(const real_kernels *kernels, const bp_matrix *src, const bp_rows *rows,
                      int64_t n, const real *shift, const real *scale, real *dst, int64_t ld) {
    const int same = src->dtype == (sizeof(real) == 4 ? BP_FLOAT32 : BP_FLOAT64);
    const int64_t size = src->dtype == BP_FLOAT32 ? 4 : src->dtype == BP_FLOAT64 ? 8 : 1;
    for (int64_t i = 0; i < n; i++, dst += ld) {
        const char *row = (const char *)src->data + bp_row(rows, i) * src->row_stride;
        if (rows->index && i + AHEAD < n)
            BP_PREFETCH((const char *)src->data + bp_row(rows, i + AHEAD) * src->row_stride);
        if (src->col_stride != size && src->cols > 1)
            load_strided(src, row, shift, scale, dst);
        else if (same && !scale)
            copy_values(src->cols, (const real *)(const void *)row, dst);
        else if (src->dtype == BP_FLOAT32)
            kernels->load_f32(src->cols, (const float *)(const void *)row, shift, scale, dst);
        else if (src->dtype == BP_FLOAT64)
            kernels->load_f64(src->cols, (const double *)(const void *)row, shift, scale, dst);
        else
            kernels->load_u8(src->cols, (const uint8_t *)row, shift, scale, dst);
    }
}
