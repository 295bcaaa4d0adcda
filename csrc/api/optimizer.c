/* The public update of a vector that belongs to no network. */
#include "engine/doors.h"
#include "engine/optim.h"
#include "kernels/dispatch.h"
#include "system/fpmode.h"

int bp_optimizer_update(int32_t dtype, int64_t n, void *parameters, const void *gradient,
                        bp_optimizer *optimizer) {
    if (n < 0 || (dtype != BP_FLOAT32 && dtype != BP_FLOAT64) ||
        bp_optimizer_check(optimizer, dtype, n) != BP_OK)
        return BP_ERR_ARGUMENT;
    const uint64_t mode = bp_fp_enter();
    bp_engine_of(dtype)->update_vector(bp_kernels_get(), n, parameters, gradient, optimizer);
    bp_fp_leave(mode);
    optimizer->step++;
    return BP_OK;
}
