#include "rows.h"

#include <string.h>

/* Shuffled rows come from anywhere: their first lines are asked for this many rows ahead. */
enum { AHEAD = 8 };

#if defined(__GNUC__)
#    define BP_PREFETCH(p) __builtin_prefetch(p)
#else
#    define BP_PREFETCH(p) ((void)(p))
#endif

#define real float
#define BP_T(name) name##_f32
#include "rows.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "rows.inc.h"
#undef real
#undef BP_T

void bp_rows_labels(const bp_matrix *src, const bp_rows *rows, int64_t n, int64_t n_labels,
                    int64_t *dst) {
    for (int64_t i = 0; i < n; i++) {
        const char *p = (const char *)src->data + bp_row(rows, i) * src->row_stride;
        const int64_t label = *(const volatile int64_t *)(const void *)p;
        dst[i] = label >= 0 && label < n_labels ? label : -1;
    }
}
