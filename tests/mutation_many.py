"""Seeded bugs of what works on many networks side by side; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

MANY: list[Bug] = [
    *of(
        "csrc/engine/stack.inc.h",
        (
            "stack-keeps-old-packed-weights",
            "if (s->nets[i]->packed_stale) return 0;",
            "if (s->nets[0]->packed_stale) return 0;",
            "test_many_predict.py::test_networks_follow_training_and_replacement",
        ),
        (
            "stack-leaves-out-the-last-group",
            "groups = bp_ceil_div(s->n, s->group)",
            "groups = bp_max_i64(s->n / s->group, 1)",
            "test_many_predict.py::test_bits_are_those_of_single_networks",
        ),
        (
            "stack-writes-outputs-without-gaps",
            "i < n && status == BP_OK; i++)\n        status = net_predict(nets[i], data, "
            "(real *)out + i * stride);",
            "i < n && status == BP_OK; i++)\n        status = net_predict(nets[i], data, "
            "(real *)out + i);",
            "test_many_predict.py::test_large_networks",
        ),
    ),
    *of(
        "csrc/api/many.c",
        (
            "stack-leaves-networks-held",
            "        leave_nets(nets, i);\n",
            "",
            "test_many_predict.py::test_a_network_in_use_is_named_and_the_others_are_free_again",
        ),
        (
            "ended-networks-keep-workspaces",
            "            tidy(tasks[i].fit->net);\n",
            "            (void)tidy;\n",
            "test_faults.py::test_every_request_may_fail",
        ),
        (
            "stack-takes-any-shape",
            "if (bp_net_is_like(nets[0], nets[i])) continue;",
            "if (nets[0]->dtype == nets[i]->dtype) continue;",
            "test_many_predict.py::test_networks_of_two_shapes_are_refused",
        ),
    ),
    *of(
        "pybackprop/_core/many.py",
        (
            "costs-name-places",
            "called = [numbers[chosen[at]] for at in some]",
            "called = [numbers[at] for at in some]",
            "test_many_failing.py::test_costs_name_the_network_not_its_place",
        ),
    ),
    *of(
        "pybackprop/many/_checkpoints.py",
        (
            "members-that-were-stopped-go-on",
            'np.where(self._position.status() == "running", left, 0)',
            "left",
            "test_dropout_schedule.py::test_a_network_that_has_been_stopped_takes_no_more_steps",
        ),
    ),
    *of(
        "pybackprop/many/_networks.py",
        (
            "stack-of-a-replaced-member",
            "        self._members[at] = made\n        self._stack = None\n",
            "        self._members[at] = made\n",
            "test_many_predict.py::test_networks_follow_training_and_replacement",
        ),
    ),
    *of(
        "pybackprop/many/_ensemble.py",
        (
            "mean-asks-members-without-weight",
            "used = np.flatnonzero(shares)",
            "used = np.arange(len(shares))",
            "test_many_predict.py::test_a_member_without_weight_may_have_any_outputs",
        ),
        (
            "sum-in-pairs",
            "found: Array = np.add.accumulate(values, axis=0)[-1]",
            "found: Array = values.sum(axis=0)",
            "test_many_predict.py::test_sums_are_in_the_order_of_the_members",
        ),
    ),
    *of(
        "pybackprop/exchange/many.py",
        (
            "networks-file-without-own-settings",
            "member = {name: each.settings[name] for name in own if name in each.settings}",
            "member = {name: first[name] for name in own if name in first}",
            "test_many_files.py::test_everything_is_kept",
        ),
        (
            "networks-file-any-setting",
            "not each.keys() <= {*_OWN, *_STATE}",
            "not each",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "networks-file-scaling-of-others",
            'dict(zip(header["scaling"], zip(*stacked.scaling, strict=True), strict=True))',
            "dict(enumerate(zip(*stacked.scaling, strict=True)))",
            "test_many_files.py::test_everything_is_kept",
        ),
    ),
    *of(
        "pybackprop/exchange/onnx_many.py",
        (
            "onnx-softmax-over-rows",
            "    axis = 2\n",
            "    axis = 1\n",
            "test_many_files.py::test_onnx_computes_the_mean",
        ),
        (
            "onnx-mean-of-all-members",
            "used = np.flatnonzero(shares).tolist()",
            "used = np.arange(len(shares)).tolist()",
            "test_many_files.py::test_onnx_leaves_members_without_weight_out",
        ),
    ),
]
