/* One layer: forward, and backward to the inputs and to the weights.
 *
 * Each function computes the share of one member of a team in the layer's product; the shares are
 * tiles of the result, so that no two members write the same element and the bits do not depend on
 * how many there are. */
#ifndef BP_DENSE_H
#define BP_DENSE_H

#include "gemm.h"

#define real float
#define BP_T(name) name##_f32
#include "dense_decl.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "dense_decl.inc.h"
#undef real
#undef BP_T

#endif
