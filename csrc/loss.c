#include "loss.h"

#include "fpmode.h"
#include "internal.h"

#define real float
#define BP_T(name) name##_f32
#include "loss.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "loss.inc.h"
#undef real
#undef BP_T
