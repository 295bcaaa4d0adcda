/* The engine's types and functions, once, on the element type `real`.
 *
 * f32.c and f64.c define `real`, include this header and then the bodies (*.inc.h). So each type is
 * one translation unit, in which functions are static and have plain names; other units reach them
 * through the table of doors.h. What is not typed has headers of its own. */
#include <stdatomic.h>

#include "engine/gemm.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/plan.h"
#include "engine/product_plan.h"
#include "engine/rows.h"
#include "threads/team.h"

/* The kernels of the element type. */
static inline const real_kernels *kernels_of(const bp_net *net) {
    return &net->kernels->ELEMENT;
}

/* ---- rows: what the caller gave, in the core's own buffers ---- */

/* dst (n x src->cols, row stride ld) = the rows, as (value - shift) * scale. */
static void rows_load(const real_kernels *kernels, const bp_matrix *src, const bp_rows *rows,
                      int64_t n, const real *shift, const real *scale, real *dst, int64_t ld);

/* ---- products: the blocked driver around the one micro-kernel, and the packing it uses ---- */

/* c (m x n) = a (m x k) b (k x n), plus c if accumulate. Element (i, j) of an operand x is
 * x[i * x_rs + j * x_cs]; one of the two strides of a, and one of b, is 1. */
typedef struct {
    int64_t m, n, k;
    const real *a;
    int64_t a_rs, a_cs;
    const real *b;
    int64_t b_rs, b_cs;
    const real *b_packed; /* b as pack_b lays it out, or NULL; where given, b is not read */
    real *c;
    int64_t c_rs;
    int accumulate;

    bp_epilogue epilogue;
    int act;
    const real *bias;  /* ACT_FWD: n values or NULL */
    int bias_of_rows;  /* bias has m values, one for each row */
    real *act_out;     /* ACT_FWD: where the activation goes; c itself, or another (m x n) */
    const real *saved; /* ACT_BWD: what the act_bwd slot reads, (m x n) */
    int64_t act_rs;    /* row stride of act_out or saved */
} bp_product;

/* Rows m0 <= i < m1 and columns n0 <= j < n1 of a result. */
typedef struct {
    int64_t m0, m1, n0, n1;
} bp_tile;

/* Cuts between columns lie at multiples of this: whole vectors, and whole blocks of bfloat16
 * operands. */
enum { TILE_COLUMNS = 32 };

typedef struct {
    int64_t rows, cols;
} bp_tile_size;

/* Elements of scratch that product_run needs; the same for every product. */
static int64_t product_scratch(const real_kernels *kernels);

/* Computes rows m0 <= i < m1, columns n0 <= j < n1 of the product on the calling thread, epilogue
 * included. n0 is a multiple of kernels->gemm.nr. The bits of an element do not depend on the
 * ranges. scratch is 64-byte aligned. */
static void product_run(const real_kernels *kernels, const bp_product *product, int64_t m0,
                        int64_t m1, int64_t n0, int64_t n1, real *scratch);

/* The share of part `part` of `parts` (0 <= part < parts) in the tiles of an m x n result:
 * ranges[4] = m0, m1, n0, n1, columns in whole panels; empty if nothing is left to share. */
static void product_share(const real_kernels *kernels, int64_t m, int64_t n, int part, int parts,
                          int64_t ranges[4]);

/* Elements of a packed copy of b (k x n): panels of nr columns, each (k x nr) row-major; what the
 * last panel has beyond b is neither written nor read. */
static int64_t packed_count(const real_kernels *kernels, int64_t k, int64_t n);

/* Packs panels p0 <= p < p1 of b (panel p holds columns p * nr …). */
static void pack_b(const real_kernels *kernels, int64_t k, int64_t n, const real *b, int64_t b_rs,
                   int64_t b_cs, int64_t p0, int64_t p1, real *packed);

/* ---- dense: one layer, forward, and backward to the inputs and to the weights ----
 *
 * Each function computes the share of one member of a team in the layer's product; the shares are
 * tiles of the result, so that no two members write the same element and the bits do not depend on
 * how many there are. */

