"""A thousand bootstrap refits of a law, against SciPy's L-BFGS-B in a loop from the same starts.

    python benchmarks/fit.py [--rounds 5] [--sample 10] [--json PATH]

Two problems: Chinchilla's form on 240 runs by Huber's loss (δ = 0.001) on log residuals, as
published, and the bounded power law (M4) on 30 runs by least squares on logs. Both sides get the
same 1,000 bootstrap weights and the same starts. The peer tries every start in every resample and
takes the lowest; ours is timed twice: doing just that ("every start"), and as ``raystudy.laws.fit``
does it, which tries every start on the runs themselves and resamples from the minima that are near
the best ("as fit does"). Objectives of both are compared with the peer's.

The peer is written as one would for speed: plain numpy over logs taken once, log-sum-exp,
parameters by their logs; its gradient by differences, as SciPy takes it, or written out. It is
timed at SciPy's tolerances, with which it stops early, and at tight ones; the loop is long, so a
sample of its resamples is run each round and its time scaled up. One thread on both sides.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from seconds import line
from threadpoolctl import threadpool_limits

from raystudy.laws import BoundedPower, Chinchilla
from raystudy.laws.basins import NEAR, likelihood_ratio, refit
from raystudy.laws.bootstrap import MAX_STARTS
from raystudy.laws.losses import HUBER, Loss
from raystudy.laws.solver import Minima, Problem
from raystudy.laws.solver import minimise as search

NUM_RESAMPLES = 1000
TOLERANCES: dict[str, dict[str, float]] = {
    "SciPy's tolerances": {"maxiter": 15_000, "maxfun": 1_000_000},
    "tight": {"maxiter": 15_000, "maxfun": 1_000_000, "ftol": 1e-13, "gtol": 1e-9},
}
Objective = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One form on its runs: what is fitted, from where (S, P), and the peer's objective of its own
    coordinates and a row of weights."""

    name: str
    problem: Problem
    starts: np.ndarray
    peer: Objective
    inward: Callable[[np.ndarray], np.ndarray]
    bounds: list[tuple[float | None, float | None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=10, help="resamples of the loop, a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines = []
    with threadpool_limits(1):
        for case in (chinchilla(), bounded_power()):
            lines += compare(case, options.rounds, options.sample)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def compare(case: Case, rounds: int, sample: int) -> list[dict]:
    problem, starts = case.problem, case.starts
    print(
        f"\n{case.name}: {NUM_RESAMPLES} resamples from {len(starts)} starts each, "
        f"{problem.y.shape[-1]} runs"
    )
    ways = {"as fit does": as_fit_does, "every start": every_start}
    ours = {way: run(case) for way, run in ways.items()}  # first calls are nobody's
    seconds = {way: np.zeros(rounds) for way in ways}
    peers = {(g, t): np.zeros(rounds) for t in TOLERANCES for g in ("written out", "differences")}
    excess: dict[tuple[str, str, str], list[np.ndarray]] = {
        (way, *peer): [] for way in ways for peer in peers
    }
    draws = np.random.default_rng(0)
    for r in range(rounds):
        for way in (list(ways), list(ways)[::-1])[r % 2]:
            started = time.perf_counter()
            ours[way] = ways[way](case)
            seconds[way][r] = time.perf_counter() - started
        rows = draws.choice(NUM_RESAMPLES, size=sample, replace=False)
        for (gradient, tolerance), spent in peers.items():
            chosen = rows if gradient == "written out" else rows[: max(1, sample // 4)]
            started = time.perf_counter()
            best = loop(case, chosen, gradient == "written out", TOLERANCES[tolerance])
            spent[r] = (time.perf_counter() - started) * NUM_RESAMPLES / len(chosen)
            for way, found in ours.items():
                excess[way, gradient, tolerance].append(best / found.objective[chosen] - 1)
    report_objectives(excess, ours)
    return [
        line(
            f"{case.name}, {NUM_RESAMPLES} refits {way}, s",
            seconds[way],
            spent,
            f"L-BFGS-B, gradient {'by ' if gradient == 'differences' else ''}{gradient}, "
            f"{tolerance}; {sample if gradient == 'written out' else max(1, sample // 4)} of "
            f"{NUM_RESAMPLES} resamples run a round",
        )
        for way in ways
        for (gradient, tolerance), spent in peers.items()
    ]


def every_start(case: Case) -> Minima:
    return refit(case.problem, case.starts)


def as_fit_does(case: Case) -> Minima:
    """Every start on the runs as they are, which are every weight 1; then from what is near."""
    whole = replace(case.problem, weights=np.ones((1, case.problem.y.shape[-1])))
    tried = minimise_all(whole, case.starts)
    best = np.argsort(tried.objective)[:1]
    near = likelihood_ratio(whole, tried.objective, float(tried.objective[best[0]])) <= NEAR
    distinct = [tried.parameters[best[0]]]
    for i in np.flatnonzero(near):
        if all(np.abs(np.log(tried.parameters[i] / p)).max() > 1e-3 for p in distinct):
            distinct.append(tried.parameters[i])
    return refit(case.problem, np.stack(distinct[:MAX_STARTS]))


def minimise_all(problem: Problem, starts: np.ndarray) -> Minima:
    return search(problem, starts, np.zeros(len(starts), dtype=np.int64))


def loop(case: Case, rows: np.ndarray, written_out: bool, options: dict[str, float]) -> np.ndarray:
    """The lowest objective of each of ``rows``, from every start."""
    best = np.full(len(rows), np.inf)
    for i, row in enumerate(rows):
        weights = case.problem.weights[row]
        for start in case.starts:
            found = minimize(
                case.peer if written_out else value_alone(case.peer),
                case.inward(start),
                args=(weights,),
                jac=written_out,
                method="L-BFGS-B",
                bounds=case.bounds,
                options=options,
            )
            best[i] = min(best[i], found.fun)
    return best


def value_alone(objective: Objective) -> Callable[[np.ndarray, np.ndarray], float]:
    """For differences: the gradient's arithmetic is a small part of the whole."""
    return lambda z, weights: objective(z, weights)[0]


# ── Cases ────────────────────────────────────────────────────────────────────────────────────────


def chinchilla() -> Case:
    rng = np.random.default_rng(1)
    size, data = np.meshgrid(np.geomspace(4e7, 1.6e10, 12), np.geomspace(1e9, 4e11, 20))
    x = np.stack([size.ravel(), data.ravel()], axis=1)
    law = Chinchilla()
    truth = np.array([1.69, 406.4, 0.34, 410.7, 0.28])
    y = np.asarray(law.predict(x, truth)) * np.exp(rng.normal(0, 0.01, len(x)))
    starts = [
        (E, np.exp(logs), alpha, np.exp(logs), beta)
        for E in (0.6, 1.6)
        for logs, alpha, beta in ((4.0, 0.2, 0.2), (6.0, 0.35, 0.35), (6.0, 0.5, 0.25))
    ]
    log_x, target, delta = np.log(x).T, np.log(y), HUBER.delta or 0.0

    def peer(z: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        e, a, alpha, b, beta = z
        of_size, of_data = a - alpha * log_x[0], b - beta * log_x[1]
        f = np.logaddexp(np.logaddexp(of_size, of_data), e)
        r = f - target
        size = np.abs(r)
        value = weights @ np.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
        pull = weights * np.clip(r, -delta, delta)
        by_size, by_data = pull * np.exp(of_size - f), pull * np.exp(of_data - f)
        by_e = pull @ np.exp(e - f)
        slopes = (by_e, by_size.sum(), -by_size @ log_x[0], by_data.sum(), -by_data @ log_x[1])
        return float(value), np.array(slopes)

    def inward(p: np.ndarray) -> np.ndarray:
        return np.array([np.log(p[0]), np.log(p[1]), p[2], np.log(p[3]), p[4]])

    free: list[tuple[float | None, float | None]] = [(None, None)] * 5
    free[2] = free[4] = (0.0, 5.0)
    return Case("Chinchilla", _problem(law, x, y, HUBER), np.array(starts), peer, inward, free)


def bounded_power() -> Case:
    rng = np.random.default_rng(2)
    x = np.geomspace(1e3, 1e7, 30)
    law = BoundedPower()
    truth = np.array([0.06, 60.0, 0.5, 0.6, 0.9])
    y = np.asarray(law.predict(x, truth)) * np.exp(rng.normal(0, 0.01, len(x)))
    starts = np.asarray(law.starts(x, y))
    starts = starts[np.linspace(0, len(starts) - 1, 6).astype(int)]
    starts[:, 0] = np.maximum(starts[:, 0], 1e-3)
    log_x, target = np.log(x), np.log(y)

    def peer(z: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        low, log_a, alpha, kappa, log_high = z
        high = np.exp(log_high)
        if high <= low:
            return 1e10, np.zeros(5)
        reach = log_a - (1 - kappa) * np.log(high - low) - alpha * log_x
        s = np.where(reach < 0, reach, reach / kappa)
        for _ in range(60):
            tail = np.exp(-np.abs(s))
            rest = np.log1p(tail)
            share = np.where(s > 0, 1.0, tail) / (1 + tail)
            gap = np.minimum(s, 0) - rest - kappa * (np.minimum(-s, 0) - rest) - reach
            step = gap / (1 - share + kappa * share)
            s = s - step
            if np.abs(step).max() < 1e-9:
                break
        tail = np.exp(-np.abs(s))
        y = low + (high - low) * np.where(s > 0, 1.0, tail) / (1 + tail)
        r = np.log(y) - target
        above, below = y - low, np.maximum(high - y, 1e-300)
        total = below + kappa * above
        give = above * below / total
        pull = weights * r / y
        slopes = (
            pull @ (below / total),
            pull @ give,
            -pull @ (give * log_x),
            pull @ (give * np.log(below)),
            pull @ (kappa * above / total) * high,
        )
        return 0.5 * float(weights @ (r * r)), np.array(slopes)

    def inward(p: np.ndarray) -> np.ndarray:
        return np.array([p[0], np.log(p[1]), p[2], p[3], np.log(p[4])])

    bounds = [(0.0, None), (None, None), (0.0, 20.0), (1e-6, 100.0), (None, None)]
    problem = _problem(law, x, y, Loss("log"))
    return Case("bounded power (M4)", problem, starts, peer, inward, bounds)


def _problem(law, x: np.ndarray, y: np.ndarray, loss: Loss) -> Problem:
    draws = np.random.default_rng(3)
    weights = draws.multinomial(len(y), np.full(len(y), 1 / len(y)), size=NUM_RESAMPLES)
    low, high = np.array(law.bounds, dtype=np.float64).T
    return Problem(law, x, y, weights.astype(np.float64), loss, low, high)


# ── Output ───────────────────────────────────────────────────────────────────────────────────────


def report_objectives(
    excess: dict[tuple[str, str, str], list[np.ndarray]], ours: dict[str, Minima]
) -> None:
    for way, found in ours.items():
        print(f"  {way}: {found.converged.mean():.1%} converged")
    print("  the peer's objective over ours, less 1:")
    for (way, gradient, tolerance), rounds in excess.items():
        over = np.concatenate(rounds)
        print(
            f"    {way:12} {gradient:12} {tolerance:20} median {np.median(over):.1e}, "
            f"from {over.min():.1e} to {over.max():.1e} over {len(over)} resamples"
        )


if __name__ == "__main__":
    main()
