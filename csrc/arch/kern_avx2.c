#include "kernels.h"
void bp_kernels_init_avx2(bp_kernels *k) {
    (void)k;
}
