/* The measurements of bench_gemm.inc.h for double. */
#define REAL double
#define ELEMENT f64
#include "bench_gemm.inc.h"
