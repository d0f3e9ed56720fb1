"""How often 90 % intervals hold the truth: synthetic studies of every form.

    python benchmarks/coverage.py [--studies 500] [--forms Chinchilla …] [--seeds 5] [--json PATH]

A study is a form's curve with noise about it on the scale of its loss: 1 % of the measured value,
or 0.02 probit. Each is fitted with ``raystudy.laws.fit``; counted is how often the 90 % interval of
each parameter, and the band of the curve at three places (the smallest, the middle and the largest
run), hold the truth. With ``--seeds``, every run has that many seeds, each of which shifts its
whole curve by as much again, and intervals resample seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raystudy.laws import fit
from raystudy.laws.losses import named
from tests.laws.truths import TRUTHS, Truth

COVERAGE = 0.9
NOISE = {"log": 0.01, "y": 0.003, "probit": 0.02}
NUM_RESAMPLES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--forms", nargs="+", default=[t.name for t in TRUTHS])
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for truth in TRUTHS:
        if truth.name in options.forms:
            started = time.perf_counter()
            covered = coverage(truth, options.studies, options.seeds)
            seconds = time.perf_counter() - started
            text = "  ".join(f"{name} {share:.1%}" for name, share in covered.items())
            print(f"{truth.name:16} {text}   ({seconds:.0f} s)", flush=True)
            found.append({"form": truth.name, "studies": options.studies, **covered})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def coverage(truth: Truth, num_studies: int, num_seeds: int = 0) -> dict[str, float]:
    """The share of studies whose interval holds the truth, by parameter and place."""
    law = truth.law
    names = [*law.parameters, "first", "middle", "last"]
    at = truth.x[[0, len(truth.x) // 2, -1]]
    expected = np.concatenate([truth.parameters, np.asarray(law.predict(at, truth.parameters))])
    held = np.zeros(len(names))
    for study in range(num_studies):
        table = observed(truth, study, num_seeds)
        found = fit(
            table,
            law,
            x=list(law.inputs),
            seed="seed" if num_seeds else None,
            coverage=COVERAGE,
            num_resamples=NUM_RESAMPLES,
            random_seed=study,
        )
        ends = [found.parameter(name)[1:] for name in law.parameters]
        _, low, high = found.predict(at)
        low = np.concatenate([[e[0] for e in ends], low])
        high = np.concatenate([[e[1] for e in ends], high])
        held += (low <= expected) & (expected <= high)
    return dict(zip(names, (held / num_studies).tolist(), strict=True))


def observed(truth: Truth, study: int, num_seeds: int) -> dict[str, np.ndarray]:
    """One study's table: independent runs, or ``num_seeds`` of each that share what a seed does."""
    rng = np.random.default_rng([study, len(truth.name)])
    loss = named(truth.law.loss)
    noise = NOISE[loss.scale]
    x = truth.x if truth.x.ndim == 2 else truth.x[:, None]
    repeats = max(num_seeds, 1)
    seed = np.tile(np.arange(repeats), len(x))
    centre = np.repeat(loss.forward(truth.y), repeats)
    shared = rng.normal(0, noise, repeats)[seed] if num_seeds else 0.0
    y = loss.backward(centre + shared + rng.normal(0, noise, len(centre)))
    columns = {n: np.repeat(x[:, k], repeats) for k, n in enumerate(truth.law.inputs)}
    return {**columns, "y": y, "seed": seed}


if __name__ == "__main__":
    main()