/* A layer applied to a block of rows, and who computes which share of it. */
typedef struct {
    const real_kernels *kernels;
    int64_t rows, n_in, n_out;
    int64_t lddw;       /* row stride of dw, or 0 for n_in */
    const real *w;      /* (n_out x n_in) */
    const real *packed; /* the panels of W^T, or NULL */
    int member, members;
    real *scratch; /* of this member, as product_scratch asks */
} bp_dense;

/* y (rows x n_out, stride ldy) = act(x W^T + b). z, with the stride of y, keeps the pre-activation
 * unless it is NULL; b may be NULL. Softmax stops at the pre-activation, which then goes to y. */
static bp_tile dense_fwd(const bp_dense *d, int act, const real *x, int64_t ldx, const real *b,
                         real *z, real *y, int64_t ldy);

/* dx (rows x n_in, stride lddx) = delta W, times act'(saved) unless saved, with the stride of dx,
 * is NULL: the delta of the layer below. */
static bp_tile dense_bwd_x(const bp_dense *d, const real *delta, int64_t ldd, int act,
                           const real *saved, real *dx, int64_t lddx);

/* dw (n_out x n_in, stride lddw) = delta^T x and db (n_out) = column sums of delta, or added to
 * them if accumulate. Either may be NULL. */
static void dense_bwd_w(const bp_dense *d, const real *x, int64_t ldx, const real *delta,
                        int64_t ldd, real *dw, real *db, int accumulate);

/* ---- loss: the cost of each example, and delta of the output layer ---- */

/* What the rows are: how many, how wide, and how they became what they are. */
typedef struct {
    int64_t rows, n_out;
    int loss, act; /* of the network, and of its output layer */
} bp_loss_rows;

/* out, z and delta have stride ld; y is C-contiguous. */
typedef struct {
    const real *out; /* a_L; for cross entropy and its like z_L, see bp_loss_from_z */
    const real *z;   /* z_L where the output's activation needs it, else unused */
    int64_t ld;
    const real *y; /* or NULL: labels */
    const int64_t *labels;
    const real *row_scale;
    real *loss;
    real *delta; /* or NULL: the loss alone */
} bp_loss_buffers;

/* The loss of each row, and delta = row_scale * dloss/dz. */
static void loss_run(const real_kernels *kernels, const bp_loss_rows *rows,
                     const bp_loss_buffers *buffers);

/* The same through the user's function; BP_ERR_CALLBACK if it fails. */
static int loss_user(const real_kernels *kernels, const bp_loss_rows *rows,
                     const bp_loss_buffers *buffers, bp_loss_fn loss, void *user);

/* ---- pass: a block of rows forward and backward ----
 *
 * Layers are numbered from 0; a[l] are the inputs of layer l and a[l + 1] its outputs, so a[0] is
 * the batch. Rows are examples. */

/* The buffers of a pass. */
typedef struct {
    int64_t capacity;     /* rows that fit */
    int flags;            /* bp_pass_flag */
    int64_t *ld;          /* n_layers + 1 row strides: ld[l] is that of a[l] */
    const real **a;       /* n_layers + 1: what is passed on, after dropout */
    real **z;             /* per layer: the pre-activation, or NULL where it is not kept */
    real **out;           /* per layer: the activation before dropout */
    real **after_dropout; /* per layer: a[l + 1], writable; out[l] where nothing is dropped */
    uint8_t **mask;       /* per layer: 1 for kept units (row stride n_out), or NULL */
    real **delta; /* per layer: dC/dz, stride ld[l + 1]; layers may share a buffer, also with
                   outputs that are no longer needed */
    real *x;      /* room for a[0] where the caller's rows cannot be used as they are */
    real *y;      /* targets (n_out columns, no padding) */
    int64_t *labels;
    real *loss;      /* per row */
    real *row_scale; /* per row: its weight over the sum of the weights */
    real *reals;     /* the blocks that the buffers are cut from */
    uint8_t *bytes;
    void *operands; /* what another precision keeps beside them, one block, or NULL */
} bp_pass;

/* One member's part in a pass: the network, the buffers, and which share of each phase it does. */
typedef struct {
    const bp_net *net;
    const real_kernels *kernels;
    const real *parameters; /* the network's, or a replica's; NULL where members share a pass */
    bp_pass *pass;
    bp_team *team;
    int member, members;
    real *scratch;
} bp_worker;

/* What a pass consists of; the network's precision decides how it is done. Every member calls the
 * phases. The caller puts bp_sync between them; forward itself does so between its layers. */
