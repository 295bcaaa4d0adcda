/* Public C API of the pybackprop core.
 *
 * Every function that can fail returns a bp_status and changes nothing on failure; nothing prints,
 * exits or uses global state other than the CPU table and the thread pool. The block between the
 * two cffi marks is also the declaration that Python sees.
 */
#ifndef PYBACKPROP_H
#define PYBACKPROP_H

#include <stddef.h>
#include <stdint.h>

/* The largest step or epoch count accepted from a caller. It leaves enough room that the count
 * cannot overflow in practice. */
#define BP_MAX_COUNT ((int64_t)1 << 62)

/* cffi: begin */

typedef enum {
    BP_OK = 0,
    BP_ERR_ARGUMENT = 1,   /* an argument outside its documented range */
    BP_ERR_MEMORY = 2,     /* an allocation failed or its size overflows */
    BP_ERR_BUSY = 3,       /* another thread is using this network */
    BP_ERR_FORKED = 4,     /* the network was in use in another thread when the process forked */
    BP_ERR_NOT_FINITE = 5, /* the cost of a batch is not finite */
    BP_ERR_CALLBACK = 6    /* the user's loss, or what adds up shards, reported an error */
} bp_status;

typedef enum { BP_FLOAT32 = 0, BP_FLOAT64 = 1, BP_UINT8 = 2, BP_INT64 = 3 } bp_dtype;

/* How float32 products are formed: from operands as they are, rounded to bfloat16, or split into
 * two or three bfloat16 parts; sums are in float32. */
typedef enum {
    BP_PRECISION_FLOAT32 = 0,
    BP_PRECISION_BF16 = 1,
    BP_PRECISION_BF16X2 = 2,
    BP_PRECISION_BF16X3 = 3
} bp_precision;

typedef enum {
    BP_ACT_IDENTITY = 0,
    BP_ACT_SIGMOID = 1,
    BP_ACT_TANH = 2,
    BP_ACT_RELU = 3,
    BP_ACT_LEAKY_RELU = 4,
    BP_ACT_ELU = 5,
    BP_ACT_SELU = 6,
    BP_ACT_SOFTPLUS = 7,
    BP_ACT_GELU = 8,
    BP_ACT_SILU = 9,
    BP_ACT_MISH = 10,
    BP_ACT_SOFTMAX = 11 /* output layer only */
} bp_act;

typedef enum {
    BP_LOSS_MSE = 0,
    BP_LOSS_SQUARED_ERROR = 1,
    BP_LOSS_MAE = 2,
    BP_LOSS_HUBER = 3,
    BP_LOSS_CROSS_ENTROPY = 4,
    BP_LOSS_BINARY_CROSS_ENTROPY = 5,
    BP_LOSS_CALLBACK = 6 /* the user's function, see bp_loss_fn */
} bp_loss;

typedef enum {
    BP_OPT_SGD = 0,
    BP_OPT_ADAM = 1,
    BP_OPT_ADAMW = 2,
    BP_OPT_RMSPROP = 3,
    BP_OPT_ADAGRAD = 4,
    BP_OPT_COUNT /* how many there are */
} bp_opt;

/* A network; opaque. One thread at a time may be inside any function that takes it. */
typedef struct bp_net bp_net;

/* One call of fit: the data, the order of the rows and the position; opaque. */
typedef struct bp_fit bp_fit;

/* A user's loss. a and y are (rows, n_out), C-contiguous, of the network's type; the function
 * fills loss (rows), the loss of each example, and da (rows, n_out), its derivative in a.
 * Returns 0, or another value to abandon the call with BP_ERR_CALLBACK. */
typedef int (*bp_loss_fn)(void *user, int64_t rows, int64_t n_out, const void *a, const void *y,
                          void *loss, void *da);

/* A matrix in the caller's memory, of any strides (in bytes, may be negative or zero). */
typedef struct {
    const void *data;
    int32_t dtype; /* bp_dtype: BP_FLOAT32, BP_FLOAT64 or BP_UINT8; BP_INT64 for labels only */
    int64_t rows, cols;
    int64_t row_stride, col_stride;
} bp_matrix;

