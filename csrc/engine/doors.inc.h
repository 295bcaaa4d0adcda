/* The table of the element type, and what adapts functions to it. */

static int64_t count_packed(const bp_kernels *kernels, int64_t k, int64_t n) {
    return packed_count(&kernels->ELEMENT, k, n);
}

static void convert_doubles(int64_t n, const double *from, void *to) {
    for (int64_t i = 0; i < n; i++)
        ((real *)to)[i] = (real)from[i];
}

static int64_t derive_bytes(const bp_derive_job *job) {
    return space_make(job, NULL, NULL);
}

const bp_engine ENGINE = {
    .packed_count = count_packed,
    .choose_phases = choose_phases,
    .convert = convert_doubles,
    .set_trained = set_trained,
    .get_trained = get_trained,
    .reset_scales = reset_scales,
    .workspace_release = workspace_release,
    .predict = net_predict,
    .predict_many = predict_many,
    .cost = net_cost,
    .backprop = net_backprop,
    .trace = net_trace,
    .fit_slice = fit_slice,
    .fit_reserve = fit_reserve,
    .fit_flags = fit_flags,
    .cost_reserve = cost_reserve,
    .cost_flags = cost_flags,
    .lanes_run = lanes_run,
    .lanes_reserve = lanes_reserve,
    .single_step = single_step,
    .derive_bytes = derive_bytes,
    .derive_team = derive_team,
    .update_vector = update_vector,
    .plan_matmul = plan_matmul,
    .matmul = matmul,
    .dense_forward = dense_forward,
    .dense_backward = dense_backward,
    .add = add_vectors,
    .activation = activation,
    .activation_derivative = activation_derivative,
};
