/* The team that shares the blocks; included by derive.c for float and double. */

/* What a part's sum is written to. */
static real *BP_T(sum_of_part)(const derive_job *job, int part) {
    return part == 0 ? job->out
                     : (real *)job->partial + (int64_t)(part - 1) * job->net->n_parameters;
}

static int BP_T(derive_block)(const BP_T(space) *s, int part, int accumulate) {
    switch (s->job->kind) {
    case JACOBIAN_FORWARD:
        BP_T(jacobian_forward)(s);
        break;
    case JACOBIAN_REVERSE:
        BP_T(jacobian_reverse)(s);
        break;
    case VJP:
        BP_T(vjp)(s);
        break;
    case JVP:
        BP_T(jvp)(s);
        break;
    case HESSIAN_DIAGONAL:
    case LAPLACIAN:
        BP_T(second_in_inputs)(s);
        break;
    case HVP:
        BP_T(hvp)(s, BP_T(sum_of_part)(s->job, part), accumulate);
        break;
    case GAUSS_NEWTON:
        BP_T(gauss_newton)(s, BP_T(sum_of_part)(s->job, part), accumulate);
        break;
    default:
        return BP_T(per_sample)(s);
    }
    return BP_OK;
}

/* Packs this member's share of V^T. */
static void BP_T(pack_v)(const derive_job *job, int member, int members) {
    const bp_net *net = job->net;
    const int64_t nr = BP_T(kernels_of)(net)->gemm.nr;
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, nr, member, members, &begin, &end);
        BP_T(bp_pack_b)
        (BP_T(kernels_of)(net), layer->n_in, layer->n_out, (const real *)job->v + layer->w, 1,
         layer->n_in, begin / nr, (end + nr - 1) / nr, (real *)job->packed_v + layer->packed);
    }
}

/* Adds the parts' sums, and l2 times the vector's weights. The second derivative of l1 is 0. */
static void BP_T(add_sums)(const derive_job *job, int member, int members) {
    const bp_net *net = job->net;
    const BP_T(bp_kernels) *kernels = BP_T(kernels_of)(net);
    for (int l = 0; l < net->n_layers; l++) {
        const bp_layer *layer = &net->layers[l];
        int64_t begin, end;
        bp_share(layer->n_out, 1, member, members, &begin, &end);
        const int64_t w = layer->w + begin * layer->n_in, count = (end - begin) * layer->n_in;
        for (int part = 1; part < job->parts; part++) {
            const real *sum = BP_T(sum_of_part)(job, part);
            kernels->add(count, sum + w, (real *)job->out + w);
            kernels->add(end - begin, sum + layer->b + begin, (real *)job->out + layer->b + begin);
        }
        if (net->l2 > 0.0)
            kernels->add_penalty(count, (const real *)job->v + w, 0.0, net->l2,
                                 (real *)job->out + w);
    }
}

static void BP_T(derive_team)(void *context, bp_team *team, int member, int members) {
    derive_job *job = context;
    BP_T(bp_job) weights = {.net = job->net};
    BP_T(space) s;
    BP_T(bp_batch_pack)(&weights, team, member, members);
    if (job->packed_v) {
        BP_T(pack_v)(job, member, members);
        bp_sync(team, member, members);
    }
    BP_T(space_make)(job, (char *)job->memory + job->member_bytes * member, &s);
    for (int part = member; part < job->parts; part += members) {
        int64_t begin, end;
        part_rows(job, part, &begin, &end);
        for (s.row = begin; s.row < end && job->user_status == BP_OK; s.row += s.n) {
            s.n = least(job->block, end - s.row);
            /* Only a user's loss fails, and then one member runs alone. */
            int status = BP_T(derive_block)(&s, part, s.row > begin);
            if (status != BP_OK) job->user_status = status;
        }
    }
    if (!is_sum(job->kind)) return;
    bp_sync(team, member, members);
    BP_T(add_sums)(job, member, members);
}