/* Inputs with their targets. y: (rows, n_out) reals, or (rows, 1) BP_INT64 labels for cross
 * entropy; data is NULL if no target is given. sample_weight: rows weights >= 0, or NULL. */
typedef struct {
    bp_matrix x, y;
    const double *sample_weight;
} bp_data;

typedef struct {
    int32_t n_layers;           /* layers of weights, >= 1 */
    const int64_t *widths;      /* n_layers + 1 of them, each >= 1 */
    const int32_t *activations; /* n_layers of them (bp_act) */
    int32_t loss;               /* bp_loss */
    int32_t dtype;              /* BP_FLOAT32 or BP_FLOAT64 */
    int32_t precision;          /* bp_precision */
    const double *dropout;      /* n_layers - 1 rates in [0, 1), one per hidden layer */
    double l1, l2;
    double label_smoothing; /* s in [0, 1], for cross entropy only: its targets are
                               (1 - s) y + s / n_out; 0 for none */
    /* Factors of the optimizer's learning rate, weight decay and eps, >= 0 and finite: of the
     * weights and of the biases of each layer. NULL for 1. */
    const double *lr_factors, *decay_factors, *eps_factors;
    int32_t has_scales; /* not 0: the inputs have factors that are trained, see bp_net_scales */
    double scale_factors[3]; /* of lr, weight decay and eps of these factors; not read without */
    uint64_t seed;           /* of dropout and shuffling */
    void *parameters; /* where they lie, or NULL: in memory of the network's own. A multiple of 64;
                         the memory must outlive the network, and is cleared */
} bp_net_config;

/* An optimizer with its state, for n parameters of one type: a call for another number or type of
 * parameters is refused. A network needs one for bp_net_trained_count parameters. The state vectors
 * belong to the caller; each has n entries of that type, zero before the first step (sum of
 * Adagrad: its initial value). */
typedef struct {
    int32_t kind;  /* bp_opt */
    int32_t dtype; /* BP_FLOAT32 or BP_FLOAT64 */
    int64_t n;
    int32_t nesterov, centered;
    double lr, momentum, beta1, beta2, alpha, eps, weight_decay, lr_decay;
    double clip_norm; /* 0 for none */
    int64_t step;     /* updates done so far, at most BP_MAX_COUNT; advanced by every update */
    void *state[3];   /* sgd: momentum; adam: m, v; rmsprop: square, momentum, mean; adagrad: sum */
} bp_optimizer;

/* What may change from step to step. */
typedef struct {
    double lr, weight_decay;
    double dropout; /* factor of all dropout rates, in [0, 1] */
} bp_rates;

/* ---- the machine ------------------------------------------------------------------------- */

/* Text of a status; never NULL. */
const char *bp_status_text(int status);

/* Short name of the instruction set in use: "portable", "avx2", "avx512", "amx" or "neon"; "" if
 * PYBACKPROP_ISA is set to none of these (the portable kernels run then). */
const char *bp_isa_name(void);

/* What products in the precisions bf16, bf16x2 and bf16x3 run on: "amx", "avx512_bf16", or
 * "emulation" if the machine has no instruction for them. */
const char *bp_bf16_name(void);

/* Instruction sets this machine can run, separated by spaces, worst first. */
const char *bp_isa_available(void);

/* Compiler that built the core, and its version. */
const char *bp_compiler(void);

/* CPU brand text, "" where it is not known. */
const char *bp_cpu_brand(void);

/* Bytes and ways of the data cache of a level (1, 2 or 3) as the machine reports them, 0 if
 * unknown. */
int64_t bp_cache_size(int level);
int64_t bp_cache_ways(int level);

/* CPUs this process may use: affinity and cgroup quota, at least 1. */
int bp_cpu_count(void);

/* Largest number of threads that a call may use; n >= 1. */
int bp_set_threads(int n);
int bp_get_threads(void);

/* Measured multiply-add rate of a register-only loop over `seconds`, in flop/s: the sum over up to
 * `threads` threads (at most bp_get_threads()). BF16X2 gives a third of the rate of BF16, BF16X3 a
 * sixth. */
int bp_peak_flops(int32_t dtype, int32_t precision, int threads, double seconds, double *flops);

