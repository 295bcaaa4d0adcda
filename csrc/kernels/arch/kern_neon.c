/* Every kernel for AArch64, whose baseline has Advanced SIMD. */
#include "kernels/kernels.h"

#if defined(__aarch64__) && defined(__GNUC__)

#    include <arm_neon.h>

#    define BP_ISA neon
#    define BP_VECTOR_REGISTERS 32
#    define BP_SUM_OF_NEIGHBOURS /* V(sum) adds neighbours first, not halves */
#    define BP_VOCABULARY "vocabulary_neon.inc.h"
#    include "both.inc.h"
#    include "gemm_neon.inc.h"

void bp_kernels_init_neon(bp_kernels *k) {
    bpk_f32_init__neon(&k->f32);
    bpk_f64_init__neon(&k->f64);
    bpk_gemm_init__neon(k);
}

#else

void bp_kernels_init_neon(bp_kernels *k) {
    (void)k;
}

#endif
