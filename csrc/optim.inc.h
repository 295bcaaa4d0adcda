/* An update of a whole vector, for one element type; included by optim.c for float and double. */
static void BP_T(update_vector)(const BP_T(bp_kernels) *kernels, int64_t n, real *parameters,
                                const real *gradient, const bp_optimizer *optimizer) {
    bp_update update = bp_optimizer_resolve(optimizer, optimizer->lr);
    if (optimizer->clip_norm > 0.0)
        update.grad_scale =
            bp_clip_factor(sqrt(kernels->sum_sq(n, gradient)), optimizer->clip_norm);
    kernels->update[optimizer->kind](n, parameters, gradient, optimizer->state[0],
                                     optimizer->state[1], optimizer->state[2], &update);
}