/* Bytes read and written per second, of up to `threads` threads together, by updates of SGD with
 * momentum of vectors that take so many bytes in all. */
int bp_bandwidth(int threads, int64_t bytes, double seconds, double *rate);

/* ---- random numbers ------------------------------------------------------------------------- */

/* out[i] = uniform in [0, 1) with 53 bits, from Philox4x32-10 keyed by seed, counter (stream, i).
 */
void bp_random_uniform(uint64_t seed, uint64_t stream, int64_t n, double *out);

/* A permutation of 0 … n-1, n < 2^32, keyed by seed and epoch (Fisher and Yates). */
int bp_random_permutation(uint64_t seed, uint64_t epoch, int64_t n, int64_t *out);

/* ---- networks ------------------------------------------------------------------------------- */

int bp_net_create(const bp_net_config *config, bp_net **net);
void bp_net_destroy(bp_net *net);

int64_t bp_net_parameter_count(const bp_net *net);

/* The flat vector W_1, b_1, W_2, b_2, …; valid until the network is destroyed. Read only: write
 * through bp_net_set_parameters, so that packed copies follow. */
const void *bp_net_parameters(const bp_net *net);

/* The factors s of the inputs, n_in of the network's type, or NULL if it has none. Its first layer
 * is z = W_1 (s x) + b_1. The flat vector holds the product V = W_1 diag(s) in place of W_1, and
 * everything but training knows that alone: gradients and penalties are those of V. What training
 * changes is the vector s, W_1, b_1, W_2, …: its gradient follows from that in V by the chain rule,
 * and V from it. Read only. */
const void *bp_net_scales(const bp_net *net);

/* Entries of what training changes: the number of parameters, and that of the scales. */
int64_t bp_net_trained_count(const bp_net *net);

/* Copies all entries of what training changes, of the network's type; count is how many. */
int bp_net_set_trained(bp_net *net, int64_t count, const void *values);

/* Copies count entries of the network's type into the flat vector at offset. If some of them are of
 * the first layer's weights, the scales become 1, and weights there that are subnormal 0. */
int bp_net_set_parameters(bp_net *net, int64_t offset, int64_t count, const void *values);

/* Inputs become (x - shift) * scale on their way in, n_in doubles each; NULL, NULL for none. */
int bp_net_set_scaling(bp_net *net, const double *shift, const double *scale);

/* The user's loss of a BP_LOSS_CALLBACK network. */
int bp_net_set_loss_callback(bp_net *net, bp_loss_fn loss, void *user);

/* What a call would fail with at this moment: BP_ERR_BUSY, BP_ERR_FORKED, or BP_OK. */
int bp_net_status(const bp_net *net);

/* Training steps and epochs done, which key dropout and shuffling; and, unless NULL, a copy of what
 * training changes at the same moment, as bp_net_set_trained takes it. */
int bp_net_get_state(bp_net *net, void *trained, int64_t *steps, int64_t *epochs);
int bp_net_set_counters(bp_net *net, int64_t steps, int64_t epochs); /* 0 ... BP_MAX_COUNT */

/* out (rows, n_out), C-contiguous, of the network's type: a_L for each row of x. */
int bp_net_predict(bp_net *net, const bp_matrix *x, void *out);

/* The same for x (rows, n_in), C-contiguous, of the network's type; BP_ERR_ARGUMENT if x or out is
 * not aligned to that type. */
int bp_net_predict_rows(bp_net *net, const void *x, int64_t rows, void *out);

/* The mean loss over the rows plus penalties; no dropout. */
int bp_net_cost(bp_net *net, const bp_data *data, double *cost);

/* Cost, and its gradient in the parameters (flat) and, unless dx is NULL, in the inputs
 * (rows, n_in), C-contiguous, of the network's type; no dropout. */
int bp_net_backprop(bp_net *net, const bp_data *data, double *cost, void *gradient, void *dx);

/* z, a, delta: n_layers pointers each, to (rows, n_l) C-contiguous arrays of the network's type;
 * delta may be NULL (then data->y is not read). No dropout. */
int bp_net_trace(bp_net *net, const bp_data *data, void **z, void **a, void **delta);

