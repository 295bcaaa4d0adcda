/* Rows of the caller's matrices, converted, scaled and gathered into the core's own buffers. */
#ifndef BP_ROWS_H
#define BP_ROWS_H

#include "kernels/kernels.h"

/* Which rows of the data: index[first …] where index is not NULL, else first …. */
typedef struct {
    const int64_t *index;
    int64_t first;
} bp_rows;

static inline int64_t bp_row(const bp_rows *rows, int64_t i) {
    return rows->index ? rows->index[rows->first + i] : rows->first + i;
}

/* dst[i] = the label in each of the rows of a (rows, 1) BP_INT64 matrix, or -1 if it is not in
 * [0, n_labels): the caller's array can change between its check and this reading. */
void bp_rows_labels(const bp_matrix *src, const bp_rows *rows, int64_t n, int64_t n_labels,
                    int64_t *dst);

#endif
