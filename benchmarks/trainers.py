"""The training loops that ``train.py`` compares, and the study whose start it times.

Run as a process: ``python trainers.py ARM FOLDER MODEL``; watched by ``watched.py``.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

from watched import WatchedCLIP, WatchedSupervised

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Grid,
    Optimisation,
    Preprocessing,
    Pretraining,
    Study,
)
from raystudy.tasks.digits import Digits

ARMS = {
    "cluster": "raystudy: the stage in a Ray Train worker, fed by Ray Data",
    "ray-alone": "the bare loop in a Ray Train worker that is fed nothing",
    "stage": "the same stage without Ray, on preloaded data",
    "bare": "a bare torch loop on preloaded data",
    "open-clip": "open_clip's own training main",
}
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
LOADERS = 2
"""Loading processes of either side of the comparison with open_clip."""
PRELOADED = 16
"""Batches that the arms without a stream hold and repeat."""
ENDLESS = 10**9
"""Samples, or seconds: more than a benchmark lasts."""
CLIP: dict[str, Any] = {
    "embed_dim": 64,
    "context_length": 24,
    "text_width": 64,
    "text_heads": 2,
    "text_layers": 2,
}


class Model(NamedTuple):
    """What an arm trains, on JPEGs that it shows as squares of ``side`` pixels."""

    what: str
    data: str
    """The folder of its shards."""
    side: int
    batch_size: int
    args: dict[str, list[int]]
    """Of timm's ``resnet18``."""


SMALL = {"layers": [1, 1, 1, 1], "channels": [24, 48, 96, 192]}
MODELS = {
    "tiny": Model("small CNN, 32 px, batch 16", "32", 32, 16, SMALL),
    "resnet18": Model("ResNet-18, 64 px, batch 32", "64", 64, 32, {}),
    "clip-64": Model("CLIP, batch 32, JPEGs of 64 px", "64", 64, 32, {}),
    "clip-web": Model("CLIP, batch 32, JPEGs of 400 × 300", "web", 64, 32, {}),
}


def pretraining(name: str, folder: str) -> Pretraining:
    """One that does not end while the benchmark runs."""
    model = MODELS[name]
    source = WebDataset(path=f"{folder}/{model.data}")
    size = source.known_size()
    assert size
    is_clip = name.startswith("clip")
    return Pretraining(
        method=WatchedCLIP(**CLIP) if is_clip else WatchedSupervised(),
        architecture=Architecture(
            name="resnet18", args=model.args, preprocessing=Preprocessing(image_size=model.side)
        ),
        source=source,
        size=size,
        budget=Budget(samples=ENDLESS, batch_size=model.batch_size, chunk_size=model.batch_size),
        # open_clip's own crops, and no clipping, which it leaves out by default.
        optimisation=Optimisation(clip_norm=None if is_clip else 1.0),
        augmentation=(
            Augmentation(random_crop=(0.9, 1.0))
            if is_clip
            else Augmentation(random_crop=(0.25, 1.0), flip=True)
        ),
    )


def cluster(folder: str, model: str) -> None:
    from raystudy.cluster.site import Placement, RaySite
    from raystudy.store import Store

    placement = Placement(
        num_lanes=1,
        threads_per_worker=THREADS,
        # Its clock does not stop with the process.
        checkpoint_interval_s=ENDLESS,
        num_loaders=LOADERS if model.startswith("clip") else 1,
    )
    with RaySite(Store(f"{folder}/store"), placement, "local") as site:
        for event in site.compute([pretraining(model, folder)], []):
            if event.kind == "failed":
                raise RuntimeError(event.error)


def stage(folder: str, model: str) -> None:
    import torch

    from raystudy.stages.batches import Batch, local_batches
    from raystudy.stages.fabric import LocalFabric
    from raystudy.stages.pretrain import pretrain
    from raystudy.stages.select import select
    from raystudy.store import Store

    torch.set_num_threads(THREADS)
    spec, store = pretraining(model, folder), Store(f"{folder}/store")
    selection = select(spec, store)
    held = list(islice(local_batches(spec, selection, store, 0), PRELOADED))

    def batches(first: int) -> Iterator[Batch]:
        return (replace(held[step % PRELOADED], step=step) for step in count(first))

    fabric = LocalFabric(store, spec.key, lambda *_: None, ENDLESS)
    pretrain(spec, selection, batches, fabric)


