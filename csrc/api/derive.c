/* The public functions for derivatives. */
#include "api/guard.h"
#include "engine/derive.h"
#include "engine/doors.h"
#include "engine/plan.h"

static int derive(bp_derive_job *job) {
    bp_net *net = job->net;
    const bp_rows all = {NULL, 0};
    int status = bp_data_check(net, job->data, job->kind >= BP_HVP);
    if (status != BP_OK || job->data->x.rows == 0) return status;
    if (bp_derive_is_sum(job->kind) && net->loss == BP_LOSS_CALLBACK) return BP_ERR_ARGUMENT;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    job->at = bp_alloc((int64_t)net->n_layers + 2, sizeof *job->at);
    if (job->at) {
        job->weight_scale = bp_weight_scale(job->data, &all, job->data->x.rows);
        bp_derive_plan(job);
        job->member_bytes = bp_engine_of(net->dtype)->derive_bytes(job);
    }
    if (!job->at || !bp_derive_reserve(job)) {
        status = BP_ERR_MEMORY;
    } else {
        bp_pool_run(job->threads, bp_engine_of(net->dtype)->derive_team, job);
        status = job->user_status;
    }
    bp_free(job->at);
    bp_derive_release(net);
    bp_net_leave(net);
    return status;
}

int bp_net_jacobian(bp_net *net, const bp_matrix *x, void *jacobian) {
    const bp_data data = {.x = *x};
    bp_derive_job job = {
        .net = net, .kind = bp_derive_jacobian_way(net), .data = &data, .out = jacobian};
    return derive(&job);
}

int bp_net_vjp(bp_net *net, const bp_matrix *x, const void *v, void *dx) {
    const bp_data data = {.x = *x};
    bp_derive_job job = {.net = net, .kind = BP_VJP, .data = &data, .v = v, .out = dx};
    return derive(&job);
}

int bp_net_jvp(bp_net *net, const bp_matrix *x, const void *dx, void *a, void *da) {
    const bp_data data = {.x = *x};
    bp_derive_job job = {
        .net = net, .kind = BP_JVP, .data = &data, .v = dx, .out = da, .values = a};
    return derive(&job);
}

int bp_net_hessian_diagonal(bp_net *net, const bp_matrix *x, void *second) {
    const bp_data data = {.x = *x};
    bp_derive_job job = {.net = net, .kind = BP_HESSIAN_DIAGONAL, .data = &data, .out = second};
    return derive(&job);
}

int bp_net_laplacian(bp_net *net, const bp_matrix *x, void *laplacian) {
    const bp_data data = {.x = *x};
    bp_derive_job job = {.net = net, .kind = BP_LAPLACIAN, .data = &data, .out = laplacian};
    return derive(&job);
}

int bp_net_hvp(bp_net *net, const bp_data *data, const void *v, void *product) {
    bp_derive_job job = {.net = net, .kind = BP_HVP, .data = data, .v = v, .out = product};
    return derive(&job);
}

int bp_net_gauss_newton_product(bp_net *net, const bp_data *data, const void *v, void *product) {
    bp_derive_job job = {.net = net, .kind = BP_GAUSS_NEWTON, .data = data, .v = v, .out = product};
    return derive(&job);
}

int bp_net_per_sample_gradients(bp_net *net, const bp_data *data, void *gradients) {
    bp_derive_job job = {.net = net, .kind = BP_SAMPLE_GRADIENTS, .data = data, .out = gradients};
    return derive(&job);
}

int bp_net_per_sample_gradient_norms(bp_net *net, const bp_data *data, void *norms) {
    bp_derive_job job = {.net = net, .kind = BP_SAMPLE_NORMS, .data = data, .out = norms};
    return derive(&job);
}
