"""Models side by side, in and out of distribution: the figures and Table 1 of Naganuma et al.
(2023, arXiv 2307.08187) for any study that compares backbones on tasks with shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.multiplicity import holm
from raystudy.outcomes import MODEL, outcomes
from raystudy.paired import compare
from raystudy.report.figures import Drawn
from raystudy.report.style import BASELINE_COLOUR, compact, looks, panels
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing, percent, plural, short, shots_phrase, signed, spaced
from raystudy.robustness import Line, accuracy_line
from raystudy.transferability.rank import rank_correlation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_MODELS = 3
MOST_TICKS = 3
COLUMNS = 4
"""Panels side by side at most."""
LABELS = {
    "parameters": "parameters",
    "id_accuracy": "in distribution (%)",
    "ood_accuracy": "out of distribution (%)",
    "ood_ece": "ECE out of distribution",
}


@dataclass(frozen=True)
class Evidence:
    """What a comparison of models looks at beside the records."""

    promises: pl.DataFrame
    """``raystudy.stages.promise``."""
    hits: pl.DataFrame
    """``raystudy.stages.hits``."""


@dataclass(frozen=True)
class Comparison:
    """What several backbones reach on the tasks of a study under one adaptation and setting."""

    adaptation: str
    shots: str
    seeds: pl.DataFrame
    """``raystudy.outcomes``, one row a task, model and seed."""

    @property
    def models(self) -> pl.DataFrame:
        """Means over seeds, one row a task and model, the study's order of tasks kept."""
        by = ["task", *MODEL, "family", "parameters", "data"]
        values = [c for c in self.seeds.columns if c.startswith(("id_", "ood_"))]
        return self.seeds.group_by(by, maintain_order=True).agg(
            pl.col(values).mean(), pl.len().alias("num_seeds")
        )

    @property
    def name(self) -> str:
        few = [] if self.shots == "full" else [self.shots]
        return "-".join([self.adaptation, *few])

    @property
    def title(self) -> str:
        return f"Models under {spaced(self.adaptation)} at {shots_phrase(self.shots)}"

    @property
    def tasks(self) -> list[str]:
        return self.seeds["task"].unique(maintain_order=True).to_list()

    @property
    def complete(self) -> pl.DataFrame:
        """``models`` that were tried on every task: only these have means that compare."""
        return self.models.filter(pl.len().over(MODEL) == len(self.tasks))

    @property
    def kind(self) -> str:
        """What colours stand for: families, or where there is one, what models learnt from."""
        return "family" if self.seeds["family"].n_unique() > 1 else "source"


def comparisons(annotated: pl.DataFrame) -> list[Comparison]:
    """One for each adaptation and number of shots under which enough models were tried."""
    calibrated = "ece" in set(annotated["metric"])
    metrics = ("accuracy", "ece") if calibrated else ("accuracy",)
    table = outcomes(annotated, metrics)
    found = []
    for (adaptation, shots), seeds in table.group_by("adaptation", "shots", maintain_order=True):
        if seeds.select(MODEL).n_unique() >= FEWEST_MODELS:
            found.append(Comparison(str(adaptation), str(shots), seeds))
    return found


def against_parameters(found: Comparison, y: str) -> Drawn:
    """One panel a task: ``y`` against parameters, on a logarithmic axis."""
    if found.seeds["parameters"].n_unique() < 2:
        raise MissingCellsError("needs backbones of two sizes")
    what = "Calibration error" if y == "ood_ece" else "Accuracy out of distribution"
    return _scatter(found, "parameters", y, f"{what} against parameters")


def ood_against_id(found: Comparison) -> Drawn:
    """Accuracy on the line (Miller et al. 2021): out of distribution against in distribution."""
    return _scatter(found, "id_accuracy", "ood_accuracy", "Accuracy out of and in distribution")


def calibration_against_accuracy(found: Comparison) -> Drawn:
    return _scatter(found, "ood_accuracy", "ood_ece", "Calibration error against accuracy")


