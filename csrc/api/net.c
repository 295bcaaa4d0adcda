/* The public functions of a network: making it, its parameters and settings, passes without update.
 */
#include <float.h>
#include <string.h>

#include "api/guard.h"
#include "engine/bf16.h"
#include "engine/doors.h"
#include "kernels/dispatch.h"

/* Networks up to this many bytes of parameters keep W^T of every layer in panels between calls. For
 * larger networks the product packs what it needs, and many rows share it. */
static const int64_t COMPACT_BYTES = 16 * 1024 * 1024;

/* ---- one thread at a time ---- */

static int status_of_owner(unsigned owner) {
    if (owner == 0) return BP_OK;
    return owner == bp_fork_generation() + 1 ? BP_ERR_BUSY : BP_ERR_FORKED;
}

int bp_net_enter(bp_net *net) {
    unsigned owner = 0;
    if (atomic_compare_exchange_strong_explicit(&net->owner, &owner, bp_fork_generation() + 1,
                                                memory_order_acquire, memory_order_relaxed))
        return BP_OK;
    return status_of_owner(owner);
}

void bp_net_leave(bp_net *net) {
    atomic_store_explicit(&net->owner, 0, memory_order_release);
}

int bp_net_status(const bp_net *net) {
    return status_of_owner(atomic_load_explicit(&net->owner, memory_order_relaxed));
}

/* ---- making and unmaking ---- */

static int precision_is_valid(const bp_net_config *c) {
    return c->precision == BP_PRECISION_FLOAT32 ||
           (c->dtype == BP_FLOAT32 && bp_bf16_planes(c->precision) > 0);
}

static int smoothing_is_valid(const bp_net_config *c) {
    return c->label_smoothing == 0.0 || (c->loss == BP_LOSS_CROSS_ENTROPY &&
                                         c->label_smoothing > 0.0 && c->label_smoothing <= 1.0);
}

static int is_factor(double x) {
    return x >= 0.0 && x <= DBL_MAX;
}

static int factors_are_valid(const bp_net_config *c, const double *factors) {
    for (int64_t i = 0; factors && i < 2 * (int64_t)c->n_layers; i++)
        if (!is_factor(factors[i])) return 0;
    return 1;
}

static int scale_factors_are_valid(const bp_net_config *c) {
    const double *of = c->scale_factors;
    return !c->has_scales || (is_factor(of[0]) && is_factor(of[1]) && is_factor(of[2]));
}

static int config_is_valid(const bp_net_config *c) {
    if (c->n_layers < 1 || (c->dtype != BP_FLOAT32 && c->dtype != BP_FLOAT64) ||
        !precision_is_valid(c) || c->loss < 0 || c->loss > BP_LOSS_CALLBACK || !(c->l1 >= 0.0) ||
        !(c->l2 >= 0.0) || !smoothing_is_valid(c) || !factors_are_valid(c, c->lr_factors) ||
        !factors_are_valid(c, c->decay_factors) || !factors_are_valid(c, c->eps_factors) ||
        !scale_factors_are_valid(c) || c->widths[0] < 1 || (uintptr_t)c->parameters % BP_ALIGNMENT)
        return 0;
    for (int32_t l = 0; l < c->n_layers; l++) {
        const int32_t act = c->activations[l];
        const int is_last = l == c->n_layers - 1;
        if (c->widths[l + 1] < 1 || act < 0 || act >= BP_ACT_COUNT ||
            (act == BP_ACT_SOFTMAX && !is_last))
            return 0;
        if (!is_last && !(c->dropout[l] >= 0.0 && c->dropout[l] < 1.0)) return 0;
    }
    const int32_t output = c->activations[c->n_layers - 1];
    return (c->loss != BP_LOSS_CROSS_ENTROPY || output == BP_ACT_SOFTMAX) &&
           (c->loss != BP_LOSS_BINARY_CROSS_ENTROPY || output == BP_ACT_SIGMOID);
}

