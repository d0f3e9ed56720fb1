"""Robustness under shift: the line that OOD accuracy draws over ID accuracy, and what is above it.

Accuracy on the line (Miller et al. 2021, arXiv 2107.04649), effective robustness (Taori et al.
2020, arXiv 2007.00644), agreement on the line (Baek et al. 2022, arXiv 2206.13089).
Array shapes: M models, N examples, P points, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.intervals import percentile_interval
from raystudy.randomness import generator

Doubles = NDArray[np.float64]
Axis = Literal["probit", "logit", "linear"]
"""Both accuracies are stretched by the inverse normal distribution, by log a/(1 − a), or not."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """OOD = slope · ID + intercept on an axis, with 95 % percentile intervals from resampling
    models. ``r2`` is the squared correlation of the stretched accuracies."""

    axis: Axis
    slope: float
    intercept: float
    r2: float
    slope_interval: Interval
    r2_interval: Interval
    num_points: int
    num_left_out: int
    """Points of which an accuracy is 0 or 1, whose place on the other axes is infinite."""

    def predict(self, id_accuracy: ArrayLike) -> Doubles:
        """The OOD accuracy (…) that goes with an ID accuracy (…) in [0, 1]."""
        from scipy.special import expit, ndtr

        y = self.slope * _stretch(np.asarray(id_accuracy, np.float64), self.axis) + self.intercept
        return {"probit": ndtr, "logit": expit, "linear": np.asarray}[self.axis](y)


def accuracy_line(
    id_accuracy: ArrayLike,
    ood_accuracy: ArrayLike,
    axis: Axis = "probit",
    *,
    num_examples: tuple[int, int] | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Line:
    """Ordinary least squares of OOD on ID accuracies, (M,) both, in [0, 1].

    A model with an accuracy of 0 or 1 is left out on every axis, so that R² of different axes are
    of the same models; given how many examples the two accuracies were counted on
    (``num_examples``: ID, OOD), it is kept, at half an example from the end: 1/(2n) or 1 − 1/(2n).

    Raises ValueError for fewer than 3 models, or if all have the same ID accuracy.
    """
    x, y = (np.asarray(a, dtype=np.float64) for a in (id_accuracy, ood_accuracy))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"both accuracies hold one entry a model; shapes: {x.shape}, {y.shape}")
    x, y, inside = _inside(x, y, num_examples)
    counts = _resampled(len(x), num_resamples, seed)[:, inside]
    return _line(x, y, inside, axis, lambda values: counts @ values)


def agreement_line(
    id_predictions: ArrayLike,
    ood_predictions: ArrayLike,
    axis: Axis = "probit",
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Line:
    """Likewise of the agreement of each pair of models, from predicted classes (M, N) and (M, N').

    Where accuracy is on a line, agreement often has the same one, so that ``predict`` of an ID
    accuracy estimates the OOD accuracy without a label of the latter (ALine-S). Models are
    resampled, not pairs; a model drawn twice makes no pair with itself. Pairs that agree on none or
    on all are at half an example from the end. Heads of one backbone need different
    initialisations for it to hold (arXiv 2404.01542).

    Raises ValueError for fewer than 3 models, or if all pairs agree equally on ID examples.
    """
    before, after = np.asarray(id_predictions), np.asarray(ood_predictions)
    if before.ndim != 2 or after.ndim != 2 or len(before) != len(after):
        raise ValueError(f"predictions are (M, N) and (M, N'), not {before.shape}, {after.shape}")
    upper = np.triu_indices(len(before), 1)
    sizes = before.shape[1], after.shape[1]
    x, y, inside = _inside(agreement(before)[upper], agreement(after)[upper], sizes)
    counts = _resampled(len(before), num_resamples, seed)

    def weigh(values: Doubles) -> Doubles:
        table = np.zeros((len(before), len(before)))
        table[upper] = values
        return (counts @ table * counts).sum(1)

    return _line(x, y, inside, axis, weigh)


def effective_robustness(
    id_accuracy: ArrayLike, ood_accuracy: ArrayLike, baseline: Line
) -> Doubles:
    """OOD accuracy beyond what ``baseline``, fitted on standard models, gives for the ID accuracy:
    (M,), as a share. With several pre-training sets one ID set favours some; fit one for each of
    several ID sets (arXiv 2302.01381)."""
    return np.asarray(ood_accuracy, np.float64) - baseline.predict(id_accuracy)


def agreement(predictions: ArrayLike) -> Doubles:
    """The share of examples on which two models predict the same class: (M, N) to (M, M)."""
    classes = np.asarray(predictions)
    return np.stack([(classes == one).mean(1) for one in classes])


def _resampled(num_models: int, num_resamples: int, seed: int) -> Doubles:
    """How often each model counts: once in the first row, then resampled. (1 + B, M)."""
    draws = generator(seed, "resample models", num_models)
    share = np.full(num_models, 1 / max(1, num_models))
    counts = draws.multinomial(num_models, share, size=num_resamples).astype(np.float64)
    return np.vstack([np.ones((1, num_models)), counts])


def _inside(
    x: Doubles, y: Doubles, num_examples: tuple[int, int] | None
) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Points (P,), and which of them lie strictly between 0 and 1."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("accuracies must be finite; leave out the models that have no result")
    if min(x.min(initial=0), y.min(initial=0)) < 0 or max(x.max(initial=0), y.max(initial=0)) > 1:
        raise ValueError("accuracies are shares in [0, 1], not percent")
    if num_examples:
        (n, m) = num_examples
        x, y = np.clip(x, 0.5 / n, 1 - 0.5 / n), np.clip(y, 0.5 / m, 1 - 0.5 / m)
    return x, y, (x > 0) & (x < 1) & (y > 0) & (y < 1)


def _line(
    x: Doubles,
    y: Doubles,
    inside: NDArray[np.bool_],
    axis: Axis,
    weigh: Callable[[Doubles], Doubles],
) -> Line:
    """``weigh`` sums values of the points inside, all once and then as resampled: (1 + B,)."""
    num_left_out = int((~inside).sum())
    x, y = x[inside], y[inside]
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(
            "a line needs 3 points strictly between 0 and 1, not all of the same ID accuracy; "
            f"there are {len(x)}, and {num_left_out} left out"
        )
    slope, intercept, r2 = _least_squares(_stretch(x, axis), _stretch(y, axis), weigh)
    return Line(
        axis,
        float(slope[0]),
        float(intercept[0]),
        float(r2[0]),
        percentile_interval(slope[1:]),
        percentile_interval(r2[1:]),
        len(x),
        num_left_out,
    )


def _least_squares(
    x: Doubles, y: Doubles, weigh: Callable[[Doubles], Doubles]
) -> tuple[Doubles, Doubles, Doubles]:
    """Slope, intercept and R² as ``weigh`` weighs the points, (1 + B,) each; nan where it leaves
    fewer than two different x."""
    x_mean, y_mean = x.mean(), y.mean()
    x, y = x - x_mean, y - y_mean  # so that the moments below lose no digits
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weigh(np.ones_like(x))
        x_off, y_off = weigh(x) / total, weigh(y) / total
        xx = weigh(x * x) / total - x_off**2
        xy = weigh(x * y) / total - x_off * y_off
        yy = weigh(y * y) / total - y_off**2
        varies = xx > 1e-12 * np.square(x).max()
        slope = np.where(varies, xy / xx, np.nan)
        r2 = np.where(varies & (yy > 1e-12 * np.square(y).max()), xy**2 / (xx * yy), np.nan)
    return slope, y_mean + y_off - slope * (x_mean + x_off), r2


def _stretch(accuracy: Doubles, axis: Axis) -> Doubles:
    from scipy.special import logit, ndtri  # here, so that importing raystudy stays fast

    return {"probit": ndtri, "logit": logit, "linear": np.asarray}[axis](accuracy)
