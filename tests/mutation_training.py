"""Seeded bugs of training: runs, updates and optimizers; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

TRAINING: list[Bug] = [
    *of(
        "csrc/engine/update.inc.h",
        ("one-rate", "(!net->has_factors)", "(1)", "test_lr_factors.py::test_own_rates"),
        (
            "states-of-scales-for-the-weights",
            "state ? state + job->net->n_scales : NULL",
            "state",
            "test_input_scales.py::test_the_rules_in_pure_python",
        ),
        (
            "biases-of-an-example-not-updated",
            "layer->b, layer->n_out, w->scratch);",
            "layer->b, layer->n_out - 1, w->scratch);",
            "test_small_networks.py::test_one_example_at_a_time",
        ),
        (
            "parts-not-added-up",
            "for (int step = 1; step < job->plan.parts; step *= 2)",
            "for (int step = 2; step < job->plan.parts; step *= 2)",
            "test_gradients.py::test_batches_that_are_cut_and_shared",
        ),
        (
            "packed-copy-out-of-date",
            "(bp_tile){row, row + rows, tile.n0, tile.n1}",
            "(bp_tile){row, row, tile.n0, tile.n1}",
            "test_training.py::test_after_an_update_the_new_weights_are_used",
        ),
        (
            "tiles-of-another-gradient",
            "const bp_tile tile = {row, bp_min_i64(row + size.rows, end), col, right};",
            "const bp_tile tile = {row, bp_min_i64(row + size.rows, end), 0, right - col};",
            "test_threads.py::test_layers_updated_in_tiles_are_right_to_the_bit",
        ),
        (
            "clipping-by-one-member",
            "chunk < chunks; chunk += members) {",
            "chunk < chunks; chunk += members + 1) {",
            "test_optimizers.py::test_clip_norm_of_many_parameters",
        ),
    ),
    *of(
        "csrc/engine/scales.inc.h",
        (
            "gradient-of-scales-from-the-product",
            "const real *w = raw_weights(net) + i * layer->n_in;",
            "const real *w = (const real *)net->parameters + i * layer->n_in;",
            "test_input_scales.py::test_the_rules_in_pure_python",
        ),
        (
            "gradient-of-the-product",
            "g[j] *= scales[j];",
            "(void)scales;",
            "test_input_scales.py::test_the_rules_in_pure_python",
        ),
        (
            "scales-not-kept",
            "if (begin < cut)",
            "if (begin < cut && net->n_scales == 0)",
            "test_input_scales.py::test_files_and_copies",
        ),
        (
            "old-scales-for-new-weights",
            "scales_of(net)[j] = 1;",
            "scales_of(net)[j] = scales_of(net)[j];",
            "test_input_scales.py::test_assigning_weights",
        ),
    ),
    *of(
        "csrc/engine/finish.c",
        (
            "steps-not-put-back",
            "net->steps = fit->backup_step;",
            "(void)fit->backup_step;",
            "test_training.py::test_training_goes_on_from_the_last_finite_epoch",
        ),
    ),
    *of(
        "csrc/engine/fit.c",
        (
            "last-batch-of-a-whole-size",
            "remaining < fit->batch_size ? remaining : fit->batch_size",
            "remaining < fit->batch_size && 0 ? remaining : fit->batch_size",
            "test_training.py::test_epoch_is_the_steps_over_its_permutation",
        ),
        (
            "turns-of-replicas-go-on",
            "is_up ? 0 : s->every - 1",
            "s->every - 1",
            "test_small_networks.py::test_members_wait_for_each_other_once_a_step",
        ),
        (
            "epochs-shuffled-alike",
            "bp_random_permutation(fit->shuffle_seed, (uint64_t)net->epochs,",
            "bp_random_permutation(fit->shuffle_seed, (uint64_t)(net->epochs < 0),",
            "test_training.py::test_epoch_is_the_steps_over_its_permutation",
        ),
        (
            "epoch-cost-by-batches",
            "fit->cost_sum += cost * weight;",
            "fit->cost_sum += cost * (double)batch->n;",
            "test_training.py::test_weights_of_a_shuffled_batch_are_those_of_its_rows",
        ),
    ),
    *of(
        "csrc/api/train.c",
        (
            "resumed-epoch-of-another-start",
            "fit->backup_step = net->steps - batch;",
            "fit->backup_step = net->steps;",
            "test_checkpoints.py::test_the_last_finite_epoch_survives",
        ),
    ),
    *of(
        "csrc/engine/fit.inc.h",
        (
            "diverged-step-is-done",
            "if (isfinite(cost) && !one->job.plan.fused)",
            "if (!one->job.plan.fused)",
            "test_training.py::test_step_with_a_cost_that_is_not_finite_updates_nothing",
        ),
    ),
    *of(
        "csrc/engine/train.inc.h",
        (
            "parameters-not-looked-at",
            "if (last) check_parameters",
            "if (last && 0) check_parameters",
            "test_training.py::test_divergence_leaves_the_last_finite_epoch",
        ),
    ),
    *of(
        "csrc/engine/replicas.inc.h",
        (
            "replicas-without-scales",
            "return plan->columns && net->n_scales == 0;",
            "return plan->columns;",
            "test_input_scales.py::test_any_number_of_threads_and_slices",
        ),
        (
            "sum-of-replicas-in-a-row",
            "add(count, left, right, room);",
            "add(count, right, left, room + PIECE);",
            "test_small_networks.py::test_any_number_of_threads",
        ),
        (
            "replicas-with-one-set-of-gradients",
            "const int set = batch & 1;",
            "const int set = batch & 0;",
            "test_small_networks.py::test_any_number_of_threads",
        ),
        (
            "replicas-forget-a-state",
            "replica.state[i] = copy_vector(replica.state[i], n, room += each);",
            "replica.state[i] = copy_vector(replica.state[0], n, room += each);",
            "test_small_networks.py::test_any_number_of_threads",
        ),
        (
            "replicas-of-another-rate",
            "rates ? rates[batch - begin] : bp_optimizer_rates(&optimizer)",
            "rates ? rates[0] : bp_optimizer_rates(&optimizer)",
            "test_small_networks.py::test_a_schedule_reaches_every_replica",
        ),
        (
            "replicas-without-dropout-schedule",
            "own.dropout, set);",
            "1.0, set);",
            "test_dropout_schedule.py::test_all_ways_to_train_agree",
        ),
        (
            "replicas-do-not-clip",
            "update.grad_scale = clipped_gradient(job, replica, room, gradient);",
            "clipped_gradient(job, replica, room, gradient);",
            "test_small_networks.py::test_any_number_of_threads",
        ),
        (
            "replicas-not-looked-at",
            "!all_finite(m->job.net->n_parameters, m->replica.parameters)",
            "m->job.net->n_parameters < 0",
            "test_small_networks.py::test_a_last_update_that_is_not_finite",
        ),
    ),
    *of(
        "csrc/engine/optim.c",
        (
            "decay-at-one-rate",
            "u.decay_step *= factors->lr * factors->decay;",
            "u.decay_step *= factors->decay;",
            "test_lr_factors.py::test_own_rates",
        ),
        (
            "one-decay-for-all",
            "u.decay_step *= factors->lr * factors->decay;",
            "u.decay_step *= factors->lr;",
            "test_decay_factors.py::test_own_factors",
        ),
        (
            "one-coupled-decay-for-all",
            "u.weight_decay *= factors->decay;",
            "",
            "test_decay_factors.py::test_own_factors",
        ),
        (
            "one-eps-for-all",
            "u.eps *= factors->eps;",
            "",
            "test_decay_factors.py::test_own_factors",
        ),
        (
            "vectors-of-another-length",
            "if (o->dtype != dtype || o->n != n) return BP_ERR_ARGUMENT;",
            "if (o->dtype != dtype) return BP_ERR_ARGUMENT;",
            "test_concurrency.py::test_the_core_refuses_vectors_of_other_parameters",
        ),
        (
            "adam-bias-of-the-step-before",
            "const double t = (double)o->step + 1.0;",
            "const double t = (double)o->step + 1.5;",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "adamw-decay-without-rate",
            "u.decay_step = lr * rates.weight_decay;",
            "u.decay_step = rates.weight_decay * 0.001;",
            "test_optimizers.py::test_fifty_steps",
        ),
        (
            "decay-of-no-step",
            ".weight_decay = rates.weight_decay,\n        .decay = 1.0",
            ".weight_decay = o->weight_decay,\n        .decay = 1.0",
            "test_decay_schedules.py::test_all_ways_to_train_agree",
        ),
        (
            "clipping-lengthens",
            "return factor < 1.0 ? factor : 1.0;",
            "return factor;",
            "test_optimizers.py::test_a_gradient_shorter_than_clip_norm_is_left_alone",
        ),
    ),
]
