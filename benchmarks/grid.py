"""The downstream grid: 200 probes of one backbone, against Ray Tune and scikit-learn, and a study
of thousands of cells.

    python benchmarks/grid.py [--parts probes study] [--rounds 5] [--quick] [--json PATH]

**probes**: 5 shots × 5 seeds × 8 strengths of logistic regression on a ResNet-18's 512 features of
scikit-learn's digits, every strength scored on validation data. Ours extracts features once and
solves all of them in one call; the peers are (a) Ray Tune's grid search, in which every trial
builds the backbone, extracts features and calls scikit-learn, as commonly written, and (b)
scikit-learn on shared features, one BLAS thread, warm-started from strength to strength.
scikit-learn's tolerance is the largest power of ten at which its objective agrees with ours to 1e-6
in every cell; how far they are apart is printed. Of (a) a sample of the trials is run, spread
evenly over the grid; the time of one is taken from the end of the first to the end of the last, so
that starting Ray and the first workers counts for nothing. Arms take turns by round.

**study**: ``raystudy run`` in this process, whole: plan, features, probes, evaluation on digits and
its shifts, ledger, MLflow, report. Milliseconds a cell at 1,000, 3,000 and 10,000 cells.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from seconds import line
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from raystudy.adapt.affine import Affine
from raystudy.adapt.k_nearest import KNearest
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.adapt.ridge import Ridge
from raystudy.adapt.standardise import centre_and_scale
from raystudy.kinds import Adapted, Examples, Support
from raystudy.spec import Architecture, Grid, Initialisation, Preprocessing, Study
from raystudy.stages.extract import StoredEncoder, features
from raystudy.store import Store
from raystudy.subset import few_shot
from raystudy.tasks.digits import Digits

SHOTS = (1, 5, 10, 20, 50)
SEEDS = (0, 1, 2, 3, 4)
STRENGTHS = tuple(float(c) for c in np.logspace(-4, 0, 8))
RESNET18 = Architecture(name="resnet18", preprocessing=Preprocessing(image_size=64))
SMALL = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)
DIGITS = Digits()
AGREES = 1e-6
"""The share of an objective by which two may differ."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["probes", "study"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tune-rounds", type=int, default=2, help="of those, how many run Tune")
    parser.add_argument("--trials", type=int, default=20, help="of Tune's 200, a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's")
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--quick", action="store_true", help="try it out, without a result")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.tune_rounds, options.trials = 1, 1, 4
        options.cells = [40, 80]
    torch.set_num_threads(options.threads)
    lines = []
    if "probes" in options.parts:
        lines += compare_probes(options)
    if "study" in options.parts:
        lines += time_studies(options)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


# ── Probes ───────────────────────────────────────────────────────────────────────────────────────


def compare_probes(options: argparse.Namespace) -> list[dict]:
    train, validation = extracted()
    supports = [draw(train, validation, shots, seed) for shots, seed in product(SHOTS, SEEDS)]
    num_cells = len(supports) * len(STRENGTHS)
    tolerance, apart = agreeing_tolerance(train, supports)
    print(
        f"{num_cells} cells; scikit-learn's tolerance {tolerance:g}: its objectives lie at most "
        f"{apart.max():.1e} above ours and {max(0.0, -apart.min()):.1e} below"
    )
    arms: dict[str, Callable[[], float]] = {
        "extract": lambda: timed(extracted),
        "together": lambda: timed(lambda: together(train, validation, supports)),
        "shared": lambda: timed(lambda: shared(train, validation, supports, tolerance)),
    }
    seconds = {name: np.zeros(options.rounds) for name in arms}
    of_tune = []
    together(train, validation, supports)  # imports and first calls are nobody's
    for r in range(options.rounds):
        for name in (list(arms), list(arms)[::-1])[r % 2]:
            seconds[name][r] = arms[name]()
        if r < options.tune_rounds:
            of_tune.append(num_cells * seconds_of_a_trial(options, tolerance))
    if options.tune_rounds:
        from ray import shutdown

        shutdown()
    print(f"\n{num_cells} cells, seconds; features once {np.median(seconds['extract']):.2f}")
    lines = [
        line(
            "probes on shared features, s",
            seconds["together"],
            seconds["shared"],
            "scikit-learn on shared features, one thread, to the same optimum",
        )
    ]
    if of_tune:
        whole = (seconds["extract"] + seconds["together"])[: len(of_tune)]
        lines.append(
            line(
                "features and probes, s",
                whole,
                np.array(of_tune),
                f"Ray Tune, every trial extracts; {options.trials} of {num_cells} trials run",
            )
        )
    return lines