static bp_factors factors_of(const bp_net_config *c, int64_t block) {
    return (bp_factors){
        .lr = c->lr_factors ? c->lr_factors[block] : 1.0,
        .decay = c->decay_factors ? c->decay_factors[block] : 1.0,
        .eps = c->eps_factors ? c->eps_factors[block] : 1.0,
    };
}

/* Fills the layers and the counts; 0 if a size overflows. */
static int lay_out_layers(bp_net *net, const bp_net_config *c) {
    int64_t offset = 0, packed = 0, limit;
    net->max_width = c->widths[0];
    for (int32_t l = 0; l < c->n_layers; l++) {
        bp_layer *layer = &net->layers[l];
        const int64_t n_in = c->widths[l], n_out = c->widths[l + 1];
        *layer = (bp_layer){.n_in = n_in, .n_out = n_out, .act = c->activations[l]};
        layer->dropout = l < c->n_layers - 1 ? c->dropout[l] : 0.0;
        for (int32_t i = 0; i < 2; i++) {
            const bp_factors own = layer->of[i] = factors_of(c, 2 * (int64_t)l + i);
            net->has_factors |= own.lr != 1.0 || own.decay != 1.0 || own.eps != 1.0;
        }
        layer->w = offset;
        layer->packed = packed;
        if (n_in > INT32_MAX || n_out > INT32_MAX || offset > INT64_MAX / 512 ||
            !bp_mul_size(n_in + 1, n_out + 64, &limit) || limit > INT64_MAX / 512)
            return 0;
        layer->b = offset + n_in * n_out;
        offset = layer->b + n_out;
        packed += bp_engine_of(net->dtype)->packed_count(net->kernels, n_in, n_out);
        packed = bp_round_up(packed, BP_ALIGNMENT);
        if (net->max_width < n_out) net->max_width = n_out;
    }
    net->n_parameters = offset;
    net->n_packed = packed;
    return 1;
}

void bp_net_destroy(bp_net *net) {
    if (!net) return;
    for (int flags = 0; flags < BP_PASS_COUNT; flags++)
        bp_engine_of(net->dtype)->workspace_release(net, flags);
    bp_free(net->derive_memory);
    bp_free(net->layers);
    if (net->has_own_parameters) bp_free(net->parameters);
    bp_free(net->raw);
    bp_free(net->packed);
    bp_free(net->operands);
    bp_free(net->shift);
    bp_free(net->scale);
    bp_free(net);
}

/* Makes the parameters, all zero, where the caller wants them; 0 if there is no memory. */
static int place_parameters(bp_net *net, const bp_net_config *c) {
    const size_t size = bp_element_size(net->dtype);
    net->has_own_parameters = !c->parameters;
    net->parameters = c->parameters ? c->parameters : bp_alloc(net->n_parameters, size);
    if (c->parameters) memset(net->parameters, 0, (size_t)net->n_parameters * size);
    return net->parameters != NULL;
}

/* Makes the scales, all 1, and what belongs to them, if there are any; 0 if there is no memory. */
static int place_scales(bp_net *net, const bp_net_config *c) {
    if (!c->has_scales) return 1;
    const double *of = c->scale_factors;
    net->n_scales = c->widths[0];
    net->of_scales = (bp_factors){.lr = of[0], .decay = of[1], .eps = of[2]};
    net->raw = bp_alloc(bp_net_raw_count(net) + net->n_scales, bp_element_size(net->dtype));
    if (net->raw) bp_engine_of(net->dtype)->reset_scales(net);
    return net->raw != NULL;
}

