"""Seeded bugs of training by several processes, in C and in Python; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

DISTRIBUTED: list[Bug] = [
    *of(
        "csrc/engine/shards.c",
        (
            "rows-of-a-shard-cut-low",
            "*begin = (shard * rows + shards - 1) / shards;",
            "*begin = shard * rows / shards;",
            "test_shards.py::test_a_row_belongs_to_the_shard_of_its_position",
        ),
        (
            "shards-joined-wherever-they-begin",
            "left->count == right->count && left->first % (2 * left->count) == 0",
            "left->count == right->count",
            "test_shards.py::test_ranks_threads_and_slices_change_no_bit",
        ),
        (
            "costs-of-shards-not-added",
            "s->costs[s->n_blocks - 1] += s->costs[s->n_blocks];",
            "",
            "test_shards.py::test_the_first_step_follows_the_gradient_of_backprop",
        ),
        (
            "rounding-errors-forgotten",
            "errors[i] = narrow(exact - x[i]);",
            "errors[i] = 0;",
            "test_error_feedback.py::test_what_rounding_leaves_out_is_made_up_for",
        ),
    ),
    *of(
        "csrc/engine/shards.inc.h",
        (
            "dropout-of-each-shard-alike",
            "job->batch.offset = begin;",
            "job->batch.offset = 0;",
            "test_shards.py::test_the_gradient_is_that_of_the_batch",
        ),
        (
            "shard-without-rows-keeps-a-gradient",
            "memset(job->gradient + begin, 0,",
            "memset(job->gradient + begin, 63,",
            "test_shards.py::test_the_gradient_is_that_of_the_batch",
        ),
        (
            "sums-of-shards-not-rounded",
            "bp_shards_join(blocks);\n        round_sum(job, blocks, begin, end);",
            "bp_shards_join(blocks);",
            "test_error_feedback.py::test_ranks_threads_and_slices_change_no_bit",
        ),
        (
            "penalties-of-no-shard",
            "if (job->net->l1 > 0.0 || job->net->l2 > 0.0) sum_penalties(job, member, members);",
            "",
            "test_shards.py::test_the_first_step_follows_the_gradient_of_backprop",
        ),
        (
            "parts-of-a-shard-not-added",
            "add_parts(job, begin, end - begin);",
            "",
            "test_shards.py::test_the_first_step_follows_the_gradient_of_backprop",
        ),
    ),
    *of(
        "pybackprop/distributed/_scaling.py",
        (
            "sums-sent-back-for-nothing",
            "2 / costs.bandwidth",
            "1 / costs.bandwidth",
            "test_scaling.py::test_exchange_by_hand",
        ),
    ),
    *of(
        "pybackprop/training/windows.py",
        (
            "windows-of-an-epoch-shuffled-alike",
            "key = window << _WINDOW_BITS | epoch",
            "key = epoch",
            "test_datasets_windows.py::test_windows_are_shuffled_as_arrays_would_be",
        ),
        (
            "next-window-of-the-same-epoch",
            "following, left = (epoch + 1, 0), left - 1",
            "following, left = (epoch, 0), left",
            "test_datasets_windows.py::test_another_thread_reads_ahead_and_ends",
        ),
    ),
    *of(
        "pybackprop/distributed/_exchange.py",
        (
            "halves-added-as-numpy-does",
            "_core.add(*((own, other) if rank < partner else (other, own)), own)",
            "own += other",
            "test_shards.py::test_sums_below_the_normal_numbers_are_those_of_the_core",
        ),
        (
            "halves-sent-back-in-the-same-order",
            "for partner, kept, given in reversed(steps):",
            "for partner, kept, given in steps:",
            "test_shards.py::test_every_number_of_ranks_adds_as_the_tree",
        ),
    ),
    *of(
        "pybackprop/distributed/_rounding.py",
        (
            "one-row-of-errors-for-all-sums",
            "self.errors[(self.shards + first) // size, part]",
            "self.errors[1, part]",
            "test_error_feedback.py::test_every_number_of_ranks_adds_as_the_definition",
        ),
    ),
    *of(
        "pybackprop/distributed/_shards.py",
        (
            "errors-of-other-ranks-not-kept",
            "self.rounding.gather(self.channel)",
            "pass",
            "test_error_feedback.py::test_another_number_of_ranks_resumes",
        ),
        (
            "own-wish-to-stop-alone",
            "return bool(everyone[:, 0].any())",
            "return stop",
            "test_ranks.py::test_one_rank_that_wants_to_stop_stops_all",
        ),
        (
            "every-rank-writes",
            "super().keep(None, 1, as_source(resume, target))",
            "super().keep(path, every, resume)",
            "test_ranks.py::test_rank_0_alone_writes_and_shows",
        ),
    ),
    *of(
        "pybackprop/distributed/_channel.py",
        (
            "failure-kept-to-itself",
            "                self._tell(error)\n",
            "                pass\n",
            "test_ranks.py::test_a_rank_with_a_bad_argument",
        ),
    ),
]
