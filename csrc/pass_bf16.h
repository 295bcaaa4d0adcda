/* The passes of networks whose products take bfloat16 operands. */
#ifndef BP_PASS_BF16_H
#define BP_PASS_BF16_H

#include "internal.h"

/* Products of operands of one plane or several, see bf16.h; everything else is float32. */
extern const bp_phases_f32 bp_phases_bf16;

/* Makes room for the operands of the weights, out of date; 0 where there is no memory. */
int bp_bf16_weights_create(bp_net *net);

#endif