typedef struct {
    /* Makes the buffers for up to `capacity` rows of a network; on BP_ERR_MEMORY nothing is held.
     */
    int (*create)(const bp_net *net, int64_t capacity, int flags, bp_pass *pass);

    /* Elements of a worker's scratch. */
    int64_t (*scratch)(const bp_net *net);

    /* Loads this member's share of the rows: inputs, targets, weights. */
    void (*load)(const bp_worker *w, const bp_block *block);

    /* From a[0] to the outputs. For cross entropy and similar losses the outputs hold the
     * pre-activation, which the loss takes, unless apply_output. If last is not NULL, the outputs
     * go there, with stride last_ld. */
    void (*forward)(const bp_worker *w, const bp_block *block, int apply_output, real *last,
                    int64_t last_ld);

    /* The loss of each row of this member's share and, unless the pass is forward only, delta of
     * the output layer. A user's loss is called by member 0, for all rows. */
    int (*loss)(const bp_worker *w, const bp_block *block);

    /* From delta of layer l to delta of the layer below, or from the first layer to the inputs (dx,
     * rows x n_in) unless dx is NULL. */
    void (*backward)(const bp_worker *w, const bp_block *block, int l, real *dx);

    /* This member's share of the gradient of layer l: W, then b; added to if accumulate. */
    void (*gradient)(const bp_worker *w, const bp_block *block, int l, real *gradient,
                     int accumulate);

    /* Computes a tile of the gradient by this member alone, its rows cut at multiples of pack_unit
     * and its columns at multiples of TILE_COLUMNS. The gradient of W goes to dw, with row stride
     * lddw. If the tile begins at column 0, the gradient of b for its rows goes to db. */
    void (*gradient_tile)(const bp_worker *w, const bp_block *block, int l, bp_tile tile, real *dw,
                          int64_t lddw, real *db);

    /* The largest size that such tiles should have, for n_in columns and blocks of `block` rows.
     */
    bp_tile_size (*gradient_tile_size)(const bp_net *net, int64_t n_in, int64_t block);

    /* Brings a tile of a layer's W, cut in the same way, into the form that products read, if that
     * form is a different one. */
    int64_t (*pack_unit)(const bp_net *net);
    void (*pack_tile)(bp_net *net, int l, bp_tile tile);

    /* Prepares this member's share of whatever else dx needs of W of layer 0, at any time before
     * the phase of dx; or NULL. */
    void (*pack_for_inputs)(bp_net *net, int member, int members);
} bp_phases;

/* The phases of a network of this type. */
static inline const bp_phases *phases_of(const bp_net *net) {
    return net->phases;
}

/* The phases of a plan's passes. */
static const bp_phases *phases_for(const bp_net *net, const bp_plan *plan);

/* The pieces that phases of every precision are made of. */

static int pass_create(const bp_net *net, int64_t capacity, int flags, bp_pass *pass);
static void pass_destroy(bp_pass *pass);

/* Chooses what each layer reads: the caller's own rows where they can be used as they are, and
 * activations before or after dropout. One member only. */
static void pass_bind(const bp_net *net, bp_pass *pass, const bp_block *block);

/* Rows begin <= i < end of the block: inputs, to dst with stride ld; and targets and weights. */
static void pass_load_inputs(const bp_worker *w, const bp_block *block, int64_t begin, int64_t end,
                             real *dst, int64_t ld);
static void pass_load_targets(const bp_worker *w, const bp_block *block, int64_t begin,
                              int64_t end);

/* Where the targets of rows, and their weights over the sum of all, go. */
typedef struct {
    real *y;
    int64_t *labels;
    real *row_scale;
} bp_targets;

/* Whether targets go to labels alone, and not to y: where the data have labels, unless these are
 * smoothed. */
static int targets_are_labels(const bp_net *net, const bp_data *data);

/* The targets of n rows of the data, smoothed. A label that is not a class becomes class 0, with a
 * row_scale of nan. */
static void load_targets(const bp_net *net, const bp_data *data, const bp_rows *rows, int64_t n,
                         double weight_scale, bp_targets to);

/* Layer l applied to some rows, by one member of a team; member 0 of 1 if a thread works alone. */
static bp_dense dense_of_layer(const bp_net *net, int l, int64_t rows, int member, int members,
                               real *scratch);

