/* Every kernel in plain C: what any machine can run, and what the others are compared with. */
#include "kernels/kernels.h"

#define BP_ISA portable
#define BP_VOCABULARY "vocabulary_portable.inc.h"
#if defined(__GNUC__)
#    define BP_PACK_BYTES 16 /* what the peak is measured with, as the products use it */
#endif
#include "both.inc.h"
#include "gemm_portable.inc.h"
#include "bf16_portable.inc.h"

void bp_kernels_init_portable(bp_kernels *k) {
    bpk_f32_init__portable(&k->f32);
    bpk_f64_init__portable(&k->f64);
    bpk_gemm_init__portable(k);
    bpk_bf16_init__portable(&k->bf16);
}