/* One update from all rows, with dropout rates times a factor in [0, 1]; cost is the cost before
 * it. A cost that is not finite is not an error, but nothing is updated in that case. */
int bp_net_step(bp_net *net, const bp_data *data, bp_optimizer *optimizer, double dropout,
                double *cost);

/* The dropout mask, 1 for a kept unit, that the next step would use after hidden layer `layer`
 * (from 0) on a batch of `rows`, with this factor: mask is (rows, n_layer), C-contiguous. */
int bp_net_dropout_mask(bp_net *net, int32_t layer, int64_t rows, double dropout, uint8_t *mask);

/* ---- derivatives ------------------------------------------------------------------------------
 */

/* Results and vectors are C-contiguous, of the network's type; derivatives in the inputs take x as
 * given, before any scaling. There is no dropout. */

/* jacobian (rows, n_out, n_in): da_L/dx of each row. */
int bp_net_jacobian(bp_net *net, const bp_matrix *x, void *jacobian);

/* dx (rows, n_in): the product of v (rows, n_out) and the Jacobian of each row. */
int bp_net_vjp(bp_net *net, const bp_matrix *x, const void *v, void *dx);

/* a (rows, n_out), the outputs, and da, the product of each row's Jacobian and dx (rows, n_in). */
int bp_net_jvp(bp_net *net, const bp_matrix *x, const void *dx, void *a, void *da);

/* second (rows, n_out, n_in): d2a_L/dx_j2. laplacian (rows, n_out): their sums over j. */
int bp_net_hessian_diagonal(bp_net *net, const bp_matrix *x, void *second);
int bp_net_laplacian(bp_net *net, const bp_matrix *x, void *laplacian);

/* product (flat): the cost's Hessian in the parameters, or its Gauss-Newton part, times v (flat),
 * penalties included. Not for BP_LOSS_CALLBACK, whose second derivative is not known. */
int bp_net_hvp(bp_net *net, const bp_data *data, const void *v, void *product);
int bp_net_gauss_newton_product(bp_net *net, const bp_data *data, const void *v, void *product);

/* gradients (rows, n_parameters) of each row's loss, without weights and penalties; norms (rows):
 * their Euclidean norms. */
int bp_net_per_sample_gradients(bp_net *net, const bp_data *data, void *gradients);
int bp_net_per_sample_gradient_norms(bp_net *net, const bp_data *data, void *norms);

/* ---- minibatch training --------------------------------------------------------------------- */

/* A training run over data; the arrays it points to must outlive it. */
int bp_fit_create(bp_net *net, const bp_data *data, int64_t batch_size, int shuffle, bp_fit **fit);
void bp_fit_destroy(bp_fit *fit);

/* The same over `rows` rows of the data, index[0], index[1], …, or the first ones if index is NULL.
 * index belongs to the caller, too. The order of the rows is keyed by shuffle_seed, not by the seed
 * of the network. */
int bp_fit_create_rows(bp_net *net, const bp_data *data, const int64_t *index, int64_t rows,
                       int64_t batch_size, int shuffle, uint64_t shuffle_seed, bp_fit **fit);

/* Where a run stands, after the call that returned. */
typedef struct {
    int64_t epoch;     /* of this run, from 0: the epoch of the next batch */
    int64_t batch;     /* the next batch of that epoch, from 0 */
    int64_t n_batches; /* in an epoch */
    int64_t completed; /* epochs completed by the last call, whose costs it wrote */
    double cost;       /* mean cost of the current epoch's batches so far */
    /* What bp_fit_resume needs: the sums over those batches of cost times weight and of weight,
     * and what training changes, as it was at the start of the epoch; it belongs to the run. */
    double cost_sum, cost_weight;
    const void *start;
} bp_fit_state;

/* Lets a run that has not begun go on from where another one stood: from its epoch, batch and,
 * if batch > 0, sums and start. Parameters and counters of the network must be as they were. */
int bp_fit_resume(bp_fit *fit, const bp_fit_state *state);

