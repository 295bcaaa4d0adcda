#include "kernels.h"
void bp_kernels_init_neon(bp_kernels *k) {
    (void)k;
}