int bp_net_create(const bp_net_config *config, bp_net **out) {
    *out = NULL;
    if (!config_is_valid(config)) return BP_ERR_ARGUMENT;
    const size_t size = bp_element_size(config->dtype);
    bp_net *net = bp_alloc(1, sizeof *net);
    if (!net) return BP_ERR_MEMORY;
    atomic_init(&net->owner, 0);
    net->n_layers = config->n_layers;
    net->dtype = config->dtype;
    net->precision = config->precision;
    net->loss = config->loss;
    net->l1 = config->l1;
    net->l2 = config->l2;
    net->label_smoothing = config->label_smoothing;
    net->seed = config->seed;
    net->kernels = bp_kernels_get();
    net->packed_stale = 1;
    net->layers = bp_alloc(net->n_layers, sizeof *net->layers);
    int failed = !net->layers || !lay_out_layers(net, config) || !place_parameters(net, config) ||
                 !place_scales(net, config);
    net->compact = net->n_parameters * (int64_t)size <= COMPACT_BYTES;
    if (!failed) failed = !bp_engine_of(net->dtype)->choose_phases(net);
    if (failed) {
        bp_net_destroy(net);
        return BP_ERR_MEMORY;
    }
    *out = net;
    return BP_OK;
}

/* ---- parameters and settings ---- */

int64_t bp_net_parameter_count(const bp_net *net) {
    return net->n_parameters;
}

const void *bp_net_parameters(const bp_net *net) {
    return net->parameters;
}

const void *bp_net_scales(const bp_net *net) {
    return net->raw;
}

int64_t bp_net_trained_count(const bp_net *net) {
    return bp_net_trained(net);
}

int bp_net_set_trained(bp_net *net, int64_t count, const void *values) {
    if (count != bp_net_trained(net)) return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    bp_engine_of(net->dtype)->set_trained(net, values);
    bp_net_leave(net);
    return BP_OK;
}

int bp_net_set_parameters(bp_net *net, int64_t offset, int64_t count, const void *values) {
    if (offset < 0 || count < 0 || offset > net->n_parameters - count) return BP_ERR_ARGUMENT;
    const size_t size = bp_element_size(net->dtype);
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    memmove((char *)net->parameters + (size_t)offset * size, values, (size_t)count * size);
    net->packed_stale = 1;
    if (net->n_scales > 0 && count > 0 && offset < net->layers[0].b)
        bp_engine_of(net->dtype)->reset_scales(net);
    bp_net_leave(net);
    return BP_OK;
}

int bp_net_set_scaling(bp_net *net, const double *shift, const double *scale) {
    const int64_t n = net->layers[0].n_in;
    void *new_shift = NULL, *new_scale = NULL;
    if (!shift != !scale) return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    if (shift) {
        const size_t size = bp_element_size(net->dtype);
        new_shift = bp_alloc(n, size);
        new_scale = bp_alloc(n, size);
        if (!new_shift || !new_scale) {
            bp_free(new_shift);
            bp_free(new_scale);
            bp_net_leave(net);
            return BP_ERR_MEMORY;
        }
        bp_engine_of(net->dtype)->convert(n, shift, new_shift);
        bp_engine_of(net->dtype)->convert(n, scale, new_scale);
    }
    bp_free(net->shift);
    bp_free(net->scale);
    net->shift = new_shift;
    net->scale = new_scale;
    bp_net_leave(net);
    return BP_OK;
}

int bp_net_set_loss_callback(bp_net *net, bp_loss_fn loss, void *user) {
    if (net->loss != BP_LOSS_CALLBACK) return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    net->callback = loss;
    net->callback_user = user;
    bp_net_leave(net);
    return BP_OK;
}

int bp_net_get_state(bp_net *net, void *trained, int64_t *steps, int64_t *epochs) {
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    if (trained) bp_engine_of(net->dtype)->get_trained(net, trained);
    *steps = net->steps;
    *epochs = net->epochs;
    bp_net_leave(net);
    return BP_OK;
}

int bp_net_set_counters(bp_net *net, int64_t steps, int64_t epochs) {
    if (steps < 0 || steps > BP_MAX_COUNT || epochs < 0 || epochs > BP_MAX_COUNT)
        return BP_ERR_ARGUMENT;
    int status = bp_net_enter(net);
    if (status != BP_OK) return status;
    net->steps = steps;
    net->epochs = epochs;
    bp_net_leave(net);
    return BP_OK;
}

/* ---- data ---- */