/* Draws the mask of a tile of a layer's outputs, and applies it to what is passed on; and applies
 * it to a tile of its delta. */
static void pass_drop_forward(const bp_worker *w, const bp_block *block, int l, bp_tile tile);
static void pass_drop_backward(const bp_worker *w, const bp_block *block, int l, bp_tile tile);

/* The dropout rate after layer l, in the step that the block belongs to. */
static double pass_drop_rate(const bp_worker *w, const bp_block *block, int l);

/* The activation that ends layer l in a forward pass, see the phase. */
static int pass_act(const bp_net *net, int l, int apply_output);

/* Softmax over this member's rows of the outputs; syncs. */
static void pass_softmax(const bp_worker *w, const bp_block *block, real *out, int64_t ld);

/* What the activation's derivative of layer l is computed from; NULL where it is 1. */
static const real *pass_saved(const bp_net *net, const bp_pass *pass, int l);

/* The rows of this member's share of the loss, cut at multiples of `unit`; the loss of rows
 * begin <= i < end, and delta. */
static void pass_loss_share(const bp_worker *w, const bp_block *block, int64_t unit, int64_t *begin,
                            int64_t *end);
static int pass_loss(const bp_worker *w, const bp_block *block, int64_t begin, int64_t end);

/* ---- workspace and batch ---- */

/* Buffers that a network keeps between calls. */
typedef struct {
    int n_passes, n_members, n_parts;
    int64_t capacity; /* rows of each pass */
    bp_pass *passes;  /* one, or one per member */
    real *scratch;    /* of all members */
    int64_t scratch_each;
    real *gradients;    /* a flat vector for each part, or room for one layer at a time */
    int64_t n_gradient; /* entries of all of them */
    real *replicas;     /* what members that train replicas keep, or NULL */
    int64_t n_replicas; /* entries of all of it */
    double *part_cost;  /* n_parts, twice: replicas use them in alternate steps */
    double *partial;    /* sums of chunks of the parameters */
} bp_workspace;

/* The parameters that a member trains, and the states of their optimizer: the network's and the
 * caller's, or copies. */
typedef struct {
    real *parameters;
    real *state[3];
} bp_replica;

/* What the members of a team share while they work on a batch. */
typedef struct {
    bp_net *net;
    bp_workspace *workspace;
    bp_plan plan;
    bp_want want;
    bp_batch batch;
    real *gradient;  /* of the first part, and in the end of the whole batch */
    real *gradients; /* of the others: that of part p is p * gradient_stride entries on */
    double *costs;   /* of the parts */
    int user_status; /* of the user's loss */
    atomic_int next; /* the next part that no member has taken, where there are several members */

    const bp_optimizer *optimizer; /* of the update, with the scalars of the coming step */
    bp_update update;
} bp_job;

/* Work on a network, in buffers that serve the plan. */
static bp_job job_make(bp_net *net, bp_workspace *workspace, const bp_plan *plan, bp_want want);

/* The workspace of a network for passes with these flags (bp_pass_flag), made or enlarged to serve
 * the plan. If there is no memory: NULL, and the old workspace is gone. */
static bp_workspace *workspace_reserve(bp_net *net, const bp_plan *plan, int flags);
static void workspace_release(bp_net *net, int flags);

/* Refreshes the packed copy of the weights if it is out of date, and whatever else derivatives in
 * the inputs need. All members; syncs. */
static void batch_pack(bp_job *job, bp_team *team, int member, int members);

/* Outputs, costs and gradients of the parts of a batch. All members; syncs at its end. */
static void batch_run(bp_job *job, bp_team *team, int member, int members);

/* The same for outputs alone and a plan in parts, without syncs: members may be missing. */
static void batch_outputs(bp_job *job, int member, int members);

/* The cost of the batch that was run, penalties included; every member computes the same. */
static double batch_cost(const bp_job *job);

/* Adds up the parts' gradients, and the penalties', into job->gradient. All members; syncs. */
static void batch_gradient(bp_job *job, bp_team *team, int member, int members);

/* Updates the parameters from the parts' gradients, and the packed copy, unless the plan is fused:
 * then the backward pass has done it. All members; no sync at its end. */
static void batch_update(bp_job *job, bp_team *team, int member, int members);
