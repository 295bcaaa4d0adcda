/* What can follow the last sum of a product, of whatever type. */
#ifndef BP_GEMM_H
#define BP_GEMM_H

#include "kernels/kernels.h"

/* What happens to a block of C once its last product has been added, while it is in cache. */
typedef enum {
    BP_EPILOGUE_NONE = 0,
    BP_EPILOGUE_ACT_FWD, /* act_fwd slot: bias and activation */
    BP_EPILOGUE_ACT_BWD  /* act_bwd slot: times the activation's derivative */
} bp_epilogue;

#endif
