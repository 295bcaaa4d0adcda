"""Seeded bugs of the C core; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

CORE: list[Bug] = [
    # ---- random numbers ----
    *of(
        "csrc/system/rng.c",
        (
            "philox-9-rounds",
            "round < 10",
            "round < 9",
            "test_random.py::test_known_answers_of_uniform_numbers",
        ),
        (
            "philox-one-key",
            "key1 += 0xBB67AE85u",
            "key1 += 0x9E3779B9u",
            "test_random.py::test_known_answers_of_the_core",
        ),
        (
            "philox-use-ignored",
            "stream << 2 | (uint64_t)use",
            "stream << 2",
            "test_random.py::test_known_answers_of_shuffles",
        ),
        (
            "dropout-8-bits",
            "(uint64_t)(rate * 4294967296.0)",
            "(uint64_t)(rate * 256.0) << 24",
            "test_random.py::test_a_unit_is_dropped_as_often_as_the_rate_says",
        ),
        (
            "dropout-same-in-every-layer",
            "(uint64_t)step << 16 | (uint64_t)(uint32_t)layer",
            "(uint64_t)step << 16 | (uint64_t)(layer < 0)",
            "test_random.py::test_masks_are_independent",
        ),
        (
            "dropout-same-in-every-step",
            "(uint64_t)step << 16 | (uint64_t)(uint32_t)layer",
            "(uint64_t)(step < 0) << 16 | (uint64_t)(uint32_t)layer",
            "test_random.py::test_masks_are_independent",
        ),
        (
            "dropout-lanes",
            "lane = (int)(position & 3)",
            "lane = 0 * (int)(position & 3)",
            "test_random.py::test_masks_of_a_step_go_by_row_and_unit",
        ),
        (
            "shuffle-without-rejection",
            "if ((uint32_t)product >= n || (uint32_t)product >= -n % n) return",
            "return",
            "test_random.py::test_words_that_would_favour_some_places_are_rejected",
        ),
        (
            "shuffle-of-one-cycle",
            "below((uint32_t)(i + 1), seed",
            "below((uint32_t)i, seed",
            "test_random.py::test_every_order_is_equally_likely",
        ),
        (
            "shuffle-leaves-the-first",
            "for (int64_t i = n - 1; i > 0; i--) {",
            "for (int64_t i = n - 1; i > 1; i--) {",
            "test_random.py::test_every_order_is_equally_likely",
        ),
        (
            "uniform-52-bits",
            "(double)(bits >> 11) * 0x1p-53",
            "(double)(bits >> 12) * 0x1p-52",
            "test_random.py::test_known_answers_of_uniform_numbers",
        ),
    ),
    # ---- rows of a batch ----
    *of(
        "csrc/engine/rows.inc.h",
        (
            "prefetch-beyond-the-index",
            "i + AHEAD < n",
            "i + AHEAD <= n",
            "test_rows.py::test_the_index_is_read_no_farther_than_the_batch",
        ),
        (
            "scaling-without-shift",
            "scale ? (value - shift[j]) * scale[j] : value",
            "scale ? value * scale[j] : value",
            "test_bad_input.py::test_inputs_of_any_arrangement_are_scaled_alike",
        ),
        (
            "short-rows-lose-an-entry",
            "for (int64_t j = 0; j < cols; j++)\n        dst[j] = src[j];",
            "for (int64_t j = 0; j < cols - 1; j++)\n        dst[j] = src[j];",
            "test_rows.py",
        ),
    ),
    *of(
        "csrc/engine/rows.c",
        (
            "labels-above-the-last",
            "label >= 0 && label < n_labels",
            "label >= 0",
            "test_training.py::test_labels_that_change_during_a_fit",
        ),
    ),
    # ---- kernels ----
    *of(
        "csrc/kernels/arch/losses.inc.h",
        (
            "binary-delta-cancels",
            "*d = V(fnma)(y, rest, V(mul)(V(sub)(one, y), p));",
            "(void)rest;\n        *d = V(sub)(p, y);",
            "test_losses.py",
        ),
        (
            "huber-slope",
            "*d = V(select)(V(le)(size, one), x, sign);",
            "*d = V(select)(V(le)(size, one), x, x);",
            "test_gradients.py::test_every_output_with_every_loss_of_differences",
        ),
        (
            "loss-tail-of-a-row",
            "for (; j < n; j += V(lanes)) {\n        int count = n - j < V(lanes) ? (int)(n - j)"
            " : V(lanes);\n        vreal term = V(loss_term)",
            "for (; j + 1 < n; j += V(lanes)) {\n        int count = n - j < V(lanes) ? "
            "(int)(n - j) : V(lanes);\n        vreal term = V(loss_term)",
            "test_gradients.py::test_widths_and_batches_from_1_to_70",
        ),
        (
            "cross-entropy-own-label",
            "(d[label] * share - 1)",
            "(d[label] * share)",
            "test_gradients.py::test_cross_entropy",
        ),
    ),
    *of(
        "csrc/kernels/arch/updates.inc.h",
        (
            "centred-rmsprop-below-zero",
            "V(max)(V(set1)(0), V(sub)(square, V(mul)(mean, mean)))",
            "V(sub)(square, V(mul)(mean, mean))",
            "test_optimizers.py::test_centred_rmsprop_of_constant_gradients_stays_finite",
        ),
        (
            "adam-epsilon-within-the-root",
            "V(add)(V(sqrt)(V(mul)(v, c->v_scale)), c->eps)",
            "V(sqrt)(V(add)(V(mul)(v, c->v_scale), c->eps))",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "nesterov-without-gradient",
            "g = c->nesterov ? V(fma)(momentum, step, g) : step;",
            "g = c->nesterov ? V(mul)(momentum, step) : step;",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "adagrad-forgets",
            "vreal sum = V(fma)(g, g, V(get)(s0, count));",
            "vreal sum = V(mul)(g, g);\n    (void)count;",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "weight-decay-of-the-gradient",
            "return V(fma)(c->weight_decay, w, g);",
            "return V(fma)(c->weight_decay, g, g);",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "l1-of-negative-weights",
            "V(select)(V(lt)(x, V(set1)(0)), V(set1)(-1), x)",
            "V(select)(V(lt)(x, V(set1)(0)), V(set1)(1), x)",
            "test_gradients.py::test_penalties test_optimizers.py::"
            "test_clip_norm_bounds_the_whole_gradient_with_its_penalties",
        ),
        (
            "update-without-tail",
            "if (V(lanes) > 1 && i < n) V(update_lanes)(opt, plain",
            "if (V(lanes) > 1 && i + 1 < n) V(update_lanes)(opt, plain",
            "test_optimizers.py::test_any_number_of_parameters",
        ),
    ),
    *of(
        "csrc/kernels/arch/activations.inc.h",
        (
            "tanh-slope",
            "return V(mul)(V(sub)(V(set1)(1), a), V(add)(V(set1)(1), a));",
            "return V(sub)(V(set1)(1), a);",
            "test_gradients.py::test_every_activation_in_hidden_layers",
        ),
        (
            "relu-slope-at-zero",
            "V(select)(V(le)(x, zero), low, x)",
            "V(select)(V(lt)(x, zero), low, V(select)(V(eq)(x, zero), high, x))",
            "test_gradients.py::test_derivatives_at_the_kinks_are_zero",
        ),
        (
            "silu-slope",
            "return V(mul)(s, V(fma)(z, rest, one));",
            "return V(mul)(s, V(add)(rest, one));",
            "test_gradients.py::test_every_activation_in_hidden_layers",
        ),
        (
            "gelu-slope",
            "return V(fma)(z, phi, cdf);",
            "return V(add)(phi, cdf);",
            "test_gradients.py::test_every_activation_in_hidden_layers",
        ),
        (
            "elu-slope-at-a",
            "return V(select)(V(gt)(a, V(set1)(0)), V(set1)(1), V(add)(a, V(set1)(1)));",
            "return V(select)(V(gt)(a, V(set1)(0)), V(set1)(1), a);",
            "test_gradients.py::test_every_activation_in_hidden_layers",
        ),
        (
            "activation-tail-with-a-bias",
            "vreal x = V(add)(V(load_n)(z + j, rest), V(load_n)(bias + j, rest));",
            "vreal x = V(load_n)(z + j, rest);",
            "test_gradients.py::test_widths_and_batches_from_1_to_70",
        ),
    ),
    *of(
        "csrc/kernels/arch/reductions.inc.h",
        (
            "column-sums-of-the-last-columns",
            "if (j < cols) V(col_sum_strip)(1, (int)(cols - j)",
            "if (j + 1 < cols) V(col_sum_strip)(1, (int)(cols - j)",
            "test_gradients.py::test_widths_and_batches_from_1_to_70",
        ),
        (
            "squares-of-the-tail",
            "V(tally)(square, V(load_n)(x + j, (int)(n - j)), s[1]);",
            "V(tally)(square, V(load_n)(x + j, (int)(n - j) - 1), s[1]);",
            "test_optimizers.py::test_norms_and_penalties_of_any_number_of_weights",
        ),
    ),
    *of(
        "csrc/kernels/arch/gemm_tile.inc.h",
        (
            "gemm-last-vector",
            "const int last = (width - 1) / LANES, part",
            "const int last = width / (LANES + 1), part",
            "test_gradients.py::test_widths_and_batches_from_1_to_70",
        ),
        (
            "gemm-forgets-to-accumulate",
            "if (!accumulate)\n                acc->whole[i][j] = V_ZERO();",
            "if (!accumulate || i > 1)\n                acc->whole[i][j] = V_ZERO();",
            "test_gradients.py::test_a_long_batch_is_the_mean_of_its_pieces",
        ),
    ),
    # ---- products and passes ----
    *of(
        "csrc/engine/gemm.inc.h",
        (
            "product-share-without-a-row",
            "ranges[0] = m * row / grid_m;",
            "ranges[0] = m * row / grid_m + (row > 0);",
            "test_products.py::test_any_number_of_threads_gives_the_product",
        ),
        (
            "product-share-without-a-panel",
            "ranges[3] = bp_min_i64(panels * (col + 1) / grid_n * nr, n);",
            "ranges[3] = bp_min_i64((panels * (col + 1) / grid_n - (grid_n > 1)) * nr, n);",
            "test_products.py::test_any_number_of_threads_gives_the_product",
        ),
        (
            "epilogue-before-the-last-sum",
            "const int has_epilogue = p->epilogue && r->p1 == p->k;",
            "const int has_epilogue = p->epilogue && r->p0 == 0;",
            "test_products.py::test_layers_of_long_and_of_narrow_products",
        ),
        (
            "narrow-product-from-column-1",
            "c[i * p->c_rs + j] = c_transposed[j * rows + i];\n    apply_epilogue",
            "c[i * p->c_rs + j] = c_transposed[j * rows + i] * (j == 1 ? 2 : 1);\n"
            "    apply_epilogue",
            "test_products.py::test_layers_of_long_and_of_narrow_products",
        ),
    ),
    *of(
        "csrc/engine/targets.inc.h",
        (
            "labels-not-smoothed",
            "== BP_INT64 && net->label_smoothing == 0.0;",
            "== BP_INT64;",
            "test_label_smoothing.py::test_the_oracle_agrees",
        ),
        (
            "sample-weights-of-other-rows",
            "data->sample_weight[bp_row(rows, i)] : 1.0",
            "data->sample_weight[rows->first + i] : 1.0",
            "test_training.py::test_sample_weights_stay_with_their_rows",
        ),
    ),
    *of(
        "csrc/engine/pass.inc.h",
        (
            "an-example-without-bias",
            "1, n_out, z, n_out, w->parameters + layer->b, out, n_out);",
            "1, n_out, z, n_out, NULL, out, n_out);",
            "test_small_networks.py::test_one_example_at_a_time",
        ),
        (
            "dropout-of-a-block-begins-anew",
            "(block->offset + i) * layer->n_out + tile.n0",
            "i * layer->n_out + tile.n0",
            "test_random.py::test_masks_of_a_step_go_by_row_and_unit",
        ),
        (
            "dropout-without-schedule",
            "return block->dropout * w->net->layers[l].dropout;",
            "return w->net->layers[l].dropout + 0.0 * block->dropout;",
            "test_dropout_schedule.py::test_steps_against_the_reference",
        ),
        (
            "dropout-not-scaled-back",
            "delta[j] = mask[j] ? delta[j] * kept : 0;",
            "delta[j] = mask[j] ? delta[j] : 0;\n    (void)kept;",
            "test_gradients.py::test_dropout_with_its_mask",
        ),
        (
            "delta-over-the-layer-above",
            "if (j != next_buffer && pass->ld",
            "if (pass->ld",
            "test_gradients.py::test_one_to_five_layers test_gradients.py::"
            "test_equal_widths_and_batch",
        ),
    ),
    *of(
        "csrc/engine/batch.inc.h",
        (
            "penalty-of-the-last-chunk",
            "penalty_of_chunk(net, bp_min_i64(count - i, CHUNK), w + i);",
            "penalty_of_chunk(net, bp_min_i64(count - i - 1, CHUNK), w + i);",
            "test_gradients.py::test_penalties test_api.py::test_cost_by_the_formula",
        ),
    ),
    *of(
        "csrc/engine/plan.c",
        (
            "fused-step-of-several-blocks",
            "(plan.shared && rows <= plan.block && !is_whole)",
            "(plan.shared && !is_whole)",
            "test_training.py::test_a_step_of_several_blocks_is_the_update_by_the_whole_gradient",
        ),
        (
            "weights-not-summed-by-rows",
            "sum += data->sample_weight[bp_row(rows, i)];",
            "sum += data->sample_weight[i];",
            "test_training.py::test_weights_of_a_shuffled_batch_are_those_of_its_rows",
        ),
    ),
    *of(
        "csrc/engine/columns.inc.h",
        (
            "examples-beyond-the-batch-in-the-gradient",
            ".k = block->n,",
            ".k = whole_vectors(block->n),",
            "test_small_networks.py::test_gradients_of_any_batch",
        ),
        (
            "one-mask-for-all-examples",
            "mask[i * n_out + j] ? out[i] * kept : 0",
            "mask[j] ? out[i] * kept : 0",
            "test_gradients.py::test_dropout_with_its_mask",
        ),
    ),
    # ---- networks ----
    *of(
        "csrc/api/net.c",
        (
            "scaling-kept-in-part",
            "net->scale = new_scale;\n    bp_net_leave(net);",
            "net->scale = new_shift ? new_scale : net->scale;\n    bp_net_leave(net);",
            "test_bad_input.py::test_inputs_of_any_arrangement_are_scaled_alike",
        ),
        (
            "network-not-held",
            "atomic_store_explicit(&net->owner, 0, memory_order_release);",
            "(void)net;",
            "test_api.py::test_predict_has_the_same_bits_on_every_path",
        ),
        (
            "labels-not-checked",
            "if (label < 0 || label >= n_out) return 0;",
            "if (label > n_out) return 0;",
            "test_fast_paths.py::test_labels_of_step",
        ),
        (
            "parameters-set-not-packed",
            "(size_t)count * size);\n    net->packed_stale = 1;",
            "(size_t)count * size);\n    net->packed_stale = net->packed_stale;",
            "test_api.py::test_assigned_parameters_take_effect",
        ),
    ),
    # ---- derivatives ----
    *of(
        "csrc/engine/derive_inputs.inc.h",
        (
            "jacobian-without-scale",
            "to[j] = scale ? from[j] * scale[j] : from[j];",
            "to[j] = from[j];\n            (void)scale;",
            "test_derivatives.py::test_derivatives_in_inputs_against_graph",
        ),
        (
            "laplacian-of-the-last-inputs",
            "else if (j == 0)\n            memcpy(out, v,",
            "else if (j >= 0)\n            memcpy(out, v,",
            "test_derivatives.py::test_laplacian_of_many_inputs_is_the_sum_of_the_diagonal",
        ),
        (
            "softmax-bend-without-mean",
            "to[k] += (u[k] - mean) * (u[k] - mean);",
            "to[k] += (u[k] - mean) * u[k];",
            "test_derivatives.py::test_derivatives_in_inputs_against_graph",
        ),
    ),
    *of(
        "csrc/engine/derive_parameters.inc.h",
        (
            "norms-without-biases",
            "a + i * bp_derive_ld_in(s->job, l)) + 1.0);",
            "a + i * bp_derive_ld_in(s->job, l)));",
            "test_derivatives.py::test_per_sample_gradients_are_those_of_each_example",
        ),
        (
            "hvp-of-mse",
            "return 2.0 / (double)n_out;",
            "return 2.0;",
            "test_derivatives.py::test_hvp_against_graph",
        ),
        (
            "hvp-without-second-derivatives",
            "da[k] * (delta[k] - mean) + a[k] * (ddelta[k] - dmean)",
            "a[k] * (ddelta[k] - dmean)",
            "test_derivatives.py::test_hvp_against_graph",
        ),
    ),
]