def extracted() -> tuple[Examples, Examples]:
    """Training and validation features, as a study keeps them."""
    with tempfile.TemporaryDirectory(prefix="grid-") as folder:
        store = Store(folder)
        encoder = StoredEncoder(Initialisation(architecture=RESNET18), store)
        splits = {"train": DIGITS.train, "validation": DIGITS.validation}
        found = features(encoder, splits, [None], "features", DIGITS, store)[None]
        kept = {  # as the folder goes
            name: Examples(e.ids, np.array(e.array), e.labels) for name, e in found.items()
        }
    return kept["train"], kept["validation"]


def draw(train: Examples, validation: Examples, shots: int, seed: int) -> Support:
    rows = few_shot(train.ids, train.labels, shots, DIGITS.name, seed)
    return Support(rows, np.arange(len(validation)), seed)


def together(
    train: Examples,
    validation: Examples,
    supports: list[Support],
    strengths: tuple[float, ...] = STRENGTHS,
) -> list[Adapted]:
    probe = LinearProbe(strengths=strengths)
    nobody = cast(Any, None)  # a linear probe asks the encoder nothing
    return list(probe.adapt_all(train, validation, supports, nobody, DIGITS.prompts()))


def shared(
    train: Examples, validation: Examples, supports: list[Support], tolerance: float
) -> list[float]:
    """The strength that scikit-learn finds best for each support."""
    chosen = []
    with threadpool_limits(1):
        for support in supports:
            x, y, mean, scale = standardised(train, support)
            held_out = (validation.array - mean) / scale
            losses = [
                log_loss(validation.labels, model.predict_proba(held_out))
                for model in fits(x, y, tolerance)
            ]
            chosen.append(STRENGTHS[int(np.argmin(losses))])
    return chosen


def fits(x: np.ndarray, y: np.ndarray, tolerance: float):
    """scikit-learn's model at each strength: one object, fitted again and again."""
    model = LogisticRegression(tol=tolerance, max_iter=100_000, warm_start=True)
    for strength in STRENGTHS:
        yield model.set_params(C=strength).fit(x, y)


def standardised(train: Examples, support: Support):
    rows = np.sort(support.train)
    mean, scale = centre_and_scale(train.array[rows])
    return (train.array[rows] - mean) / scale, train.labels[rows], mean, scale


def agreeing_tolerance(train: Examples, supports: list[Support]) -> tuple[float, np.ndarray]:
    """The largest power of ten at which scikit-learn's objectives agree with ours, and by which
    share of ours they lie above. (strengths, supports)"""
    ours = np.array(
        [
            [
                objective(*standardised(train, s), adapted.predict, strength)
                for s, adapted in zip(
                    supports, together(train, train, supports, (strength,)), strict=True
                )
            ]
            for strength in STRENGTHS
        ]
    )
    apart = np.full_like(ours, np.inf)
    for tolerance in 10.0 ** -np.arange(4, 13):
        theirs = np.empty_like(ours)
        with threadpool_limits(1):
            for j, support in enumerate(supports):
                x, y, *_ = standardised(train, support)
                for i, model in enumerate(fits(x, y, tolerance)):
                    theirs[i, j] = of_scores(
                        x @ model.coef_.T + model.intercept_, y, model.coef_, STRENGTHS[i]
                    )
        apart = theirs / ours - 1
        if np.abs(apart).max() <= AGREES:
            return float(tolerance), apart
    raise RuntimeError(
        f"scikit-learn's objective is {np.abs(apart).max():.1e} off at every tolerance"
    )


