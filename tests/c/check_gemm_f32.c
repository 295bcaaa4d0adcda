/* The checks of check_gemm.inc.h for float. */
#define REAL float
#define ELEMENT f32
#define FMA exact_fmaf
#include "check_gemm.inc.h"