static int is_real_matrix(const bp_matrix *m) {
    return m->dtype == BP_FLOAT32 || m->dtype == BP_FLOAT64 || m->dtype == BP_UINT8;
}

static int labels_in_range(const bp_matrix *y, int64_t n_out) {
    const char *p = y->data;
    for (int64_t i = 0; i < y->rows; i++, p += y->row_stride) {
        const int64_t label = *(const int64_t *)(const void *)p;
        if (label < 0 || label >= n_out) return 0;
    }
    return 1;
}

int bp_data_check(const bp_net *net, const bp_data *data, int needs_y) {
    const bp_matrix *x = &data->x, *y = &data->y;
    const int64_t n_out = net->layers[net->n_layers - 1].n_out;
    if (x->rows < 0 || x->cols != net->layers[0].n_in || !is_real_matrix(x)) return BP_ERR_ARGUMENT;
    if (!needs_y) return BP_OK;
    if (x->rows < 1 || y->rows != x->rows || !y->data ||
        (net->loss == BP_LOSS_CALLBACK && !net->callback))
        return BP_ERR_ARGUMENT;
    if (y->dtype == BP_INT64)
        return net->loss == BP_LOSS_CROSS_ENTROPY && y->cols == 1 && labels_in_range(y, n_out)
                   ? BP_OK
                   : BP_ERR_ARGUMENT;
    return is_real_matrix(y) && y->cols == n_out ? BP_OK : BP_ERR_ARGUMENT;
}

int bp_rows_check(const bp_data *data, const int64_t *index, int64_t rows) {
    if (rows < 1 || (!index && rows > data->x.rows)) return BP_ERR_ARGUMENT;
    for (int64_t i = 0; index && i < rows; i++)
        if (index[i] < 0 || index[i] >= data->x.rows) return BP_ERR_ARGUMENT;
    return BP_OK;
}

/* ---- passes ---- */

int bp_net_predict(bp_net *net, const bp_matrix *x, void *out) {
    const bp_data data = {.x = *x};
    int status = bp_data_check(net, &data, 0);
    if (status != BP_OK || x->rows == 0) return status;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->predict(net, &data, out);
    bp_net_leave(net);
    return status;
}

int bp_net_predict_rows(bp_net *net, const void *x, int64_t rows, void *out) {
    const int64_t n_in = net->layers[0].n_in;
    const int64_t size = (int64_t)bp_element_size(net->dtype);
    if (((uintptr_t)x | (uintptr_t)out) % (uintptr_t)size) return BP_ERR_ARGUMENT;
    const bp_matrix matrix = {
        .data = x,
        .dtype = net->dtype,
        .rows = rows,
        .cols = n_in,
        .row_stride = n_in * size,
        .col_stride = size,
    };
    return bp_net_predict(net, &matrix, out);
}

int bp_net_cost(bp_net *net, const bp_data *data, double *cost) {
    int status = bp_data_check(net, data, 1);
    if (status != BP_OK) return status;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    const bp_some all = {.data = data, .rows = data->x.rows, .max_threads = BP_MAX_THREADS};
    status = bp_engine_of(net->dtype)->cost(net, &all, cost);
    bp_net_leave(net);
    return status;
}

int bp_net_backprop(bp_net *net, const bp_data *data, double *cost, void *gradient, void *dx) {
    int status = bp_data_check(net, data, 1);
    if (status != BP_OK) return status;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->backprop(net, data, cost, gradient, dx);
    bp_net_leave(net);
    return status;
}

int bp_net_trace(bp_net *net, const bp_data *data, void **z, void **a, void **delta) {
    const bp_data inputs = {.x = data->x}, *used = delta ? data : &inputs;
    int status = bp_data_check(net, used, delta != NULL);
    if (status != BP_OK || data->x.rows == 0) return status;
    status = bp_net_enter(net);
    if (status != BP_OK) return status;
    status = bp_engine_of(net->dtype)->trace(net, used, z, a, delta);
    bp_net_leave(net);
    return status;
}
