/* Private structures of the core: a network, and the buffers of a pass through it. */
#ifndef BP_INTERNAL_H
#define BP_INTERNAL_H

#include <stdatomic.h>

#include "gemm.h"
#include "kernels.h"
#include "mem.h"
#include "pool.h"
#include "rows.h"
#include "thread_trial.h"

/* The row stride of a buffer with n columns. Narrow rows lie next to each other, so that a block of
 * them is one run for the element-wise kernels; wide ones start on cache lines, and not at
 * multiples of 1 KiB, where rows would compete for the same sets of the cache. */
static inline int64_t bp_row_stride(int64_t n, int64_t size) {
    const int64_t line = 64 / size;
    if (n <= 2 * line) return n;
    int64_t ld = bp_round_up(n, line);
    return ld * size % 1024 == 0 ? ld + line : ld;
}

/* Calls the float32 or the float64 version of a function, after the type of a network. */
#define BP_TYPED(dtype, fn, ...)                                                                   \
    ((dtype) == BP_FLOAT32 ? fn##_f32(__VA_ARGS__) : fn##_f64(__VA_ARGS__))

/* A layer of weights, numbered from 0; it owns the buffers of its n_out outputs. */
typedef struct {
    int64_t n_in, n_out;
    int act;            /* bp_act */
    double dropout;     /* rate after the activation; 0 for the output layer */
    int64_t w, b;       /* offsets of W (n_out x n_in) and b (n_out) in the flat vector */
    int64_t packed;     /* offset of the panels of W^T in the packed copy */
    int64_t operand[2]; /* offsets of the bfloat16 panels of W^T, and of W */
} bp_layer;

/* Which loss is computed from the output's pre-activation, its derivative being delta itself. */
static inline int bp_loss_from_z(int loss) {
    return loss == BP_LOSS_CROSS_ENTROPY || loss == BP_LOSS_BINARY_CROSS_ENTROPY;
}

struct bp_net {
    atomic_uint owner; /* 0, or 1 + bp_fork_generation() of the process whose thread is inside */

    int32_t n_layers, dtype, precision, loss;
    double l1, l2;
    uint64_t seed;
    int64_t steps, epochs;

    bp_layer *layers;
    int64_t n_parameters, n_packed;
    int64_t max_width; /* of the layers' inputs and outputs */
    int compact;       /* few enough parameters for each member of a team to read all of them */
    const bp_kernels *kernels;
    const void *phases; /* bp_phases of the network's type and precision */

    void *parameters; /* of the network's type, like all that follow */
    void *packed; /* W^T of every layer in panels, for the forward pass; NULL for a large net, and
                     where there are operands */
    uint16_t *operands; /* panels of W^T and of W, where products take bfloat16 operands, or NULL */
    int packed_stale;   /* the parameters changed since they were packed, or made operands */
    void *shift, *scale; /* n_in each, or NULL */

    bp_loss_fn callback;
    void *callback_user;

    void *derive_memory; /* what derivatives are formed in, kept between calls, or NULL */
    int64_t derive_bytes;

    void *workspace[4]; /* one for each bp_pass_flag in use, kept between calls, or NULL */

    bp_thread_trial trial; /* of training */
};

/* The rows of one pass: a block of a batch, or all of it. */
typedef struct {
    const bp_data *data;
    bp_rows rows;        /* of the data */
    int64_t n;           /* how many */
    int64_t offset;      /* of the first one in its batch: the position that keys dropout */
    double weight_scale; /* 1 over the batch's sum of weights, or over its count of rows */
    int dropout;         /* whether dropout acts */
} bp_block;

typedef enum {
    BP_PASS_FORWARD = 0,  /* outputs only: two buffers take turns */
    BP_PASS_BACKWARD = 1, /* everything that backward needs */
    BP_PASS_KEEP = 3      /* every z and delta too, for a trace */
} bp_pass_flag;

#define real float
#define BP_T(name) name##_f32
#include "pass_decl.inc.h"
#undef real
#undef BP_T

#define real double
#define BP_T(name) name##_f64
#include "pass_decl.inc.h"
#undef real
#undef BP_T

/* BP_OK if the data fit the network: shapes, types, labels in range. */
int bp_data_check(const bp_net *net, const bp_data *data, int needs_y);

/* Takes the network for this thread; gives BP_ERR_BUSY or BP_ERR_FORKED where that cannot be. */
int bp_net_enter(bp_net *net);
void bp_net_leave(bp_net *net);

/* Whether the process forked since the thread inside entered, and this is the child. */
static inline int bp_net_was_forked(const bp_net *net) {
    return atomic_load_explicit(&net->owner, memory_order_relaxed) != bp_fork_generation() + 1;
}

/* Waits for the other members of a team, if there are any. */
static inline void bp_sync(bp_team *team, int member, int members) {
    if (members > 1) bp_team_barrier(team, member);
}

/* The part `part` of `parts` of n elements: [*begin, *end), cut at multiples of `unit`. */
static inline void bp_share(int64_t n, int64_t unit, int part, int parts, int64_t *begin,
                            int64_t *end) {
    int64_t units = (n + unit - 1) / unit;
    *begin = units * part / parts * unit;
    *end = units * (part + 1) / parts * unit;
    if (*begin > n) *begin = n;
    if (*end > n) *end = n;
}

#endif
