/* The one place that knows which kernels run on this machine. */
#ifndef BP_DISPATCH_H
#define BP_DISPATCH_H

#include "system/cpu.h"
#include "kernels/kernels.h"

/* The table for this machine, capped by PYBACKPROP_ISA; filled on the first call, by any thread. */
const bp_kernels *bp_kernels_get(void);

/* What multiplies bfloat16 on this machine, under the same cap; the first call asks for AMX where
 * the machine has it. */
const bp_kernels_bf16 *bp_kernels_bf16_get(void);

/* The name of what bp_kernels_bf16_get returns, or will return unless AMX is refused. */
const char *bp_kernels_bf16_name(void);

/* The instruction set of that table. */
bp_isa bp_kernels_isa(void);

/* Fills a table as if isa were the best that the machine had; 0 if the machine does not have it, or
 * if this process may not use it. */
int bp_kernels_fill(bp_kernels *k, bp_isa isa);

#endif
