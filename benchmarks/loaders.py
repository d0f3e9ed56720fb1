"""The loaders that ``ingest.py`` compares, each as its users write it, and ours.

Run as a process: ``python loaders.py ARM FOLDER SIDE BOX``.
"""

import io
import logging
import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ARMS = {
    "raystudy": "this pipeline in a Ray Train loop",
    "limit": "decode-only limit: the same views from memory, two processes",
    "wds-pillow": "webdataset + DataLoader, Pillow, float32, as commonly written",
    "wds-torchvision": "webdataset + DataLoader, torchvision, uint8",
    "timm": "timm create_loader on an image folder",
    "ray-plain": "Ray Data read_webdataset and map_batches, as documented",
}
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(256 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""As raystudy sets it for its workers: without, freed pixels go back to the kernel each time."""
RAY = {"RAY_health_check_failure_threshold": "1000"}
"""A cluster that was stopped for another arm's turn is not dead."""
ENVIRONMENT = {"limit": MALLOC, "raystudy": RAY, "ray-plain": RAY}
BATCH, LOADERS = 64, 2
AREA = (0.08, 1.0)


class Count:
    """Counts the images that have arrived, where ``ingest.py`` sees it."""

    def __init__(self, box: str, slot: int = 0) -> None:
        self._at = 8 * slot
        with open(Path(box, "count"), "r+b") as file:
            self._counts = mmap.mmap(file.fileno(), 16)

    def seen(self, images: int) -> None:
        (before,) = struct.unpack_from("q", self._counts, self._at)
        struct.pack_into("q", self._counts, self._at, before + images)


def counts(box: str) -> tuple[int, int]:
    return struct.unpack("qq", Path(box, "count").read_bytes())


def index(shards: str, workers: int = 1) -> None:
    from raystudy.shards.manifest import build
    from raystudy.sources.webdataset import WebDataset

    build(WebDataset(path=shards), workers=workers)


def raystudy(folder: str, side: int, box: str) -> None:
    import ray.train
    import torch

    from raystudy.cluster.stream import exact_order, loaded_of, parcel_of, stream
    from raystudy.stages.batches import unpack
    from raystudy.stages.select import select
    from raystudy.store import Store

    spec = pretraining(f"{folder}/shards", side)
    with tempfile.TemporaryDirectory() as scratch:
        url = Store(f"{scratch}/store").url
        select(spec, Store(url))

        def worker(_: dict) -> None:
            count = Count(box)
            shard = ray.train.get_dataset_shard("train")
            for row in shard.iter_batches(batch_size=None, prefetch_batches=2):
                for batch in unpack(parcel_of(row), loaded_of(row), spec, 1, 0.0):
                    assert torch.from_numpy(batch.inputs).shape == (1, BATCH, side, side, 3)
                    count.seen(BATCH)

        train(
            worker,
            scratch,
            datasets={"train": lambda: stream({0: 0}, [spec], 1, url, num_loaders=LOADERS)},
            dataset_config=exact_order(),
        )


def idle(folder: str, side: int, box: str) -> None:
    """A group of Ray Train that reads nothing."""

    def worker(_: dict) -> None:
        while True:
            Count(box).seen(BATCH)
            time.sleep(1)

    with tempfile.TemporaryDirectory() as scratch:
        train(worker, scratch)


def train(worker: Callable[[dict], None], scratch: str, **data: Any) -> None:
    """In one worker of a cluster like ``raystudy run``'s own."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from raystudy.cluster.site import ENVIRONMENT, MALLOC

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray.init(
        address="local",
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": MALLOC},
    )
    TorchTrainer(
        worker,
        train_loop_config={},
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(storage_path=scratch),
        **data,
    ).fit()


def pretraining(shards: str, side: int):
    """A pre-training that does not end while the benchmark runs: 3 million views or two epochs."""
    from raystudy.methods.supervised import Supervised
    from raystudy.sources.webdataset import WebDataset
    from raystudy.spec import Architecture, Augmentation, Budget, Preprocessing, Pretraining

    source = WebDataset(path=shards)
    size = source.known_size()
    assert size
    return Pretraining(
        method=Supervised(),
        architecture=Architecture(name="resnet18", preprocessing=Preprocessing(image_size=side)),
        source=source,
        size=size,
        budget=Budget(epochs=max(2.0, 3e6 / size), batch_size=BATCH, chunk_size=BATCH),
        augmentation=Augmentation(random_crop=AREA, flip=True),
    )


def limit(folder: str, side: int, box: str) -> None:
    from raystudy.crops import random_regions
    from raystudy.shards.image import Region, decode
    from raystudy.shards.probe import probe

    images = [image for image, _ in members(f"{folder}/shards")]
    sides = np.array([probe(image) for image in images], dtype=np.int32)
    count = Count(box, slot=int(os.fork() == 0))
    out = np.empty((BATCH, side, side, 3), np.uint8)
    rng = np.random.default_rng(os.getpid())
    while True:
        rows = rng.integers(0, len(images), BATCH)
        regions = random_regions(sides[rows, 0], sides[rows, 1], AREA, rng)
        for i, (row, region) in enumerate(zip(rows, regions.tolist(), strict=True)):
            decode(images[row], side, Region(*region), out[i])
        count.seen(BATCH)


def wds_pillow(folder: str, side: int, box: str) -> None:
    import webdataset as wds
    from torch.utils.data import DataLoader
    from torchvision import transforms

    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=AREA),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    data = (
        wds.WebDataset(urls(folder), shardshuffle=12, resampled=True)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(view, int)
    )
    consume(DataLoader(data, batch_size=BATCH, num_workers=LOADERS), box)


def wds_torchvision(folder: str, side: int, box: str) -> None:
    """Of uint8 tensors with torchvision's v2 transforms, batched in the workers: the fastest
    setting found (antialias left on, as is its default; off is less than 5 % faster)."""
    import torch
    import webdataset as wds
    from torch.utils.data import DataLoader
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    view = v2.Compose([v2.RandomResizedCrop(side, scale=AREA), v2.RandomHorizontalFlip()])

    def image(data: bytes) -> torch.Tensor:
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return view(decode_jpeg(raw, ImageReadMode.RGB))

    data = (
        wds.WebDataset(urls(folder), shardshuffle=12, resampled=True)
        .shuffle(1000)
        .to_tuple("jpg", "cls")
        .map_tuple(image, int)
        .batched(BATCH)
    )
    consume(DataLoader(data, batch_size=None, num_workers=LOADERS, prefetch_factor=4), box)


def timm(folder: str, side: int, box: str) -> None:
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", f"{folder}/folder"),
        input_size=(3, side, side),
        batch_size=BATCH,
        is_training=True,
        no_aug=False,
        scale=AREA,
        color_jitter=None,
        use_prefetcher=True,
        num_workers=LOADERS,
        device=__import__("torch").device("cpu"),
        persistent_workers=True,
    )
    count = Count(box)
    while True:
        for images, _ in loader:
            count.seen(len(images))


def ray_plain(folder: str, side: int, box: str) -> None:
    import ray
    import ray.data
    from PIL import Image
    from torchvision import transforms

    ray.init(address="local", logging_level=logging.ERROR, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    view = transforms.Compose(
        [transforms.RandomResizedCrop(side, scale=AREA), transforms.RandomHorizontalFlip()]
    )

    def prepare(batch: dict) -> dict:
        images = [np.asarray(view(Image.fromarray(image))) for image in batch["jpg"]]
        return {"image": np.stack(images), "label": batch["cls"]}

    paths = sorted(map(str, Path(folder, "shards").glob("*.tar")))
    data = ray.data.read_webdataset(paths * 200).map_batches(prepare, batch_size=BATCH)
    count = Count(box)
    for batch in data.iter_torch_batches(batch_size=BATCH, prefetch_batches=2):
        count.seen(len(batch["image"]))


def consume(loader, box: str) -> None:
    count = Count(box)
    for images, _ in loader:
        count.seen(len(images))


def family(pid: int) -> list:
    """A process and all that it started; nothing if it is gone."""
    import psutil

    try:
        own = psutil.Process(pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(pid: int, number: int) -> None:
    """Send a signal to a process and to all that it started."""
    import psutil

    for process in family(pid):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def urls(folder: str) -> list[str]:
    return sorted(map(str, Path(folder, "shards").glob("*.tar")))


def members(shards: str):
    """(image, label) of every example, by webdataset itself."""
    import webdataset as wds

    files = sorted(map(str, Path(shards).glob("*.tar")))
    for example in wds.WebDataset(files, shardshuffle=False):
        yield example["jpg"], int(io.BytesIO(example["cls"]).read())


if __name__ == "__main__":
    arm, folder, side, box = sys.argv[1:]
    globals()[arm.replace("-", "_")](folder, int(side), box)
