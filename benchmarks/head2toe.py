"""Head2Toe's group lasso brought to its optimum, against Adam as it was published.

    python benchmarks/head2toe.py [--rounds 5] [--taps 512] [--quick] [--json PATH]

The 800 training and 200 validation images of the digits, through every layer of a ResNet at random
initialisation. **scores**: the group lasso at each strength λ alone, the peer with its 500 steps
and the learning rate that gives it the lower objective; both objectives are computed by one
function, in double precision. It is timed to within a thousandth of the optimum, and until it has
proven an objective as low as that which Adam ends with. **whole**: Head2Toe with its default grids,
from features to the head that is chosen. Both have as many threads, and take turns within a round.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from raystudy.adapt.adam_head import train_head
from raystudy.adapt.group_lasso import TOLERANCE, objective, path, strongest
from raystudy.adapt.head2toe import Head2Toe
from raystudy.adapt.unit_groups import group_of, unit_groups
from raystudy.backbone import build_backbone
from raystudy.kinds import Adapted, Examples, Floats
from raystudy.spec import Architecture, Preprocessing
from raystudy.taps import Taps
from raystudy.tasks.digits import Digits
from raystudy.views import embed

SEEN = Preprocessing(image_size=32, grayscale=True, standardise="image")
BACKBONE = Architecture(name="resnet18", preprocessing=SEEN)
STRENGTHS = (1e-2, 1e-3, 1e-4)
RATES = (0.1, 0.01)
NUM_STEPS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--taps", type=int, default=512, help="features of each layer, about")
    parser.add_argument("--threads", type=int, default=1, help="of both arms")
    parser.add_argument("--quick", action="store_true", help="try it out, without a result")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.taps = 1, 64
    torch.set_num_threads(options.threads)
    train, validation, groups = features(options.taps)
    print(f"{len(train)} and {len(validation)} examples, {sum(groups.values())} features", end="")
    print(f" of {len(groups)} layers")
    with threadpool_limits(options.threads):
        lines = compare_scores(train, groups, options.rounds)
        lines += compare_whole(train, validation, groups, options)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def features(taps: int) -> tuple[Examples, Examples, dict[str, int]]:
    tapped, task = Taps(build_backbone(BACKBONE, 0), taps), Digits()
    splits = [
        Examples(split.ids, embed(tapped, split.array, SEEN), split.labels)
        for split in (task.train(), task.validation())
    ]
    return splits[0], splits[1], tapped.groups(SEEN.image_size)


def compare_scores(train: Examples, groups: dict[str, int], rounds: int) -> list[dict]:
    x = unit_groups(train.array, group_of(groups.values()))
    y, num_classes = train.labels, int(train.labels.max()) + 1
    print(f"\nscores; all weights are zero from λ = {strongest(x, y, num_classes):.3g} on")
    lines = []
    for strength in STRENGTHS:

        def exact(
            tolerance: float = TOLERANCE, strength: float = strength
        ) -> tuple[Floats, Floats]:
            found = path(x, y, num_classes, [strength], tolerance)[0]
            weights = np.zeros((x.shape[1], num_classes))
            weights[found.active_A] = found.weights_AxC
            return weights, found.bias_C

        def adam(rate: float, strength: float = strength) -> tuple[Floats, Floats]:
            return train_head(
                x,
                y,
                num_classes,
                learning_rate=rate,
                num_steps=NUM_STEPS,
                seed=0,
                strength=strength,
            )

        def worth(head: tuple[Floats, Floats], strength: float = strength) -> float:
            return objective(x.astype(np.float64), y, *head, strength)

        rate = min(RATES, key=lambda rate: worth(adam(rate)))
        of_exact, of_adam = worth(exact()), worth(adam(rate))
        as_good = max(TOLERANCE, of_adam / of_exact - 1)
        arms = {
            "exact": exact,
            "as good": lambda: exact(as_good),  # noqa: B023
            "adam": lambda: adam(rate),  # noqa: B023
        }
        seconds, what = take_turns(arms, rounds), f"λ = {strength:g}"
        num_active = int((exact()[0] != 0).any(1).sum())
        print(f"  {what}: {num_active} features; Adam's learning rate {rate:g}")
        lines += [
            line(f"objective, {what}", of_exact, of_adam, [of_adam / of_exact]),
            line_s(f"s to the optimum, {what}", seconds),
            line_s(f"s to Adam's objective, {what}", seconds, "as good"),
        ]
        assert worth(exact(as_good)) <= of_adam
    return lines


def compare_whole(
    train: Examples, validation: Examples, groups: dict[str, int], options: argparse.Namespace
) -> list[dict]:
    class Layers:
        def groups(self, taps: int) -> dict[str, int]:
            return groups

    encoder: Any = Layers()
    found: dict[str, Adapted] = {}

    def adapt(solver: str) -> None:
        spec = Head2Toe(taps_size=options.taps, solver=solver)  # pyright: ignore[reportArgumentType]
        adapted = spec.adapt(train, validation, encoder, [("digit",)] * 10, 0)
        assert adapted is not None
        found[solver] = adapted

    print("\nwhole")
    seconds = take_turns(
        {"exact": lambda: adapt("exact"), "adam": lambda: adapt("adam")}, options.rounds
    )
    right = {}
    for solver, adapted in found.items():
        predicted = adapted.predict(validation.array).argmax(1)
        right[solver] = float((predicted == validation.labels).mean())
        chosen = ", ".join(f"{name} {value:g}" for name, value in adapted.chosen.items())
        print(f"  {solver}: {adapted.num_tried} heads tried; {chosen}")
    ratio = [right["exact"] / right["adam"]]
    return [
        line("validation accuracy", right["exact"], right["adam"], ratio),
        line_s("from features to the chosen head, s", seconds),
    ]


def take_turns(arms: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every arm in every round."""
    seconds = {name: np.zeros(rounds) for name in arms}
    for r in range(rounds):
        for name in list(arms)[:: (1, -1)[r % 2]]:
            started = time.perf_counter()
            arms[name]()
            seconds[name][r] = time.perf_counter() - started
    return seconds


def line_s(name: str, seconds: dict[str, np.ndarray], arm: str = "exact") -> dict:
    """Of seconds, of which fewer are better."""
    ours, peer = seconds[arm], seconds["adam"]
    return line(name, float(np.median(ours)), float(np.median(peer)), peer / ours)


def line(name: str, ours: float, peer: float, ratio: Any) -> dict:
    low, high = np.quantile(ratio, (0.025, 0.975))
    median = float(np.median(ratio))
    print(
        f"  {name:40} {ours:9.4f}   {peer:9.4f} (Adam)   ratio {median:.3f} "
        f"({low:.3f} to {high:.3f})"
    )
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "peer_name": "Adam, as published",
        "ratio": median,
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main()
