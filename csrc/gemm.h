/* Matrix products: the blocked driver around the one micro-kernel slot, and the packing it uses. */
#ifndef BP_GEMM_H
#define BP_GEMM_H

#include "kernels.h"

/* What happens to a block of C once its last product has been added, while it is in cache. */
typedef enum {
    BP_EPILOGUE_NONE = 0,
    BP_EPILOGUE_ACT_FWD, /* act_fwd slot: bias and activation */
    BP_EPILOGUE_ACT_BWD  /* act_bwd slot: times the activation's derivative */
} bp_epilogue;

/* Cache blocking, from the caches that the machine reports: see gemm.c. */
typedef struct {
    int64_t mc, kc, nc, nb;
} bp_blocking;

#define real float
#define BP_T(name) name##_f32
#include "gemm_decl.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "gemm_decl.inc.h"
#undef real
#undef BP_T

#endif