/* Replaces the data of a run without shuffling by a window of the `rows` rows of an epoch: those
 * from batch first_batch on, in whole batches, except for the last of an epoch. A run then ends
 * where the next batch has no data. Between two calls of bp_fit_run; not for bp_fit_run_many. */
int bp_fit_set_window(bp_fit *fit, const bp_data *data, int64_t first_batch, int64_t rows);

/* Turns the sums of this process's shards into those of all: called once for each batch.
 * sums: n_blocks vectors of n_parameters entries of the network's type, each `stride` entries after
 * the one before, and costs: n_blocks values. Each is the sum of a block of shards: the fewest
 * blocks that cover the process's shards, in ascending order, each a power of two of shards that
 * begins at a multiple of its size. On return the first vector and the first cost are the sums of
 * all shards. Returns 0, or another value to abandon the run with BP_ERR_CALLBACK before the batch
 * changes anything. */
typedef int (*bp_reduce_fn)(void *user, int32_t n_blocks, int64_t stride, void *sums,
                            double *costs);

/* Lets a run form the gradient of each batch in `shards` parts, a power of two from 2 to 64: row b
 * of n belongs to shard floor(b * shards / n). Gradients and costs of shards are added as a
 * balanced binary tree. Bits depend on `shards`, but not on which process computes which of them.
 * This process computes shards first <= s < first + count. reduce gets the others' sums; it may be
 * NULL if count == shards.
 * errors: NULL, or (2 shards, n_parameters) bfloat16 numbers, for a network of float32: then every
 * gradient and sum is rounded to bfloat16, as bp_round_bf16 does. Row 1 belongs to the sum of all,
 * rows 2 k and 2 k + 1 to the halves of row k, and rows from `shards` on to single shards. They
 * must outlive the run, which writes the rows that lie within this process's shards; reduce has to
 * round the other sums. Once, before the first bp_fit_run; not for bp_fit_run_many. */
int bp_fit_set_shards(bp_fit *fit, int32_t shards, int32_t first, int32_t count, uint16_t *errors,
                      bp_reduce_fn reduce, void *user);

/* Trains until `epochs` more epochs have ended, or max_ns have passed (always at least one
 * batch), or rates are missing. Ends at a batch boundary.
 * rates: those of the n_rates coming batches, >= 0 and finite, with factors of dropout in [0, 1];
 * they are not checked. NULL to use the optimizer's, and dropout as it is. costs: room for `epochs`
 * values, the mean cost of each epoch that this call completes. BP_ERR_NOT_FINITE: state names the
 * batch whose cost is not finite, or which ended an epoch with parameters that are not finite. The
 * parameters and the network's counters are those at the end of the previous epoch. The optimizer
 * has to start afresh, because no copies of its vectors are kept. This state must not be resumed
 * from. */
int bp_fit_run(bp_fit *fit, bp_optimizer *optimizer, const bp_rates *rates, int64_t n_rates,
               int64_t epochs, int64_t max_ns, double *costs, bp_fit_state *state);

/* ---- many networks side by side ------------------------------------------------------------- */

/* A training run among others. */
typedef struct {
    bp_fit *fit;
    bp_optimizer *optimizer; /* of this run only */
    const bp_rates *rates;   /* as in bp_fit_run, like n_rates and costs */
    int64_t n_rates;
    int64_t epochs; /* more to train; 0 to leave this run alone */
    double *costs;
    int64_t batches, ns; /* trained in the last call, and how long that took */
    bp_fit_state state;
    int32_t status; /* bp_status */
    int32_t lanes;  /* networks that the last call trained with this one in the lanes of vectors,
                       itself included; 1 if it was trained by itself */
    int32_t has_one_decay; /* that of all rates is the same, so they need not be looked through;
                              0 if that is not known */
} bp_fit_task;

/* Trains many networks, each with one thread, as bp_fit_run trains one, until each is done or
 * max_ns have passed (always at least one batch of one of them). A run of which a batch fails ends
 * there, for itself: its status says why, and the others go on. Where the rates of a run are used
 * up before its epochs have ended, those that share its vectors wait for it. The last one that is
 * left is trained with all threads. A user's loss is called by the calling thread. If the call
 * itself fails, nothing is trained, and the status of the first run that is to blame is that of the
 * call.
 */
