/* The cost of each example, and delta of the output layer. */
#ifndef BP_LOSS_H
#define BP_LOSS_H

#include "kernels.h"

/* What the rows are: how many, how wide, and how they became what they are. */
typedef struct {
    int64_t rows, n_out;
    int loss, act; /* of the network, and of its output layer */
} bp_loss_rows;

#define real float
#define BP_T(name) name##_f32
#include "loss_decl.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "loss_decl.inc.h"
#undef real
#undef BP_T

#endif
