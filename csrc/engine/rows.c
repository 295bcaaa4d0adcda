/* The labels of rows. */
#include "engine/rows.h"

void bp_rows_labels(const bp_matrix *src, const bp_rows *rows, int64_t n, int64_t n_labels,
                    int64_t *dst) {
    for (int64_t i = 0; i < n; i++) {
        const char *p = (const char *)src->data + bp_row(rows, i) * src->row_stride;
        const int64_t label = *(const volatile int64_t *)(const void *)p;
        dst[i] = label >= 0 && label < n_labels ? label : -1;
    }
}
