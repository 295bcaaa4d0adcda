/* The buffers of a pass for one element type; included by internal.h for float and double.
 *
 * Layers are numbered from 0; a[l] are the inputs of layer l and a[l + 1] its outputs, so a[0] is
 * the batch. Rows are examples. */
typedef struct {
    int64_t capacity; /* rows that fit */
    int flags;        /* bp_pass_flag */
    int64_t *ld;      /* n_layers + 1 row strides: ld[l] is that of a[l] */
    const real **a;   /* n_layers + 1: what is passed on, after dropout */
    real **z;         /* per layer: the pre-activation, or NULL where it is not kept */
    real **out;       /* per layer: the activation before dropout */
    real **passed;    /* per layer: a[l + 1], writable; out[l] itself where there is no dropout */
    uint8_t **mask;   /* per layer: 1 for kept units (row stride n_out), or NULL */
    real **delta;     /* per layer: dC/dz, stride ld[l + 1]; layers may share two buffers */
    real *x;          /* room for a[0] where the caller's rows cannot be used as they are */
    real *y;          /* targets (n_out columns, no padding) */
    int64_t *labels;
    real *loss;      /* per row */
    real *row_scale; /* per row: its weight over the sum of the weights */
    real *reals;     /* the blocks that the buffers are cut from */
    uint8_t *bytes;
} BP_T(bp_pass);

/* Makes the buffers for up to `capacity` rows of a network; BP_ERR_MEMORY, and nothing is held. */
int BP_T(bp_pass_create)(const bp_net *net, int64_t capacity, int flags, BP_T(bp_pass) *pass);
void BP_T(bp_pass_destroy)(BP_T(bp_pass) *pass);

/* One member's part in a pass: the network, the buffers, and which share of each phase it does. */
typedef struct {
    const bp_net *net;
    const BP_T(bp_kernels) *kernels;
    BP_T(bp_pass) *pass;
    bp_team *team;
    int member, members;
    real *scratch;
} BP_T(bp_worker);

/* The phases below are called by every member; the caller puts bp_sync between them, the layers'
 * own phases do it themselves. */

/* Chooses what each layer reads: the caller's own rows where they can be used as they are, and
 * activations before or after dropout. One member only. */
void BP_T(bp_pass_bind)(const bp_net *net, BP_T(bp_pass) *pass, const bp_block *block);

/* Loads this member's share of the rows: inputs, targets, weights. */
void BP_T(bp_pass_load)(const BP_T(bp_worker) *w, const bp_block *block);

/* From a[0] to the outputs. Cross entropy and its like leave the pre-activation in the outputs, to
 * be turned by the loss, unless `finish`. last, with stride last_ld, takes the outputs where it is
 * not NULL. */
void BP_T(bp_pass_forward)(const BP_T(bp_worker) *w, const bp_block *block, int finish, real *last,
                           int64_t last_ld);

/* The loss of each row of this member's share and, unless the pass is forward only, delta of the
 * output layer. A user's loss is called by member 0, for all rows. */
int BP_T(bp_pass_loss)(const BP_T(bp_worker) *w, const bp_block *block);

/* From delta of layer l to its gradient (W, then b; added to where accumulate), and to delta of the
 * layer below, or from the first layer to the inputs (dx, rows x n_in) unless dx is NULL. */
void BP_T(bp_pass_backward)(const BP_T(bp_worker) *w, const bp_block *block, int l, real *gradient,
                            int accumulate, real *dx);
