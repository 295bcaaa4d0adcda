/* Packed panels of B: contiguous in the order in which the micro-kernel reads them. */
#include <string.h>

#include "gemm.h"

#define real float
#define BP_T(name) name##_f32
#include "pack.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "pack.inc.h"
#undef real
#undef BP_T