def model_table(found: Comparison) -> Table:
    """Every model: means over tasks and seeds, best out of distribution first."""
    columns = [c for c in found.models.columns if c.startswith(("id_", "ood_"))]
    by = [*MODEL, "family", "parameters", "data"]
    numbers = (
        found.complete.group_by(by, maintain_order=True)
        .agg(pl.col(columns).mean())
        .sort("ood_accuracy", descending=True)
    )
    if numbers.is_empty():
        raise MissingCellsError("needs a model on every task")
    shown = [c for c in _SHOWN if c in columns]
    family = numbers["family"].n_unique() > 1
    rows = [
        (
            _model_name(row),
            *([row["family"]] if family else []),
            compact(row["parameters"]),
            *(f"{100 * row[c]:.1f}" for c in shown),
        )
        for row in numbers.iter_rows(named=True)
    ]
    return Table(
        "models",
        "Models, best out of distribution first",
        f"{spaced(found.adaptation).capitalize()} at {shots_phrase(found.shots)}; means over "
        f"{plural(len(found.tasks), 'task', 0)} and "
        f"{plural(found.seeds['seed'].n_unique(), 'seed', 0)}, in %; of models tried on every task."
        + (_PROTOCOLS if "ood_mean_accuracy" in shown else ""),
        ("model", *["family"] * family, "parameters", *(_SHOWN[c] for c in shown)),
        rows,
        numbers,
    )


