"""Several sizes from one trunk, against a run for each size: what it saves, and what it costs.

    python benchmarks/branching.py [--sizes 400 800 1600 3200 6400] [--seeds 3] [--json PATH]

Three arms pre-train the quickstart's network on rendered characters, one epoch at each size:
**shared**, warm-up–stable–decay in the order of the source, branched from shared trunks as a plan
does it by itself; **cosine**, independent runs in shuffled order, as is commonly done; **alone**,
the specs of *shared*, each from its first step, whose weights must be the same to the last bit.
Linear probes on handwritten digits then say what a schedule is worth. Seeds are paired: seed s
draws the same subsets, initialisation and few-shot examples in each arm. Arms take turns by seed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.ledger import Ledger
from raystudy.methods.supervised import Supervised
from raystudy.plan import Plan, plan
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Budget, Cell, Grid, Optimisation, Pretraining, Study
from raystudy.stages.adapt import units
from raystudy.stages.event import Event
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tasks.digits import Digits

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from quickstart import RESNET, VIEWS

PEER = "independent cosine runs"
Accuracies = dict[tuple[int, int], float]
"""(size, seed) → test accuracy, averaged over shots."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[400, 800, 1600, 3200, 6400])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", nargs="+", default=["1", "5", "10", "20", "full"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--warmup-steps", type=int, default=5, help="of the trunk")
    parser.add_argument("--decay", type=float, default=0.2, help="share of a run that decays")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="try it out: smaller, one shot")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.shots = [100, 200, 400, 800, 1600], ["1", "10"]
        options.seeds = min(options.seeds, 2)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="branching-") as folder:
        shared, cosine, alone = (Arm(s, Path(folder)) for s in studies(options))
        for seed in range(options.seeds):
            turns = (shared.train, cosine.train, alone.train_alone)
            for train in turns[seed % 3 :] + turns[: seed % 3]:
                train(seed)
        lines = [
            *compare_cost(shared, cosine),
            compare_bits(shared, alone),
            *compare_accuracy(shared.accuracies(), cosine.accuracies()),
        ]
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def studies(options: argparse.Namespace) -> tuple[Study, Study, Study]:
    """Of *shared*, *cosine* and *alone*."""
    branched = Grid(
        methods=(Supervised(),),
        sources=(Glyphs(script="latin", num_examples=max(options.sizes) * 5 // 4, image_size=24),),
        sizes=tuple(options.sizes),
        architectures=(RESNET,),
        budget=Budget(
            batch_size=options.batch_size, chunk_size=options.batch_size, order="sampled"
        ),
        optimisation=Optimisation(
            learning_rate=options.learning_rate,
            schedule="wsd",
            decay_fraction=options.decay,
            warmup_steps=options.warmup_steps,
        ),
        augmentation=VIEWS,
        tasks=(Digits(),),
        adaptations=(LinearProbe(),),
        shots=tuple(options.shots),  # pyright: ignore[reportArgumentType]
        seeds=tuple(range(options.seeds)),
    )
    commonly = branched.model_copy(
        update={
            "budget": branched.budget.model_copy(update={"order": "shuffled"}),
            "optimisation": Optimisation(learning_rate=options.learning_rate),
        }
    )
    return (
        Study(name="shared", grids=(branched,)),
        Study(name="cosine", grids=(commonly,)),
        Study(name="alone", grids=(branched,)),
    )


class Arm:
    """One study in a store of its own, its source rendered before any time is taken."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        self.store = Store(folder / study.name)
        self.site = InProcess(self.store)
        self.seconds: list[float] = []
        self.plan: Plan = plan(study, self.store)
        succeed(self.site.index(self.plan.missing_sources))

    def train(self, seed: int) -> None:
        """Everything of one seed, as planned."""
        self._train([s for s in self.plan.work if s.seed == seed])

    def train_alone(self, seed: int) -> None:
        """The same without trunks."""
        self._train([s for s in self.plan.pretrainings if s.seed == seed])

    def accuracies(self) -> Accuracies:
        cells: list[Cell] = self.plan.cells
        succeed(self.site.compute([], units(cells)))
        records = Ledger(self.store).read(c.key for c in cells)
        found = (
            records.filter((pl.col("split") == "test") & (pl.col("metric") == "accuracy"))
            .group_by("size", "seed")
            .agg(pl.col("value").mean())
        )
        return {(size, seed): value for size, seed, value in found.rows()}

    def weights(self, spec: Pretraining) -> bytes:
        return (self.store.local(spec.room, spec.key) / "objective.safetensors").read_bytes()

    def _train(self, specs: list[Pretraining]) -> None:
        started = time.perf_counter()
        succeed(self.site.compute(specs, []))
        self.seconds.append(time.perf_counter() - started)


def succeed(events: Iterable[Event]) -> None:
    for event in events:
        if event.kind == "failed":
            raise RuntimeError(event.error)


def compare_cost(shared: Arm, cosine: Arm) -> list[dict]:
    """Samples trained and time taken."""
    ours, theirs = shared.plan.samples_to_train, cosine.plan.samples_to_train
    less, seconds = theirs / ours, np.array(cosine.seconds) / np.array(shared.seconds)
    print(
        f"{len(shared.plan.pretrainings)} pre-trainings from {len(shared.plan.trunks)} trunks\n"
        f"samples trained: {ours:,} shared, {theirs:,} cosine: {1 - ours / theirs:.1%} saved\n"
        f"seconds:         {sum(shared.seconds):.1f} shared, {sum(cosine.seconds):.1f} cosine: "
        f"{1 - sum(shared.seconds) / sum(cosine.seconds):.1%} saved"
    )
    return [
        line("branching: samples trained", ours, theirs, less, less, less),
        line(
            "branching: seconds",
            sum(shared.seconds),
            sum(cosine.seconds),
            sum(cosine.seconds) / sum(shared.seconds),
            seconds.min(),
            seconds.max(),
        ),
    ]


def compare_bits(shared: Arm, alone: Arm) -> dict:
    """How many branches end with the very weights of the same run without a trunk."""
    specs = shared.plan.pretrainings
    same = sum(shared.weights(s) == alone.weights(s) for s in specs)
    print(f"{same} of {len(specs)} branches are bitwise what they are alone")
    share = same / len(specs)
    return line("branches bitwise the same alone", same, len(specs), share, share, share, "all")


def compare_accuracy(shared: Accuracies, cosine: Accuracies) -> list[dict]:
    """By size, with the noise of seeds beside the difference."""
    seeds = sorted({seed for _, seed in shared})
    print(
        "\ntest accuracy of linear probes on digits, %, mean over shots and seeds\n"
        "    size   shared   cosine   difference (s.d. of pairs)   s.d. of seeds"
    )
    lines, differences, noise = [], [], []
    for size in sorted({size for size, _ in shared}):
        a, b = (np.array([found[size, s] for s in seeds]) for found in (shared, cosine))
        differences.append(abs((a - b).mean()))
        noise.append(np.sqrt((spread(a) ** 2 + spread(b) ** 2) / 2))
        print(
            f"  {size:6,}   {100 * a.mean():6.2f}   {100 * b.mean():6.2f}   "
            f"{100 * (a - b).mean():+10.2f} ({100 * spread(a - b):.2f})   "
            f"{100 * noise[-1]:21.2f}"
        )
        ratios = a / b
        lines.append(
            line(
                f"branching: accuracy at {size:,}",
                a.mean(),
                b.mean(),
                a.mean() / b.mean(),
                ratios.min(),
                ratios.max(),
            )
        )
    print(
        f"mean |difference| {100 * np.mean(differences):.2f} points; "
        f"s.d. of seeds {100 * np.mean(noise):.2f}"
    )
    return lines


def spread(values: np.ndarray) -> float:
    """Standard deviation over seeds; of a single one nothing is known."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def line(
    name: str, a: float, b: float, ratio: float, low: float, high: float, peer: str = PEER
) -> dict:
    return {
        "name": name,
        "ours": float(a),
        "peer": float(b),
        "peer_name": peer,
        "ratio": float(ratio),
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main()
