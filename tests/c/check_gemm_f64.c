/* The checks of check_gemm.inc.h for double. */
#define REAL double
#define ELEMENT f64
#define FMA exact_fma
#include "check_gemm.inc.h"
