/* The loss for one element type; included by loss.h for float and double. */

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
} BP_T(bp_loss_buffers);

/* The loss of each row, and delta = row_scale * dloss/dz. */
void BP_T(bp_loss_run)(const BP_T(bp_kernels) *kernels, const bp_loss_rows *rows,
                       const BP_T(bp_loss_buffers) *buffers);

/* The same through the user's function; BP_ERR_CALLBACK where it fails. */
int BP_T(bp_loss_user)(const BP_T(bp_kernels) *kernels, const bp_loss_rows *rows,
                       const BP_T(bp_loss_buffers) *buffers, bp_loss_fn loss, void *user);
