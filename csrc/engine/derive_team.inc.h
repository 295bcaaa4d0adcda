/* The team that shares the blocks of a derivative. */

/* What a part's sum is written to. */
static real *sum_of_part(const bp_derive_job *job, int part) {
    return part == 0 ? job->out
                     : (real *)job->partial + (int64_t)(part - 1) * job->net->n_parameters;
}

static int derive_block(const space *s, int part, int accumulate) {
    switch (s->job->kind) {
    case BP_JACOBIAN_FORWARD:
        jacobian_forward(s);
        break;
    case BP_JACOBIAN_REVERSE:
        jacobian_reverse(s);
        break;
    case BP_VJP:
        vjp(s);
        break;
    case BP_JVP:
        jvp(s);
        break;
    case BP_HESSIAN_DIAGONAL:
    case BP_LAPLACIAN:
        second_in_inputs(s);
        break;
    case BP_HVP:
        hvp(s, sum_of_part(s->job, part), accumulate);
        break;
    case BP_GAUSS_NEWTON:
        gauss_newton(s, sum_of_part(s->job, part), accumulate);
        break;
    default:
        return per_sample(s);
    }
    return BP_OK;
}

/* Packs this member's share of V^T. */
static void pack_v(const bp_derive_job *job, int member, int members) {
    const bp_net *net = job->net;
    const int64_t nr = kernels_of(net)->gemm.nr;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, nr, member, members, &begin, &end);
        pack_b(kernels_of(net), layer->n_in, layer->n_out, (const real *)job->v + layer->w, 1,
               layer->n_in, begin / nr, (end + nr - 1) / nr, (real *)job->packed_v + layer->packed);
    }
}

/* Adds the parts' sums, and l2 times the vector's weights. The second derivative of l1 is 0. */
static void add_sums(const bp_derive_job *job, int member, int members) {
    const bp_net *net = job->net;
    const real_kernels *kernels = kernels_of(net);
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, 1, member, members, &begin, &end);
        const int64_t w = layer->w + begin * layer->n_in, count = (end - begin) * layer->n_in;
        for (int part = 1; part < job->parts; part++) {
            const real *sum = sum_of_part(job, part);
            real *out = job->out, *out_b = out + layer->b + begin;
            kernels->add(count, sum + w, out + w, out + w);
            kernels->add(end - begin, sum + layer->b + begin, out_b, out_b);
        }
        if (net->l2 > 0.0)
            kernels->add_penalty(count, (const real *)job->v + w, 0.0, net->l2,
                                 (real *)job->out + w);
    }
}

static void derive_team(void *context, bp_team *team, int member, int members) {
    bp_derive_job *job = context;
    bp_job weights = {.net = job->net};
    space s;
    batch_pack(&weights, team, member, members);
    if (job->packed_v) {
        pack_v(job, member, members);
        bp_sync(team, member, members);
    }
    space_make(job, (char *)job->memory + job->member_bytes * member, &s);
    for (int part = member; part < job->parts; part += members) {
        int64_t begin, end;
        bp_derive_part_rows(job, part, &begin, &end);
        for (s.row = begin; s.row < end && job->user_status == BP_OK; s.row += s.n) {
            s.n = bp_min_i64(job->block, end - s.row);
            /* Only a user's loss can fail, and with one there is a single member. */
            int status = derive_block(&s, part, s.row > begin);
            if (status != BP_OK) job->user_status = status;
        }
    }
    if (!bp_derive_is_sum(job->kind)) return;
    bp_sync(team, member, members);
    add_sums(job, member, members);
}
