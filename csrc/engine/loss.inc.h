/* The cost of each example, and delta of the output layer. */

/* From dC/da, in delta, to dC/dz. */
static void through_activation(const real_kernels *kernels, const bp_loss_rows *rows,
                               const bp_loss_buffers *b) {
    if (rows->act == BP_ACT_SOFTMAX)
        kernels->softmax_bwd(rows->rows, rows->n_out, b->out, b->ld, b->delta, b->ld);
    else if (rows->act != BP_ACT_IDENTITY)
        kernels->act_bwd[rows->act](rows->rows, rows->n_out,
                                    bp_act_needs_z(rows->act) ? b->z : b->out, b->ld, b->delta,
                                    b->ld);
}

static void loss_run(const real_kernels *kernels, const bp_loss_rows *rows,
                     const bp_loss_buffers *b) {
    kernels->loss[rows->loss](rows->rows, rows->n_out, b->out, b->ld, b->y, rows->n_out, b->labels,
                              b->row_scale, b->loss, b->delta, b->ld);
    if (b->delta && !bp_loss_from_z(rows->loss)) through_activation(kernels, rows, b);
}

static int loss_user(const real_kernels *kernels, const bp_loss_rows *rows,
                     const bp_loss_buffers *b, bp_loss_fn loss, void *user) {
    bp_fp_set(BP_FP_DEFAULT); /* the user's arithmetic is not the kernels' */
    int failed = loss(user, rows->rows, rows->n_out, b->out, b->y, b->loss, b->delta);
    bp_fp_set(BP_FP_KERNEL);
    if (failed) return BP_ERR_CALLBACK;
    if (!b->delta) return BP_OK;
    for (int64_t i = 0; i < rows->rows; i++)
        for (int64_t j = 0; j < rows->n_out; j++)
            b->delta[i * b->ld + j] *= b->row_scale[i];
    through_activation(kernels, rows, b);
    return BP_OK;
}
