/* The measurements of bench_gemm.inc.h for float. */
#define REAL float
#define ELEMENT f32
#include "bench_gemm.inc.h"
