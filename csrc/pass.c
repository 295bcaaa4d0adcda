#include <math.h>

#include "dense.h"
#include "internal.h"
#include "loss.h"
#include "rng.h"

#define real float
#define BP_T(name) name##_f32
#include "pass.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "pass.inc.h"
#undef real
#undef BP_T
