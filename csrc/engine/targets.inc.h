/* The targets of rows: labels, or what the outputs should be, and the weights of the rows. */

static int targets_are_labels(const bp_net *net, const bp_data *data) {
    return data->y.dtype == BP_INT64 && net->label_smoothing == 0.0;
}

/* y becomes (1 - s) y + s / n_out, formed in double; a label counts as a row of 0 and a 1. */
static void smooth_targets(const bp_net *net, int labels, int64_t n, int64_t n_out,
                           bp_targets targets) {
    const double kept = 1.0 - net->label_smoothing, share = net->label_smoothing / (double)n_out;
    for (int64_t i = 0; i < n; i++) {
        real *y = targets.y + i * n_out;
        for (int64_t j = 0; j < n_out; j++) {
            const double given = labels ? j == targets.labels[i] : (double)y[j];
            y[j] = (real)(kept * given + share);
        }
    }
}

static void load_targets(const bp_net *net, const bp_data *data, const bp_rows *rows, int64_t n,
                         double weight_scale, bp_targets to) {
    const int labels = data->y.dtype == BP_INT64;
    const int64_t n_out = net->layers[net->n_layers - 1].n_out;
    if (labels)
        bp_rows_labels(&data->y, rows, n, n_out, to.labels);
    else
        rows_load(kernels_of(net), &data->y, rows, n, NULL, NULL, to.y, n_out);
    for (int64_t i = 0; i < n; i++) {
        const double weight = data->sample_weight ? data->sample_weight[bp_row(rows, i)] : 1.0;
        to.row_scale[i] = (real)(weight * weight_scale);
        if (labels && to.labels[i] < 0) {
            /* No such class: nan makes every result of the row nan, and a cost of nan stops a
             * training. */
            to.labels[i] = 0;
            to.row_scale[i] = (real)NAN;
        }
    }
    if (net->label_smoothing > 0.0) smooth_targets(net, labels, n, n_out, to);
}
