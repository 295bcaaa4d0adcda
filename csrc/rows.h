/* Rows of the caller's matrices, converted, scaled and gathered into the core's own buffers. */
#ifndef BP_ROWS_H
#define BP_ROWS_H

#include "kernels.h"

/* Which rows of the data: index[first …] where index is not NULL, else first …. */
typedef struct {
    const int64_t *index;
    int64_t first;
} bp_rows;

static inline int64_t bp_row(const bp_rows *rows, int64_t i) {
    return rows->index ? rows->index[rows->first + i] : rows->first + i;
}

/* dst (n x src->cols, row stride ld) = the rows, as (value - shift) * scale. */
void bp_rows_load_f32(const bp_kernels_f32 *kernels, const bp_matrix *src, const bp_rows *rows,
                      int64_t n, const float *shift, const float *scale, float *dst, int64_t ld);
void bp_rows_load_f64(const bp_kernels_f64 *kernels, const bp_matrix *src, const bp_rows *rows,
                      int64_t n, const double *shift, const double *scale, double *dst, int64_t ld);

/* dst[i] = the label in each of the rows of a (rows, 1) BP_INT64 matrix, or -1 where it is not in
 * [0, n_labels): the caller's array can change between its check and this reading. */
void bp_rows_labels(const bp_matrix *src, const bp_rows *rows, int64_t n, int64_t n_labels,
                    int64_t *dst);

#endif