def objective(x, y, mean, scale, head, strength: float) -> float:
    assert isinstance(head, Affine)
    return of_scores(head.scores(x * scale + mean), y, head.weights_DxK.T * scale, strength)


def of_scores(scores: np.ndarray, y: np.ndarray, weights: np.ndarray, strength: float) -> float:
    top = scores.max(1)
    losses = np.log(np.exp(scores - top[:, None]).sum(1)) + top - scores[np.arange(len(y)), y]
    return strength * float(losses.sum()) + 0.5 * float((weights**2).sum())


def seconds_of_a_trial(options: argparse.Namespace, tolerance: float) -> float:
    """Of Ray Tune, with as many trials at a time as there are cores."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray import tune

    if not ray.is_initialized():
        ray.init(num_cpus=os.cpu_count(), log_to_driver=False, include_dashboard=False)
    grid = list(product(SHOTS, SEEDS, STRENGTHS))
    sample = [grid[i] for i in np.linspace(0, len(grid) - 1, options.trials).astype(int)]
    with tempfile.TemporaryDirectory(prefix="grid-") as folder:
        results = tune.Tuner(
            tune.with_parameters(trial, tolerance=tolerance),
            param_space={"cell": tune.grid_search(sample)},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        if results.num_errors:
            raise RuntimeError(results.errors[0])
        ends = sorted(r.metrics["ended"] for r in results if r.metrics)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def trial(config: dict[str, Any], tolerance: float) -> dict[str, float]:
    """One cell, by itself, as commonly written."""
    import timm

    from raystudy.views import embed

    shots, seed, strength = config["cell"]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    backbone = timm.create_model("resnet18", num_classes=0)
    train, validation = (
        Examples(e.ids, embed(backbone, e.array, RESNET18.preprocessing), e.labels)
        for e in (DIGITS.train(), DIGITS.validation())
    )
    x, y, mean, scale = standardised(train, draw(train, validation, shots, seed))
    with threadpool_limits(1):
        model = LogisticRegression(C=strength, tol=tolerance, max_iter=100_000).fit(x, y)
        predicted = model.predict_proba((validation.array - mean) / scale)
    return {"loss": float(log_loss(validation.labels, predicted)), "ended": time.time()}


# ── A study ──────────────────────────────────────────────────────────────────────────────────────


def time_studies(options: argparse.Namespace) -> list[dict]:
    """Milliseconds a cell, and of the largest study against the smallest."""
    time_study(40)  # imports
    found = {cells: time_study(cells) for cells in options.cells}
    print("\nstudy, whole, in one process")
    smallest, largest = min(found), max(found)
    for cells, of_cell in found.items():
        print(f"  {cells:6,} cells   {1000 * of_cell:7.2f} ms a cell")
    return [
        line(
            f"ms a cell of {largest:,}",
            np.array([1000 * found[largest]]),
            np.array([1000 * found[smallest]]),
            f"of {smallest:,}",
        )
    ]


def time_study(num_cells: int) -> float:
    """Seconds a cell."""
    from raystudy.run import run
    from raystudy.stages.site import InProcess
    from raystudy.tracking import default_uri

    adaptations = (LinearProbe(), Ridge(), NearestClassMean(), KNearest())
    grid = Grid(
        architectures=(SMALL,),
        tasks=(DIGITS,),
        adaptations=adaptations,
        shots=SHOTS,
        seeds=tuple(range(num_cells // (len(adaptations) * len(SHOTS)))),
    )
    study = Study(name="grid", grids=(grid,))
    with tempfile.TemporaryDirectory(prefix="grid-") as folder:
        store = Store(folder)
        started = time.perf_counter()
        outcome = run(
            study, store, lambda: nullcontext(InProcess(store)), Silent(), default_uri(Path(folder))
        )
        seconds = time.perf_counter() - started
    if outcome.failures:
        raise RuntimeError(next(iter(outcome.failures.values())))
    return seconds / len(study.cells())


class Silent:
    """Watches a run and says nothing."""

    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None:
        print(f"{what}: {message}", file=sys.stderr)

    def refresh(self) -> None: ...


# ── Output ───────────────────────────────────────────────────────────────────────────────────────


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
