"""The figures of models side by side: one panel a task, one point a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.report.figures import Drawn
from raystudy.report.models import Comparison
from raystudy.report.style import BASELINE_COLOUR, compact, looks, panels
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing, plural, short, shots_phrase, signed, spaced
from raystudy.robustness import Line, accuracy_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 3
COLUMNS = 4
"""Panels side by side at most."""
LABELS = {
    "parameters": "parameters",
    "id_accuracy": "in distribution (%)",
    "ood_accuracy": "out of distribution (%)",
    "ood_ece": "ECE out of distribution",
}


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


def _scatter(found: Comparison, x: str, y: str, title: str) -> Drawn:
    numbers, kind = found.models, found.kind
    if y not in numbers.columns:
        raise MissingCellsError(f"needs a metric that gives {y}")
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
