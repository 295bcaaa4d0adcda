/* The doors of the engine: what code that knows no element type calls.
 *
 * The engine's functions are static, in one unit per element type (f32.c, f64.c). Each unit fills
 * one table. Pointers without a type point to elements of that type. */
#ifndef BP_DOORS_H
#define BP_DOORS_H

#include "engine/derive.h"
#include "engine/fit.h"
#include "engine/lanes.h"
#include "engine/net.h"

/* op(a) (m x k) times op(b) (k x n), with row strides. */
typedef struct {
    int64_t m, n, k, lda, ldb, ldc;
    int transpose_a, transpose_b;
} bp_matmul_shape;

typedef struct {
    int act;
    int64_t rows, n_in, n_out;
} bp_layer_shape;

typedef struct {
    /* Elements of W^T (k x n) in panels. */
    int64_t (*packed_count)(const bp_kernels *kernels, int64_t k, int64_t n);

    /* Chooses how passes are done, and makes room for the weights in the form that they read; 0
     * if there is no memory. */
    int (*choose_phases)(bp_net *net);

    /* Converts to the element type. */
    void (*convert)(int64_t n, const double *from, void *to);

    /* What training changes (bp_net_trained entries): all of it, copied in and out; and, for a
     * network with scales, scales of 1 and the weights of the first layer as W. */
    void (*set_trained)(bp_net *net, const void *values);
    void (*get_trained)(const bp_net *net, void *values);
    void (*reset_scales)(bp_net *net);

    /* Gives back the buffers for passes with these flags (bp_pass_flag). */
    void (*workspace_release)(bp_net *net, int flags);

    /* What bp_net_predict, bp_net_predict_many, bp_net_cost, bp_net_backprop, bp_net_trace,
     * bp_fit_run (one slice) and bp_net_step do, on arguments that have been checked. */
    int (*predict)(bp_net *net, const bp_data *data, void *out);
    int (*predict_many)(bp_net *const *nets, int64_t n, const bp_data *data, void *out,
                        int64_t stride);
    int (*cost)(bp_net *net, const bp_some *some, double *cost);
    int (*backprop)(bp_net *net, const bp_data *data, double *cost, void *gradient, void *dx);
    int (*trace)(bp_net *net, const bp_data *data, void **z, void **a, void **delta);
    int (*fit_slice)(bp_slice *slice);

    /* Makes the buffers that the slice needs, so that it cannot fail for lack of memory. */
    int (*fit_reserve)(const bp_slice *slice);
    int (*fit_flags)(const bp_slice *slice); /* which of the network's buffers these are */
    int (*cost_reserve)(bp_net *net, const bp_some *some);
    int (*cost_flags)(const bp_net *net);

    /* The same for slices of different networks that match each other (bp_lanes_match); the buffers
     * are those of the first network. */
    void (*lanes_run)(const bp_lane_group *group);
    int (*lanes_reserve)(const bp_slice *first);

    int (*single_step)(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double dropout,
                       double *cost);

    /* Bytes that each member of a derivative's team needs; and the team's function, whose context
     * is the bp_derive_job. */
    int64_t (*derive_bytes)(const bp_derive_job *job);
    bp_team_fn derive_team;

    /* An update of a vector that belongs to no network. */
    void (*update_vector)(const bp_kernels *kernels, int64_t n, void *parameters,
                          const void *gradient, const bp_optimizer *optimizer);

    bp_matmul_plan (*plan_matmul)(const bp_matmul_shape *shape, const void *b);
    int (*matmul)(const bp_matmul_shape *shape, const void *a, const void *b, void *c);
    int (*dense_forward)(const bp_layer_shape *shape, const void *x, const void *w, const void *b,
                         void *z, void *y);
    int (*dense_backward)(const bp_layer_shape *shape, const void *x, const void *w, const void *z,
                          const void *dy, void *dx, void *dw, void *db);
    void (*add)(int64_t n, const void *x, const void *y, void *z);
    void (*activation)(const bp_layer_shape *shape, const void *z, void *y);
    void (*activation_derivative)(int act, int64_t n, const void *z, void *y);
} bp_engine;

extern const bp_engine bp_engine_f32, bp_engine_f64;

/* The table of an element type (BP_FLOAT32 or BP_FLOAT64). */
static inline const bp_engine *bp_engine_of(int32_t dtype) {
    return dtype == BP_FLOAT32 ? &bp_engine_f32 : &bp_engine_f64;
}

#endif