def best_table(every: Sequence[Comparison]) -> Table:
    """Table 1 of the paper: what choosing another adaptation, or another model, is worth. The
    reference is the study's first adaptation of the model in the middle by size."""
    if len(every) < 2:
        raise MissingCellsError("needs two adaptations")
    of = pl.concat(
        [c.models.with_columns(adaptation=pl.lit(c.adaptation)) for c in every], how="diagonal"
    )
    middle = every[0].models.select(*MODEL, "parameters").unique().sort("parameters", *MODEL)
    reference = middle.select(MODEL).row(len(middle) // 2)
    is_reference = pl.all_horizontal(pl.col(n) == v for n, v in zip(MODEL, reference, strict=True))
    first = every[0].adaptation
    rows, numbers = [], []
    for task in every[0].tasks:
        own = of.filter(task=task)
        plain = own.filter(is_reference, adaptation=first)
        if plain.is_empty():
            continue
        # Chosen in distribution, as one would have to; the best out of it is only known afterwards.
        by_method = own.filter(is_reference).sort("id_accuracy").row(-1, named=True)
        by_model = own.filter(adaptation=first).sort("id_accuracy").row(-1, named=True)
        base = plain["ood_accuracy"][0]
        numbers.append(
            {
                "task": task,
                "reference": base,
                "best_adaptation": by_method["ood_accuracy"],
                "adaptation": by_method["adaptation"],
                "best_model": by_model["ood_accuracy"],
                "model": _model_name(by_model),
            }
        )
        rows.append(
            (
                task,
                f"{100 * base:.1f}",
                f"{100 * by_method['ood_accuracy']:.1f} ({by_method['adaptation']})",
                f"{100 * by_model['ood_accuracy']:.1f} ({_model_name(by_model)})",
            )
        )
    if not rows:
        raise MissingCellsError(f"needs {first} of the reference model")
    name = _model_name(dict(zip(MODEL, reference, strict=True)))
    return Table(
        "choices",
        "What another adaptation and another model are worth",
        f"Accuracy out of distribution in %: {spaced(first)} of {name}; the adaptation of that "
        "model, and the model under that adaptation, that do best in distribution.",
        ("task", "reference", "chosen adaptation", "chosen model"),
        rows,
        pl.DataFrame(numbers),
    )


def promise_table(found: Comparison, promises: pl.DataFrame) -> Table:
    """Whether scores that need no adaptation rank the models as adaptation does."""
    outcome = found.seeds.select("task", "backbone", "ood_accuracy")
    rows, numbers = [], []
    for name in promises["score"].unique(maintain_order=True):
        taus = []
        for task in found.tasks:
            pairs = promises.filter(score=name, task=task).join(outcome, on=["task", "backbone"])
            try:
                tau = rank_correlation(pairs["value"], pairs["ood_accuracy"], kind="plain")
            except ValueError:  # too few models, or all alike
                continue
            taus.append(tau[0])
            numbers.append(
                {"score": name, "task": task, "tau": tau[0], "low": tau[1], "high": tau[2]}
            )
        own = [n for n in numbers if n["score"] == name]
        if own:
            cells = [
                f"{signed(n['tau'], 2)} ({signed(n['low'], 2)} … {signed(n['high'], 2)})"
                for n in own
            ]
            rows.append((name, *cells, signed(float(np.mean(taus)), 2)))
    if not rows:
        raise MissingCellsError("needs features of three models or more")
    return Table(
        "promises",
        "Which model to try: scores before adaptation",
        "Kendall's τ over models and seeds between a score of a model's features on the training "
        f"examples and its accuracy out of distribution under {spaced(found.adaptation)}, with "
        "95 % intervals from resampling models: 1 is the same order, 0 no relation.",
        ("score", *dict.fromkeys(n["task"] for n in numbers), "mean"),
        rows,
        pl.DataFrame(numbers),
    )


def paired_table(found: Comparison, hits: pl.DataFrame) -> Table:
    """The model that is best in distribution against each of the others, on the same examples."""
    own = hits.filter(adaptation=found.adaptation, shots=found.shots)
    of_model = {
        model: np.concatenate([np.asarray(h) for h in part.sort("task")["hits"].to_list()])
        for model, part in own.group_by(MODEL, maintain_order=True)
        if part["task"].n_unique() == len(found.tasks)
    }
    means = found.complete.group_by(MODEL, maintain_order=True).agg(pl.col("id_accuracy").mean())
    ranked = [row[:-1] for row in means.sort("id_accuracy", descending=True).iter_rows()]
    ranked = [model for model in ranked if model in of_model]
    if len(ranked) < 2:
        raise MissingCellsError("needs two models on all tasks")
    first, others = ranked[0], ranked[1:]
    pairs = [compare(of_model[first], of_model[model]) for model in others]
    adjusted = holm([pair.p_value for pair in pairs])
    numbers, rows = [], []
    for model, pair, p in sorted(
        zip(others, pairs, adjusted, strict=True), key=lambda found: found[1].difference
    ):
        name = _model_name(dict(zip(MODEL, model, strict=True)))
        low, high = 100 * pair.low, 100 * pair.high
        numbers.append(
            {
                "model": name,
                "difference": 100 * pair.difference,
                "low": low,
                "high": high,
                "p": float(p),
                "minimum_detectable": 100 * pair.minimum_detectable,
            }
        )
        rows.append(
            (
                name,
                f"{signed(100 * pair.difference, plus=True)} ({signed(low)} … {signed(high)})",
                "< 0.001" if p < 0.001 else f"{p:.3f}",
                f"{100 * pair.minimum_detectable:.1f}",
            )
        )
    best = _model_name(dict(zip(MODEL, first, strict=True)))
    return Table(
        "pairs",
        "The model to choose, against each of the others",
        f"{best} does best in distribution. What it is ahead by out of distribution, in points, on "
        f"the same {pairs[0].num_examples:,} examples (means over seeds), with paired 95 % "
        "intervals over examples; p adjusted for all these comparisons (Holm); and the difference "
        "that examples as many would show with 80 % power.",
        ("model", "difference", "p", "detectable"),
        rows,
        pl.DataFrame(numbers),
    )


def sentences(found: Comparison) -> list[str]:
    """Which model, and how much the choice moves."""
    means = (
        found.complete.group_by(MODEL, maintain_order=True)
        .agg(pl.col("id_accuracy", "ood_accuracy").mean())
        .sort("ood_accuracy")
    )
    if means.is_empty():
        return [f"No model was tried on all of {listing(found.tasks)} yet."]
    worst, best = means.row(0, named=True), means.row(-1, named=True)
    return [
        f"Of {plural(len(means), 'model', 0)} under {spaced(found.adaptation)}, "
        f"{_model_name(best)} gets {percent(best['ood_accuracy'])} right out of distribution "
        f"({percent(best['id_accuracy'])} in it), and {_model_name(worst)} "
        f"{percent(worst['ood_accuracy'])} ({percent(worst['id_accuracy'])}), over "
        f"{listing(found.tasks)}."
    ]


_SHOWN = {
    "id_accuracy": "ID accuracy",
    "ood_accuracy": "OOD accuracy",
    "ood_in_accuracy": "OOD 80 %",
    "ood_mean_accuracy": "OOD mean",
    "id_ece": "ID ECE",
    "ood_ece": "OOD ECE",
}


_PROTOCOLS = (
    " OOD is of the whole domain that is held out; OOD 80 % of the part that DomainBed reports; "
    "OOD mean of that and the other 20 %, each counted alike, as in the code of the paper."
)


def _scatter(found: Comparison, x: str, y: str, title: str) -> Drawn:
    numbers, kind = found.models, found.kind
    look = looks(numbers[kind].unique(maintain_order=True))
    areas = _areas(numbers["parameters"].to_numpy())
    numbers = numbers.with_columns(area=areas)
    fits = []
    with panels(len(found.tasks), COLUMNS) as (figure, axes):
        for task, title_of, place in zip(found.tasks, short(found.tasks), axes, strict=True):
            own = numbers.filter(task=task)
            for name, (colour, marker) in look.items():
                these = own.filter(pl.col(kind) == name)
                place.scatter(
                    _shown(these, x),
                    _shown(these, y),
                    s=these["area"].to_numpy(),
                    color=colour,
                    marker=marker,
                    alpha=0.75,
                    linewidths=0,
                    label=name if task == found.tasks[0] else None,
                )
            place.set_title(title_of)
            place.set_xlabel(LABELS[x])
            if x == "parameters":
                _parameter_axis(place, own["parameters"].to_numpy())
            elif x == "id_accuracy":
                fits.append(_line(place, own))
        for place in axes[::COLUMNS]:
            place.set_ylabel(LABELS[y])
        figure.legend(loc="outside upper left", ncols=min(6, len(look)))
    return Drawn(f"{y}-{x}", title, _caption(found, kind, x, fits), figure, numbers.drop("area"))


def _caption(found: Comparison, kind: str, x: str, lines: Sequence[Line | None]) -> str:
    by = "families of networks" if kind == "family" else "what they learnt from"
    text = (
        f"A point is a model under {spaced(found.adaptation)} at {shots_phrase(found.shots)}, the "
        f"mean of {plural(found.seeds['seed'].n_unique(), 'seed', 0)}; colours are {by}, areas "
        "grow with parameters."
    )
    fitted = [line for line in lines if line]
    if fitted:
        slopes = [f"{signed(line.slope, 2)} (R² {line.r2:.2f})" for line in fitted]
        text += (
            " Grey: equal accuracy; dashed: least squares of probit-transformed accuracies, with "
            f"slopes {listing(slopes)}."
        )
    return text


def _line(axes: Axes, own: pl.DataFrame) -> Line | None:
    """The diagonal, and the line through all models on probit axes."""
    x, y = (own[c].to_numpy() for c in ("id_accuracy", "ood_accuracy"))
    low, high = 100 * float(np.min([x, y])), 100 * float(np.max([x, y]))
    axes.plot([low, high], [low, high], color=BASELINE_COLOUR, linewidth=0.8, alpha=0.6)
    try:
        line = accuracy_line(x, y)
    except ValueError:  # too few models, or all alike
        return None
    along = np.linspace(x.min(), x.max(), 50)
    axes.plot(100 * along, 100 * line.predict(along), "--", color=BASELINE_COLOUR, linewidth=1.2)
    return line


def _parameter_axis(axes: Axes, parameters: np.ndarray) -> None:
    axes.set_xscale("log")
    low, high = parameters.min(), parameters.max()
    every = np.unique(parameters)
    ticks = every if len(every) <= MOST_TICKS else np.geomspace(low, high, MOST_TICKS)
    axes.set_xticks(ticks, [compact(t) for t in ticks])
    axes.set_xticks([], minor=True)


def _shown(rows: pl.DataFrame, column: str) -> np.ndarray:
    scale = 1.0 if column == "parameters" else 100.0
    return scale * rows[column].to_numpy()


def _areas(parameters: np.ndarray) -> np.ndarray:
    """Of markers, in points squared: the root of the parameters, so that none hides the rest."""
    return 14 + 60 * np.sqrt(parameters / parameters.max())


def _model_name(row: dict) -> str:
    if row["method"] == "published":
        return f"{row['architecture']}.{row['source']}"
    noise = "" if row["noise"] == "clean" else f", {row['noise']}"
    if row["method"] == "none":
        return f"{row['architecture']} untrained"
    return f"{row['architecture']} {row['method']} {row['source']} {row['size']:,}{noise}"
