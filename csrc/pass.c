#include <math.h>

#include "dense.h"
#include "internal.h"
#include "loss.h"
#include "rng.h"

#define real float
#define BP_T(name) name##_f32
#define BP_KERNELS f32
#include "pass.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS

#define real double
#define BP_T(name) name##_f64
#define BP_KERNELS f64
#include "pass.inc.h"
#undef real
#undef BP_T
#undef BP_KERNELS