int bp_fit_run_many(bp_fit_task *tasks, int64_t n, int64_t max_ns);

/* The cost of a network on some rows of data: index[0], index[1], …, or the first ones if index is
 * NULL. Labels and indices are checked in the first call and must not change until it is done. */
typedef struct {
    bp_net *net;
    const bp_data *data;
    const int64_t *index;
    int64_t rows;
    double cost;
    int32_t is_checked, is_done; /* 0 before the first call */
    int32_t status;              /* bp_status */
} bp_cost_task;

/* Computes costs, without dropout, of networks that all differ, until all are done or max_ns have
 * passed (always at least one). Fails as bp_fit_run_many does. */
int bp_net_cost_many(bp_cost_task *tasks, int64_t n, int64_t max_ns);

/* The outputs of n networks that all differ, of one shape: type, precision, widths, activations,
 * and all or none with a loss of the user's. Row i of network k goes to out[k * stride + i *
 * n_out]; stride, in elements of the networks' type, is at least rows * n_out. Each network
 * computes what bp_net_predict would. *blamed is the number of the network that makes the call
 * fail, or -1 if none does. */
int bp_net_predict_many(bp_net *const *nets, int64_t n, const bp_matrix *x, void *out,
                        int64_t stride, int64_t *blamed);

/* ---- single kernels ------------------------------------------------------------------------- */

/* c (m, n) = op(a) op(b); op transposes if asked. Row strides in elements. Precisions other than
 * FLOAT32 are for float32 only. */
int bp_matmul(int32_t dtype, int32_t precision, int64_t m, int64_t n, int64_t k, const void *a,
              int64_t lda, int transpose_a, const void *b, int64_t ldb, int transpose_b, void *c,
              int64_t ldc);

/* How bp_matmul forms a product of contiguous rows in float32 or float64 with one thread: the rows
 * and columns of the largest tile, the rows, sums and columns of a block, and whether op(a) and
 * op(b) are packed first. The transpose of a narrow result is formed, in pieces, in place of it;
 * then nothing but the tile is set. Of b, only its place within a cache line matters. */
typedef struct {
    int64_t tile_rows, tile_cols;
    int64_t block_rows, block_sums, block_cols;
    int32_t packs_a, packs_b, is_narrow;
} bp_matmul_plan;

int bp_plan_matmul(int32_t dtype, int64_t m, int64_t n, int64_t k, int transpose_a, int transpose_b,
                   const void *b, bp_matmul_plan *plan);

/* y = act(x W^T + b): x (rows, n_in), w (n_out, n_in), b (n_out) or NULL, z and y (rows, n_out),
 * all C-contiguous; z, the pre-activation, may be NULL. */
int bp_dense_forward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                     const void *x, const void *w, const void *b, void *z, void *y);

/* From z, the pre-activation, and dy (rows, n_out): delta = dy * act'(z); dw = delta^T x,
 * db = column sums of delta, dx = delta W. Any of dx, dw, db may be NULL. */
int bp_dense_backward(int32_t dtype, int32_t act, int64_t rows, int64_t n_in, int64_t n_out,
                      const void *x, const void *w, const void *z, const void *dy, void *dx,
                      void *dw, void *db);

/* y = act(z), or act'(z), over n elements; rows of `cols` for softmax (no derivative). */
int bp_activation(int32_t dtype, int32_t act, int64_t rows, int64_t cols, const void *z, void *y);
int bp_activation_derivative(int32_t dtype, int32_t act, int64_t n, const void *z, void *y);

/* z = x + y over n elements, as shards are added; z may be x or y. */
int bp_add(int32_t dtype, int64_t n, const void *x, const void *y, void *z);

/* x = x + errors, rounded to bfloat16, whose 16 bits are the upper half of a float's; errors = what
 * the rounding left out, rounded too. Over n elements. To nearest, ties to even. */
int bp_round_bf16(int64_t n, float *x, uint16_t *errors);

/* One update of n free parameters by a gradient, in place. */
int bp_optimizer_update(int32_t dtype, int64_t n, void *parameters, const void *gradient,
                        bp_optimizer *optimizer);

/* cffi: end */

#endif
