"""What a fitted law is asked for: how many samples a target takes, how compute is best spent, what
noise costs in size. Each is (value, low, high), its interval from the fit's resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.laws.arrays import Doubles
from raystudy.laws.chinchilla import Chinchilla
from raystudy.laws.fitted import Fit
from raystudy.laws.inversion import invert
from raystudy.laws.noisy_size import NoisySize
from raystudy.laws.status import FitError

Interval = tuple[float, float, float]
FLOPS_PER_PARAMETER_AND_TOKEN = 6.0


@dataclass(frozen=True)
class Needed:
    """Samples for a target; inf where the law says that none are enough. ``extrapolated``: more
    than the largest run had, so that the law answers alone."""

    samples: Interval
    extrapolated: bool


@dataclass(frozen=True)
class Allocation:
    """How to spend a budget of compute: parameters N, tokens D, and the loss that they give."""

    N: Interval
    D: Interval
    loss: Interval


def samples_needed(fit: Fit, target: float, reach: float = 1e4) -> Needed:
    """How many samples bring the fitted curve down to ``target``, up to ``reach`` times the largest
    size. Raises FitError for a law of several inputs, or a fit that keeps no runs."""
    if fit.runs is None or len(fit.law.inputs) != 1:
        raise FitError("samples_needed takes a law of one input, fitted by raystudy.laws.fit.fit")
    low, high = float(fit.runs.x.min()) / reach, float(fit.runs.x.max()) * reach
    found = fit.derive(
        lambda curves: invert(fit.law, curves, np.full(len(curves), target), low, high)
    )
    return Needed(found, found[0] > float(fit.runs.x.max()))


def compute_optimal(fit: Fit, compute: float) -> Allocation:
    """The N and D of least loss with ``compute`` = 6·N·D floating-point operations (Hoffmann et
    al. 2022, eq. 4): N = G·(C/6)^(β/(α+β)), G = (αA/βB)^(1/(α+β)).

    Raises FitError unless the law is ``Chinchilla`` and the budget positive.
    """
    if not isinstance(fit.law, Chinchilla):
        raise FitError(f"compute_optimal takes a fit of Chinchilla, not of {fit.law.name}")
    if not compute > 0:
        raise FitError("compute must be positive: floating-point operations")
    product = compute / FLOPS_PER_PARAMETER_AND_TOKEN

    def size(p: Doubles) -> Doubles:
        _, A, alpha, B, beta = p.T
        log_G = np.log(alpha * A / (beta * B)) / (alpha + beta)
        return np.exp(log_G + beta / (alpha + beta) * np.log(product))

    def loss(p: Doubles) -> Doubles:
        E, A, alpha, B, beta = p.T
        N = size(p)
        return E + A * N**-alpha + B * (product / N) ** -beta

    with np.errstate(divide="ignore", invalid="ignore"):
        D = fit.derive(lambda p: product / size(p))
        return Allocation(fit.derive(size), D, fit.derive(loss))


def worth_of_cleaning(fit: Fit, rate: float) -> Interval:
    """How many times its size a set with a share ``rate`` of wrong labels is worth once cleaned:
    (1 − r)^−q. Raises FitError unless the law is ``NoisySize``, and 0 ≤ rate < 1."""
    if not isinstance(fit.law, NoisySize):
        raise FitError(f"worth_of_cleaning takes a fit of NoisySize, not of {fit.law.name}")
    if not 0 <= rate < 1:
        raise FitError("rate must be in [0, 1)")
    return fit.derive(lambda p: (1 - rate) ** -p[:, fit.law.parameters.index("q")])
