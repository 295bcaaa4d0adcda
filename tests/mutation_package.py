"""Seeded bugs of the Python package; see mutation_bugs."""

from __future__ import annotations

from mutation_bugs import Bug, of

PACKAGE: list[Bug] = [
    # ---- the package: calls ----
    *of(
        "pybackprop/_core/net.py",
        (
            "fast-step-shape-of-y",
            "if y.shape != ((rows,) if y.dtype is INT64 else (rows, self.n_out)):",
            "if rows != self._rows and"
            " y.shape != ((rows,) if y.dtype is INT64 else (rows, self.n_out)):",
            "test_fast_paths.py::test_targets_of_step"
            " test_fast_paths.py::test_rows_that_change_from_step_to_step",
        ),
        (
            "fast-predict-read-only-out",
            "or not out.flags.carray\n",
            "or not out.flags.c_contiguous\n",
            "test_fast_paths.py::test_out_of_predict",
        ),
        (
            "fast-predict-over-its-inputs",
            "            or may_share_memory(x, out)\n",
            "",
            "test_fast_paths.py::test_out_that_shares_memory_with_the_inputs",
        ),
        (
            "fast-step-old-rows",
            "self._rows = self._x.rows = self._y.rows = rows",
            "self._rows = self._x.rows = rows",
            "test_fast_paths.py::test_rows_that_change_from_step_to_step",
        ),
        (
            "fast-step-unaligned",
            " or not (x.flags.aligned and y.flags.aligned):",
            ":",
            "test_fast_paths.py::test_unaligned_arrays_are_not_for_the_fast_path",
        ),
        (
            "fast-step-constant-rate",
            "if optimizer.schedules:\n                optimizer.next_rates()",
            "if False:\n                optimizer.next_rates()",
            "test_fast_paths.py::test_optimizers_of_step",
        ),
        (
            "fit-lets-others-in",
            "if self.fit is not None and self.fit.thread != get_ident():",
            "if False:",
            "test_bad_input.py::test_second_thread_is_refused_while_a_fit_is_on",
        ),
        (
            "cost-of-pieces-by-rows",
            "weight = float(len(x[rows]) if part is None else part.sum())",
            "weight = float(len(x[rows]))",
            "test_api.py::test_cost_in_pieces_is_the_weighted_mean",
        ),
    ),
    *of(
        "pybackprop/_core/optimizer.py",
        (
            "steps-without-decay-schedule",
            "for name, schedule in self.schedules.items():",
            "for name, schedule in list(self.schedules.items())[:0]:",
            "test_decay_schedules.py::test_an_update_follows_the_rule",
        ),
        (
            "optimizer-beside-a-fit",
            "if fit.thread != get_ident():",
            "if False:",
            "test_concurrency.py::test_every_call_does_what_the_page_says",
        ),
    ),
    *of(
        "pybackprop/optimizers/_base.py",
        (
            "rates-beyond-the-end",
            "last = first + count - 1",
            "last = first + count",
            "test_dropout_schedule.py::test_only_steps_that_are_taken_count",
        ),
        (
            "state-of-another-size-in-a-callback",
            "if fit is not None and key is not None and key is not fit.key:",
            "if False:",
            "test_concurrency.py::test_a_state_of_a_smaller_network_is_refused_and_the_fit_goes_on",
        ),
    ),
    *of(
        "pybackprop/inputs.py",
        (
            "bytes-are-labels",
            "return targets.reshape(-1) if targets.dtype == INT64 else targets",
            'return targets.reshape(-1) if targets.dtype.kind in "iu" else targets',
            "test_tuning.py::test_targets_in_bytes_are_no_labels_where_there_are_several_outputs",
        ),
        (
            "masked-values-are-read",
            "if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):",
            "if False:",
            "test_bad_input.py::test_refused_inputs",
        ),
        (
            "probabilities-above-one",
            "if not (low >= 0 and high <= 1):",
            "if not low >= 0:",
            "test_bad_input.py::test_refused_targets",
        ),
        (
            "labels-of-the-next-class",
            "if low < 0 or high >= n_out:",
            "if low < 0 or high > n_out:",
            "test_bad_input.py::test_refused_targets",
        ),
    ),
    # ---- the package: training ----
    *of(
        "pybackprop/training/loop.py",
        (
            "rates-of-steps-that-were-reset",
            "or not 0 <= used < len(self._rates)",
            "or used >= len(self._rates)",
            "test_concurrency.py::test_reset_in_a_callback_is_reset_between_two_fits",
        ),
        (
            "equal-costs-keep-the-later",
            "best is None or val_cost < history.val_cost[best]",
            "best is None or val_cost <= history.val_cost[best]",
            "test_training.py::test_of_equal_validation_costs_the_first_is_the_best",
        ),
        (
            "best-not-put-back",
            "if self.best is not None:",
            "if self.best is not None and history.stopped_early:",
            "test_training.py::test_patience_that_is_not_used_up",
        ),
        (
            "best-is-the-running-epoch",
            "self.network._net.set_trained(self.best)",
            "self.network._net.set_trained(self.network._net.trained())",
            "test_training.py::test_patience_stops_and_puts_the_best_back",
        ),
        (
            "held-out-weights-lost",
            "self.held_out = _core.Data(inputs[test], targets[test], part)",
            "self.held_out = _core.Data(inputs[test], targets[test])",
            "test_training.py::test_validation_pair_and_fraction",
        ),
    ),
    *of(
        "pybackprop/training/stream.py",
        (
            "stream-cost-by-rows",
            "weighted = len(batch) == 3 and batch[2] is not None",
            "weighted = False",
            "test_streaming.py::test_cost_of_an_epoch_is_weighted_like_its_batches",
        ),
        (
            "stream-of-other-batches",
            'if position.more != {"steps": self.steps, "digest": self.digest}:',
            'if position.more.get("steps") != self.steps:',
            "test_checkpoints.py::test_a_stream_with_another_value_is_another_stream",
        ),
        (
            "stream-equal-costs-keep-the-later",
            "best is None or val_cost < history.val_cost[best]",
            "best is None or val_cost <= history.val_cost[best]",
            "test_training.py::test_of_equal_validation_costs_the_first_is_the_best",
        ),
    ),
    *of(
        "pybackprop/training/checkpoints.py",
        (
            "checkpoint-of-other-data",
            'if name.endswith(("checksum", "shift", "scale")) and None not in (stored, own):',
            'if name.endswith("checksum"):\n        return None\n    if name.endswith(("shift", '
            '"scale")) and None not in (stored, own):',
            "test_checkpoints_refused.py::test_another_run",
        ),
        (
            "checkpoint-without-best",
            '"start": position.start, "best": position.best}',
            '"start": position.start, "best": None}',
            "test_checkpoints.py::test_patience_goes_on_where_it_was",
        ),
        (
            "checkpoint-counters-lost",
            "network._net.set_counters(*self._model.counters)",
            "network._net.set_counters(self._model.counters[0], 0)",
            "test_checkpoints.py::test_a_chain_of_short_lives",
        ),
    ),
    *of(
        "pybackprop/schedules.py",
        (
            "warm-up-from-zero",
            "np.minimum((steps + 1.0) / self.warmup, 1.0)",
            "np.minimum(steps / self.warmup, 1.0)",
            "test_schedules.py::test_constant_after_linear_warmup",
        ),
        (
            "step-schedule-rounds",
            "self.lr * self.gamma ** np.floor(s / self.step_size)",
            "self.lr * self.gamma ** np.rint(s / self.step_size)",
            "test_schedules.py::test_step",
        ),
    ),
    # ---- files ----
    *of(
        "pybackprop/files/write.py",
        (
            "file-not-synced",
            "old.st_mode & 0o777)\n    os.fsync(file.fileno())",
            "old.st_mode & 0o777)",
            "test_exchange_npz.py::test_order_of_writing_mode_and_links",
        ),
        (
            "folder-not-synced",
            "        _sync_folder(os.path.dirname(target))\n",
            "",
            "test_exchange_npz.py::test_order_of_writing_mode_and_links",
        ),
        (
            "link-is-replaced",
            "target = os.path.realpath(name)",
            "target = os.path.abspath(name)",
            "test_exchange_npz.py::test_order_of_writing_mode_and_links",
        ),
        (
            "living-writers-removed",
            "                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
            "",
            "test_file_faults.py::test_leftovers_are_removed_but_no_living_file",
        ),
    ),
    *of(
        "pybackprop/exchange/safetensors.py",
        (
            "safetensors-holes-and-overlaps",
            "            if tensor.begin != at:\n",
            "            if tensor.begin < 0:\n",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "safetensors-trailing-bytes",
            "if self._start + at != size:",
            "if self._start + at > size:",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
    ),
    *of(
        "pybackprop/files/read.py",
        (
            "json-not-a-number",
            "            parse_constant=_refuse_constant,\n",
            "",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "json-infinite-float",
            'if not math.isfinite(number):\n        raise ValueError(f"{shorten(text, 60)}',
            'if math.isnan(number):\n        raise ValueError(f"{shorten(text, 60)}',
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "json-key-twice",
            "        if key in made:\n",
            "        if key is made:\n",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "archive-entries-overlap",
            "entry.header_offset + 30 + entry.compress_size > end",
            "entry.header_offset > end",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "gzip-end-not-needed",
            'raise EOFError("it ends within a member")',
            "return 0",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
        (
            "texts-of-no-characters",
            "> 0x10FFFF).any()",
            "> 0x7FFFFFFF).any()",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
    ),
    *of(
        "pybackprop/datasets/_idx.py",
        (
            "idx-goes-on",
            "    if file.read(1):\n",
            "    if file.read(0):\n",
            "test_hostile_files.py::test_crafted_files_are_refused",
        ),
    ),
    *of(
        "pybackprop/tables/_rows.py",
        (
            "csv-row-too-short",
            "if len(cells) < len(names):",
            "if len(cells) + 1 < len(names):",
            "test_datasets_csv.py::test_malformed_tables_name_file_line_and_column",
        ),
    ),
    *of(
        "pybackprop/tables/_read.py",
        (
            "csv-blanks-are-kept",
            "                head.append((line, [cell.strip() for cell in row]))\n",
            "                head.append((line, list(row)))\n",
            "test_datasets_csv.py",
        ),
    ),
    *of(
        "pybackprop/tables/_encoding.py",
        (
            "one-hot-off-by-one",
            "            start += column.width\n",
            "            start += 1\n",
            "test_datasets_csv.py::test_numbers_and_categories_with_a_header",
        ),
        (
            "pieces-of-another-encoding",
            "if alike != column.treatment.alike:",
            "if alike is None:",
            "test_tables_inputs.py::test_what_encodings_share_is_done_once",
        ),
    ),
    *of(
        "pybackprop/datasets/_dataset.py",
        (
            "one-hot-columns-scaled",
            "            scale[one_hot] = 1.0\n",
            "            scale[one_hot] *= 1.0\n",
            "test_datasets_csv.py::test_categories_are_not_scaled",
        ),
        (
            "small-class-held-out-whole",
            "held[rows[: min(count, rows.size - 1)]] = True",
            "held[rows[: min(count, rows.size)]] = True",
            "test_datasets.py::test_split_keeps_and_holds_out_one_of_every_small_class",
        ),
    ),
    # ---- command line, estimators, graphs ----
    *of(
        "pybackprop/scores.py",
        (
            "r-squared-about-zero",
            "((y - y.mean(axis=0)) ** 2).sum(axis=0)",
            "(y**2).sum(axis=0)",
            "test_scores.py::test_r_squared_is_about_the_mean_of_each_target",
        ),
    ),
    *of(
        "pybackprop/cli/_report.py",
        (
            "plain-loss-of-the-constant",
            "return smoothed(shares, net.label_smoothing)",
            "return shares",
            "test_cli_tables.py::test_label_smoothing_keeps_a_model_of_a_rare_class",
        ),
    ),
    *of(
        "pybackprop/cli/_fitting.py",
        (
            "targets-not-in-raw-units",
            "b * std + mean",
            "b * std",
            "test_cli.py::test_regression_from_table_to_predictions_in_raw_units",
        ),
    ),
    *of(
        "pybackprop/tabular/_base.py",
        (
            "encoding-learnt-from-validation-rows",
            "mask[fold.rows] = True",
            "mask[:] = True",
            "test_tabular.py::test_nothing_is_learnt_from_validation_rows",
        ),
        (
            "refit-that-diverged-predicts",
            'member.status != "done"',
            'member.status == "stopped"',
            "test_tabular_limits.py::test_a_refit_that_diverges_does_not_predict",
        ),
    ),
    *of(
        "pybackprop/tabular/_members.py",
        (
            "first-of-equally-good-epochs",
            "(member.recipe.keeps_last and score == best)",
            "False",
            "test_tabular.py::test_of_equally_good_epochs_the_last_is_kept",
        ),
        (
            "refit-by-the-first-fold",
            "mean = np.mean(scores, axis=0)",
            "mean = np.asarray(scores[0])",
            "test_tabular.py::test_refit_trains_on_all_rows_for_the_epochs_that_were_best_together",
        ),
        (
            "refit-by-diverged-members",
            '[each for each in members if each.status != "diverged"] or members',
            "members",
            "test_tabular_limits.py::test_the_best_epochs_together",
        ),
        (
            "first-members-take-all-time",
            "now + share * (deadline - now)",
            "deadline",
            "test_tabular_limits.py::test_a_time_limit_is_shared_by_members_that_are_trained_in_turn",
        ),
    ),
    *of(
        "pybackprop/tabular/_folds.py",
        (
            "rows-of-one-time-divided",
            "held = time >= first",
            "held = np.argsort(np.argsort(time)) >= int((1.0 - _SHARE) * len(time))",
            "test_tabular.py::test_the_last_rows_by_time_validate",
        ),
    ),
    *of(
        "pybackprop/recipes.py",
        (
            "rate-not-by-the-inputs",
            "(1.0 / root, 0.1)",
            "(1.0, 0.1)",
            "test_recipes.py::test_a_network_trains_as_the_parametrisation_says",
        ),
    ),
    *of(
        "pybackprop/sklearn/_solvers.py",
        (
            "estimator-loss-not-scaled",
            "estimator.loss_ = end.cost * scale",
            "estimator.loss_ = end.cost",
            "test_sklearn.py::test_loss_curve_is_scikit_learns"
            " test_sklearn.py::test_multilabel_and_poisson_curves_are_scikit_learns",
        ),
        (
            "estimator-velocity-not-kept",
            "            buffer *= self._rate() / rate\n",
            "            buffer *= 1.0\n",
            "test_sklearn.py::test_loss_curve_is_scikit_learns",
        ),
        (
            "sparse-batches-of-one-weight",
            "total += of_batch * network.step(x, batch.y, self.optimizer, batch.weights)",
            "total += of_batch * network.step(x, batch.y, self.optimizer)",
            "test_sklearn.py::test_sparse_input_gives_what_dense_input_gives",
        ),
    ),
    *of(
        "pybackprop/sklearn/_base.py",
        (
            "class-weights-replace-others",
            "return as_weights(by_class if given is None else by_class * given, rows), given",
            "return as_weights(by_class, rows), given",
            "test_sklearn.py::test_class_weight_is_a_sample_weight",
        ),
        (
            "coefficients-not-turned",
            "array.T, b)))",
            "np.reshape(array, w.shape), b)))",
            "test_sklearn.py::test_weights_can_be_read_and_set",
        ),
    ),
    *of(
        "pybackprop/graph/_elementwise.py",
        (
            "graph-sqrt",
            "(lambda g, out, x: 0.5 * g / out,),",
            "(lambda g, out, x: 0.5 * g / x,),",
            "test_graph_derivatives.py::test_gate_derivatives",
        ),
        (
            "graph-minimum",
            "(lambda g, out, x, y: g * _larger(y, x), lambda g, out, x, y: g * _larger(x, y)),",
            "(lambda g, out, x, y: g * _larger(y, x), lambda g, out, x, y: g * _larger(y, x)),",
            "test_graph_derivatives.py::test_gate_derivatives",
        ),
    ),
    *of(
        "pybackprop/graph/_arrays.py",
        (
            "graph-index-named-twice",
            "    np.add.at(result, index, g)\n",
            "    result[index] += g\n",
            "test_graph_derivatives.py",
        ),
        (
            "graph-softmax",
            "return out * (g - sum(g * out, axis=axis, keepdims=True))",
            "return out * (g - sum(g, axis=axis, keepdims=True))",
            "test_graph_derivatives.py::test_gate_derivatives",
        ),
    ),
]