def bare(folder: str, model: str) -> None:
    """As one would write it for this one model."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    from raystudy.backbone import build_backbone, num_features
    from raystudy.stages.batches import local_batches
    from raystudy.stages.select import select
    from raystudy.store import Store
    from raystudy.views import training_view

    torch.set_num_threads(THREADS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec, store = pretraining(model, folder), Store(f"{folder}/store")
    selection = select(spec, store)
    held = [
        (torch.from_numpy(batch.inputs[0]).to(device), torch.from_numpy(batch.labels).to(device))
        for batch in islice(local_batches(spec, selection, store, 0), PRELOADED)
    ]
    backbone = build_backbone(spec.architecture, seed=0)
    head = nn.Linear(num_features(backbone), selection.num_classes)
    network = nn.Sequential(backbone, head).to(device).train()
    o = spec.optimisation
    optimiser = torch.optim.AdamW(
        network.parameters(), o.learning_rate, weight_decay=o.weight_decay, fused=True
    )
    assert isinstance(spec.architecture, Architecture)
    seen = spec.architecture.preprocessing
    generator = torch.Generator().manual_seed(0)
    for step in count():
        images, labels = held[step % PRELOADED]
        views = training_view(images, seen, spec.augmentation, generator)
        loss = cross_entropy(network(views), labels)
        loss.backward()
        if o.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), o.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def ray_alone(folder: str, model: str) -> None:
    """What Ray's own processes, a dozen of them, take from a loop beside them."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from raystudy.cluster.site import Placement, RaySite
    from raystudy.store import Store

    placement = Placement(num_lanes=1, threads_per_worker=THREADS)

    def work(_: dict) -> None:
        import trainers

        trainers.bare(folder, model)

    with RaySite(Store(f"{folder}/store"), placement, "local"), tempfile.TemporaryDirectory() as t:
        TorchTrainer(
            work,
            train_loop_config={},
            scaling_config=ScalingConfig(resources_per_worker=placement.per_worker),
            run_config=RunConfig(storage_path=t),
        ).fit()


def open_clip(folder: str, model: str) -> None:
    """Its model has the same towers: timm's network, a linear layer without bias, and the same text
    transformer. It differs in how pixels are read (Pillow, bicubic, normalised by loaders) and in
    the order of examples (a shuffling buffer over shards drawn with replacement)."""
    import open_clip
    import open_clip_train.data
    import torch
    from open_clip_train.main import main

    # It asks for webdataset up to 0.2.86; later ones end a shard with a mark that it cannot read.
    expand = open_clip_train.data.tar_file_expander
    open_clip_train.data.tar_file_expander = partial(expand, eof_value=None)
    spec = pretraining(model, folder)
    o = spec.optimisation
    assert isinstance(spec.architecture, Architecture)
    config = {
        "embed_dim": CLIP["embed_dim"],
        "vision_cfg": {
            "timm_model_name": spec.architecture.name,
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": MODELS[model].side,
        },
        "text_cfg": {
            "vocab_size": 49408,
            "context_length": CLIP["context_length"],
            "width": CLIP["text_width"],
            "heads": CLIP["text_heads"],
            "layers": CLIP["text_layers"],
        },
    }
    shards = sorted(Path(folder, MODELS[model].data).glob("*.tar"))
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "benchmark.json").write_text(json.dumps(config))
        open_clip.add_model_config(scratch)
        options = {
            "model": "benchmark",
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "precision": "fp32",
            "train-data": f"{shards[0].parent}/{{00000..{len(shards) - 1:05d}}}.tar",
            "train-num-samples": ENDLESS,
            "dataset-type": "webdataset",
            "workers": LOADERS,
            "batch-size": spec.budget.batch_size,
            "epochs": 1,
            "lr": o.learning_rate,
            "wd": o.weight_decay,
            "logs": scratch,
        }
        main(
            ["--dataset-resampled"]
            + [word for name, value in options.items() for word in (f"--{name}", str(value))]
        )


def study(runs: int = 6, steps: int = 40) -> Study:
    """Several short pre-trainings for one worker: what a study of small runs is like."""
    return Study(
        name="starts",
        grids=(
            Grid(
                methods=(WatchedSupervised(),),
                sources=(Glyphs(script="latin", num_examples=2_000, image_size=24),),
                sizes=(1_000,),
                architectures=(
                    Architecture(
                        name="resnet18",
                        args=SMALL,
                        preprocessing=Preprocessing(
                            image_size=24, grayscale=True, standardise="image"
                        ),
                    ),
                ),
                budget=Budget(samples=64 * steps),
                tasks=(Digits(),),
                adaptations=(LinearProbe(),),
                shots=(1,),
                seeds=tuple(range(runs)),
            ),
        ),
    )


if __name__ == "__main__":
    arm, folder, model = sys.argv[1:]
    run: Callable[[str, str], None] = globals()[arm.replace("-", "_")]
    run(folder, model)
