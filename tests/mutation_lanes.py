"""Seeded bugs of training in the lanes of vectors; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

ALONE = "test_many_lanes.py::test_bits_are_those_of_single_fits"
BATCHES = "test_many_lanes.py::test_bits_for_every_size_of_batch"
OTHERS = "test_many_lanes.py::test_other_networks_are_trained_one_by_one"

LANES: list[Bug] = [
    *of(
        "csrc/kernels/arch/lanes.inc.h",
        (
            "lane-sum-of-neighbours",
            "x[i] = V(add)(x[i], x[i + n]);",
            "x[i] = V(add)(x[2 * i], x[2 * i + 1]);",
            BATCHES,
        ),
        (
            "lane-bias-first",
            "sum[i][j] = V(set1)(0);",
            "sum[i][j] = bias ? V(load)(bias + j * V(lanes)) : V(set1)(0);",
            ALONE,
        ),
    ),
    *of(
        "csrc/kernels/arch/updates.inc.h",
        (
            "lane-scalars-of-the-first",
            "V(convert)(&updates[lane]);",
            "V(convert)(&updates[0]);",
            ALONE,
        ),
        (
            "lanes-without-weight-decay",
            "to->is_plain &= V(is_plain)(&c);",
            "to->is_plain = V(is_plain)(&c) || lane > 0;",
            ALONE,
        ),
    ),
    *of(
        "csrc/engine/lane_memory.inc.h",
        (
            "lane-momentum-is-kept",
            "(real)-0.0;",
            "(real)1;",
            ALONE,
        ),
    ),
    *of(
        "csrc/engine/lane_batch.inc.h",
        (
            "lanes-of-one-part",
            "if (part > 0) g->kernels->add(",
            "if (part > 1) g->kernels->add(",
            BATCHES,
        ),
    ),
    *of(
        "csrc/engine/lanes.inc.h",
        (
            "lanes-learn-the-rows-of-one",
            "a->picked == b->picked",
            "(a->picked == b->picked || 1)",
            ALONE,
        ),
        (
            "lanes-learn-in-one-order",
            "a->shuffle_seed == b->shuffle_seed",
            "(a->shuffle_seed == b->shuffle_seed || 1)",
            ALONE,
        ),
        (
            "lanes-of-one-scaling",
            "return x && y ? memcmp(x, y, (size_t)n * sizeof *x) == 0 : x == y;",
            "return (void)x, (void)y, (void)n, 1;",
            ALONE,
        ),
        (
            "lanes-keep-their-rates",
            "g->has_scalars = !changes;",
            "g->has_scalars = changes || 1;",
            ALONE,
        ),
        (
            "lanes-keep-no-epoch",
            "if (first->batch == 0)",
            "if (first->batch < 0)",
            "test_many_lanes.py::test_one_lane_diverges_and_the_others_go_on",
        ),
        (
            "lanes-break-unseen",
            "sums[lane] = NAN;",
            "sums[lane] = 0;",
            "test_many_lanes.py::test_parameters_that_break_in_the_last_update_of_an_epoch_are_found",
        ),
    ),
    *of(
        "csrc/engine/lanes.c",
        ("lanes-for-one-row", "end - begin < 2", "end - begin < 1", OTHERS),
        (
            "lanes-with-dropout",
            "net->layers[l].dropout > 0.0",
            "net->layers[l].dropout > 2",
            OTHERS,
        ),
        (
            "lanes-whose-decay-ends",
            "if ((s->rates[i].weight_decay != 0.0) != first) return 0;",
            "if (first < 0) return 0;",
            "test_decay_schedules.py::test_networks_that_all_decay_are_trained_in_lanes",
        ),
        (
            "lanes-without-scales",
            "!net->has_factors && net->n_scales == 0 &&",
            "!net->has_factors &&",
            "test_input_scales.py::test_members_are_trained_as_alone",
        ),
        ("lanes-with-penalties", "!(net->l1 > 0.0 || net->l2 > 0.0)", "1", OTHERS),
        ("lanes-with-clipping", "!(s->optimizer->clip_norm > 0.0)", "1", OTHERS),
        (
            "lanes-of-two-rules",
            "a->kind != b->kind || ",
            "",
            "test_many_lanes.py::test_only_networks_with_the_same_work_share_a_vector",
        ),
        (
            "lanes-for-few",
            "if (2 * n < (int64_t)lanes * threads) return 0;",
            "if (2 * n < (int64_t)lanes) return 0;",
            "test_many_lanes.py::test_bits_around_whole_vectors",
        ),
    ),
    *of(
        "csrc/engine/groups.c",
        (
            "lanes-that-fall-apart",
            "most = bp_min_i64(most, s->max_batches);",
            "most = INT64_MAX;",
            "test_many_lanes.py::test_networks_of_which_some_have_a_schedule_stay_together",
        ),
    ),
    *of(
        "csrc/engine/optim.c",
        (
            "corrections-of-another-step",
            "o->step == other->step && ",
            "",
            "test_many_lanes.py::test_optimizers_of_different_ages_share_a_vector",
        ),
    ),
]
