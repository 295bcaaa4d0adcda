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
    real **delta;     /* per layer: dC/dz, stride ld[l + 1]; layers may share buffers, also with
                       outputs that have served */
    real *x;          /* room for a[0] where the caller's rows cannot be used as they are */
    real *y;          /* targets (n_out columns, no padding) */
    int64_t *labels;
    real *loss;      /* per row */
    real *row_scale; /* per row: its weight over the sum of the weights */
    real *reals;     /* the blocks that the buffers are cut from */
    uint8_t *bytes;
    void *operands; /* what another precision keeps beside them, one block, or NULL */
} BP_T(bp_pass);

/* One member's part in a pass: the network, the buffers, and which share of each phase it does. */
typedef struct {
    const bp_net *net;
    const BP_T(bp_kernels) *kernels;
    BP_T(bp_pass) *pass;
    bp_team *team;
    int member, members;
    real *scratch;
} BP_T(bp_worker);

/* What a pass consists of: a network's precision decides how. Phases are called by every member;
 * the caller puts bp_sync between them; forward does it between its layers. */
typedef struct {
    /* Makes the buffers for up to `capacity` rows of a network; BP_ERR_MEMORY, and nothing is held.
     */
    int (*create)(const bp_net *net, int64_t capacity, int flags, BP_T(bp_pass) *pass);

    /* Elements of a worker's scratch. */
    int64_t (*scratch)(const bp_net *net);

    /* Loads this member's share of the rows: inputs, targets, weights. */
    void (*load)(const BP_T(bp_worker) *w, const bp_block *block);

    /* From a[0] to the outputs. Cross entropy and its like leave the pre-activation in the outputs,
     * to be turned by the loss, unless `finish`. last, with stride last_ld, takes the outputs where
     * it is not NULL. */
    void (*forward)(const BP_T(bp_worker) *w, const bp_block *block, int finish, real *last,
                    int64_t last_ld);

    /* The loss of each row of this member's share and, unless the pass is forward only, delta of
     * the output layer. A user's loss is called by member 0, for all rows. */
    int (*loss)(const BP_T(bp_worker) *w, const bp_block *block);

    /* From delta of layer l to delta of the layer below, or from the first layer to the inputs (dx,
     * rows x n_in) unless dx is NULL. */
    void (*backward)(const BP_T(bp_worker) *w, const bp_block *block, int l, real *dx);

    /* This member's share of the gradient of layer l: W, then b; added to where accumulate. */
    void (*gradient)(const BP_T(bp_worker) *w, const bp_block *block, int l, real *gradient,
                     int accumulate);

    /* Rows begin <= i < end of the gradient, cut at multiples of pack_unit, by this member alone:
     * of W to dw, with row stride lddw, of b to db. */
    void (*gradient_rows)(const BP_T(bp_worker) *w, const bp_block *block, int l, int64_t begin,
                          int64_t end, real *dw, int64_t lddw, real *db);

    /* Brings rows begin <= i < end of a layer's W, cut at multiples of pack_unit, into the form
     * that products read, if that is another one. */
    int64_t (*pack_unit)(const bp_net *net);
    void (*pack_rows)(bp_net *net, int l, int64_t begin, int64_t end);

    /* This member's share of what else dx needs of W_1, at any time before its phase; or NULL. */
    void (*pack_for_inputs)(bp_net *net, int member, int members);
} BP_T(bp_phases);

/* Products of operands of the network's own type. */
extern const BP_T(bp_phases) BP_T(bp_phases_plain);

/* The pieces that phases of every precision are made of. */

int BP_T(bp_pass_create)(const bp_net *net, int64_t capacity, int flags, BP_T(bp_pass) *pass);
void BP_T(bp_pass_destroy)(BP_T(bp_pass) *pass);

/* Chooses what each layer reads: the caller's own rows where they can be used as they are, and
 * activations before or after dropout. One member only. */
void BP_T(bp_pass_bind)(const bp_net *net, BP_T(bp_pass) *pass, const bp_block *block);

/* Rows begin <= i < end of the block: inputs, to dst with stride ld; and targets and weights. */
void BP_T(bp_pass_load_inputs)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin,
                               int64_t end, real *dst, int64_t ld);
void BP_T(bp_pass_load_targets)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin,
                                int64_t end);

/* Draws the mask of a tile of a layer's outputs, and applies it to what is passed on; and applies
 * it to a tile of its delta. */
void BP_T(bp_pass_drop_forward)(const BP_T(bp_worker) *w, const bp_block *block, int l,
                                BP_T(bp_tile) tile);
void BP_T(bp_pass_drop_backward)(const BP_T(bp_worker) *w, int l, BP_T(bp_tile) tile);

/* The activation that ends layer l in a forward pass, see the phase. */
int BP_T(bp_pass_act)(const bp_net *net, int l, int finish);

/* Softmax over this member's rows of the outputs; syncs. */
void BP_T(bp_pass_softmax)(const BP_T(bp_worker) *w, const bp_block *block, real *out, int64_t ld);

/* What the activation's derivative of layer l is computed from; NULL where it is 1. */
const real *BP_T(bp_pass_saved)(const bp_net *net, const BP_T(bp_pass) *pass, int l);

/* The rows of this member's share of the loss, cut at multiples of `unit`; the loss of rows
 * begin <= i < end, and delta. */
void BP_T(bp_pass_loss_share)(const BP_T(bp_worker) *w, const bp_block *block, int64_t unit,
                              int64_t *begin, int64_t *end);
int BP_T(bp_pass_loss)(const BP_T(bp_worker) *w, const bp_block *block, int64_t begin, int64_t end);
