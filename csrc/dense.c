#include "dense.h"

#include "internal.h"

/* Entries of a result, and products in each, up to which all operands lie in the nearest cache. */
enum { SMALL_RESULT = 1024, SMALL_DEPTH = 64 };

#define real float
#define BP_T(name) name##_f32
#include "dense.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "dense.inc.h"
#undef real
#undef BP_T
