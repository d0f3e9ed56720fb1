"""Text: tokens a second of pre-training against a bare torch loop, and memory of rendering.

    python benchmarks/text.py [--rounds 7] [--steps 60] [--json PATH]

**Speed**: the stage as ``raystudy run --in-process`` trains it (contexts read from shards, decoded
and put in order, the optimiser, curves and all), against the loop that anyone would write, over
the same model, optimiser and batches, preloaded. Both take turns step by step in one process of
one thread, so that whatever else a machine does disturbs both; a round's first steps are not
counted. **Memory**: peak of a process that renders and indexes 5, 20
and 80 MB of synthetic documents. **Sanity**: nats a byte of held-out Python of a model after a
short training, of a byte unigram, and of zlib.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from raystudy.adapt.contexts import log_probabilities
from raystudy.backbone import build_backbone, build_objective
from raystudy.decoder import Decoder
from raystudy.methods.next_token import NextToken
from raystudy.optimiser import scheduled_rate
from raystudy.sources.text import Text
from raystudy.sources.text_files import TextFiles
from raystudy.spec import Budget, Optimisation, Pretraining
from raystudy.stages.batches import Batch, local_batches
from raystudy.stages.fabric import LocalFabric
from raystudy.stages.index import index
from raystudy.stages.pretrain import pretrain
from raystudy.stages.select import select
from raystudy.store import Store
from raystudy.tasks.python_code import PythonCode

SIZES = {"12k": (1, 32, 2), "99k": (2, 64, 2), "333k": (3, 96, 3)}
"""Layers, width and heads."""
WARM = 5
"""Steps of a round that are not counted."""
MEGABYTES = (5, 20, 80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--render", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["speed", "memory", "sanity"])
    options = parser.parse_args()
    if options.render:
        print(json.dumps(rendered(options.render)))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="text-") as folder:
        store = Store(folder)
        source = Text(corpus="python")
        index(source, store)
        wanted, lines = options.only, []
        if wanted in (None, "speed"):
            lines += [speed(name, source, store, options) for name in SIZES]
        if wanted in (None, "memory"):
            lines.append(memory())
        if wanted in (None, "sanity"):
            lines += sanity(source, store)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def speed(name: str, source: Text, store: Store, options: argparse.Namespace) -> dict[str, Any]:
    layers, width, heads = SIZES[name]
    network = Decoder(num_layers=layers, width=width, num_heads=heads)
    specs = [
        Pretraining(
            method=NextToken(),
            architecture=network,
            source=source,
            size=options.batch_size * options.steps,
            budget=Budget(batch_size=options.batch_size, chunk_size=options.batch_size),
            seed=seed,
        )
        for seed in range(options.rounds + 1)
    ]
    rounds = [side_by_side(spec, store) for spec in specs][1:]  # the first is for warming up
    ratios = [bare / stage for stage, bare in rounds]
    tokens = (options.steps - WARM) * options.batch_size * network.context
    ours, peer = (tokens / median(seconds) for seconds in zip(*rounds, strict=True))
    print(
        f"{network.title}: {ours:,.0f} tokens/s, bare loop {peer:,.0f}; ratio {median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )
    what = f"tokens/s, {network.title}, batch {options.batch_size}"
    return _line(what, ours, peer, "bare torch loop", ratios)


def side_by_side(spec: Pretraining, store: Store) -> tuple[float, float]:
    """Seconds of the stage and of the bare loop, who take turns at every step."""
    selection, now = select(spec, store), time.perf_counter
    by_hand = bare(spec)
    stage, loop = [], []

    def batches(first: int) -> Iterator[Batch]:
        loaded = local_batches(spec, selection, store, first)
        while True:
            asked = now()
            batch = next(loaded, None)
            loading = now() - asked
            if batch is None:
                return
            tokens = torch.from_numpy(batch.inputs[0].astype(np.int64))
            begun = now()
            by_hand(tokens, batch.step)
            loop.append(now() - begun)
            begun = now()
            yield batch
            stage.append(loading + now() - begun)

    pretrain(spec, selection, batches, LocalFabric(store, spec.key, lambda *_: None))
    return sum(stage[WARM:]), sum(loop[WARM:])


def bare(spec: Pretraining) -> Callable[[torch.Tensor, int], None]:
    """A step by hand, on a model of its own."""
    o = spec.optimisation
    model = build_backbone(spec.architecture, spec.seed).train()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": o.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, fused=True)

    def step(tokens: torch.Tensor, number: int) -> None:
        for group in optimiser.param_groups:
            group["lr"] = scheduled_rate(number, spec.num_steps, o)
        loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), o.clip_norm or float("inf"))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def memory() -> dict[str, Any]:
    found = []
    for megabytes in MEGABYTES:
        command = [sys.executable, __file__, "--render", str(megabytes)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(told.stdout))
        print(
            f"{megabytes} MB of documents: {found[-1]['contexts']:,} contexts in "
            f"{found[-1]['seconds']:.1f} s, peak {found[-1]['peak_mb']:.0f} MB above the imports"
        )
    few, many = found[1]["peak_mb"], found[-1]["peak_mb"]
    return _line(
        f"memory, {MEGABYTES[-1]} MB of documents", many, few, f"{MEGABYTES[1]} MB", [few / many]
    )


def rendered(megabytes: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="text-") as folder:
        documents, rng = Path(folder, "documents"), np.random.default_rng(0)
        documents.mkdir()
        for i in range(int(megabytes * 100)):
            letters = rng.integers(97, 123, size=10_000, dtype=np.uint8)
            (documents / f"{i:06d}.txt").write_bytes(letters.tobytes())
        started, before = time.perf_counter(), _peak_mb()
        source, store = TextFiles(path=str(documents)), Store(Path(folder, "store"))
        index(source, store)
        facts = store.provenance("sources", source.key)
        return {
            "megabytes": megabytes,
            "contexts": facts["num_examples"],
            "seconds": time.perf_counter() - started,
            "peak_mb": _peak_mb() - before,
        }


def sanity(source: Text, store: Store) -> list[dict[str, Any]]:
    """Of validation contexts: the test split stays sealed."""
    task = PythonCode()
    contexts, train = task.validation().array, task.train().array
    counts = np.bincount(train.ravel(), minlength=257) + 1.0
    unigram = -np.log(counts / counts.sum())[contexts[:, 1:]].mean()
    spec = Pretraining(
        method=NextToken(),
        architecture=Decoder(),
        source=source,
        size=12_800,
        budget=Budget(batch_size=32, chunk_size=32),
        optimisation=Optimisation(learning_rate=3e-3, weight_decay=0.01),
    )
    selection = select(spec, store)
    pretrain(
        spec,
        selection,
        lambda first: local_batches(spec, selection, store, first),
        LocalFabric(store, spec.key, lambda *_: None),
    )
    objective = build_objective(spec, 0)
    folder = store.local(spec.room, spec.key)
    objective.load_state_dict(load_file(folder / "objective.safetensors"))
    model = -float(log_probabilities(objective.backbone, contexts).mean())
    rows = [row[row < 256].astype(np.uint8).tobytes() for row in contexts]
    num_bytes = sum(map(len, rows))
    nats = 8 * np.log(2) / num_bytes
    peers = {
        "byte unigram": float(unigram),
        "zlib, context by context": float(nats * sum(len(zlib.compress(r, 9)) for r in rows)),
        "zlib, of all together": float(nats * len(zlib.compress(b"".join(rows), 9))),
    }
    what = f"nats a byte of Python, {spec.architecture.title} after {spec.size:,} contexts"
    print(f"{what}: {model:.2f}; " + ", ".join(f"{name} {n:.2f}" for name, n in peers.items()))
    return [_line(what, model, nats, name, [nats / model]) for name, nats in peers.items()]


def _peak_mb() -> float:
    """Of this process since it began; ``ru_maxrss`` would remember what forked it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _line(
    name: str, ours: float, peer: float, peer_name: str, ratios: list[float]
) -> dict[str, Any]:
    """The median of ``ratios`` and their range."""
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


if __name__ == "__main__":
    main()
