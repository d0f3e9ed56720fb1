"""Do pixels decoded by region and scale look like Pillow's, and do networks learn as well?

    python benchmarks/quality.py [--json PATH]

PSNR against a full decode by Pillow and its antialiased resize of the same regions, at 64, 96 and
224 px; and the test accuracy of a small network trained on Fashion-MNIST (enlarged to JPEGs of
224 px, shown at 32 through random crops) when all that differs is the decoder.
"""

import argparse
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from fashion import ORIGINALS, idx
from images import natural
from PIL import Image
from torch import nn

from raystudy.crops import random_regions
from raystudy.randomness import generator
from raystudy.shards.image import Region, decode
from raystudy.shards.probe import probe

AREA = (0.08, 1.0)
SIDE, EPOCHS, TRAIN, TEST = 32, 3, 12_000, 4_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines = [compare_pixels(side) for side in (64, 96, 224)]
    if ORIGINALS.is_dir():
        lines.append(compare_learning(options.seeds))
    else:
        print(f"{ORIGINALS} is not there: install dataset-fashion-mnist for the training run")
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def ours(data: bytes, side: int, region: Region) -> np.ndarray:
    return decode(data, side, region)


def pillow(data: bytes, side: int, region: Region) -> np.ndarray:
    left, top, w, h = region
    with Image.open(io.BytesIO(data)) as image:
        box = (left, top, left + w, top + h)
        whole = image.convert("RGB")
        return np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR, box=box))


def compare_pixels(side: int) -> dict:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        data = jpeg(natural(rng, int(rng.integers(270, 330)), int(rng.integers(360, 440))))
        region = regions([data], rng)[0]
        a, b = (f(data, side, region).astype(float) for f in (ours, pillow))
        found.append(10 * np.log10(255**2 / max(np.mean((a - b) ** 2), 1e-9)))
    low, median, high = np.quantile(found, (0.05, 0.5, 0.95))
    print(f"PSNR at {side} px: median {median:.1f} dB (5 % to 95 %: {low:.1f} to {high:.1f})")
    return line(f"PSNR at {side} px, dB (30: hardly visible)", median, 30, low / 30, high / 30)


def compare_learning(seeds: int) -> dict:
    images = idx(ORIGINALS / "train-images-idx3-ubyte.gz")[: TRAIN + TEST]
    labels = idx(ORIGINALS / "train-labels-idx1-ubyte.gz")[: TRAIN + TEST].astype(np.int64)
    data = [jpeg(Image.fromarray(i).resize((224, 224), Image.Resampling.BICUBIC)) for i in images]
    found = {f: [accuracy(data, labels, f, seed) for seed in range(seeds)] for f in (ours, pillow)}
    differences = 100 * (np.array(found[ours]) - np.array(found[pillow]))
    for f, values in found.items():
        each = ", ".join(f"{100 * v:.1f}" for v in values)
        print(f"accuracy of {f.__name__}: {100 * np.mean(values):.1f} % ({each})")
    print(f"difference, paired by seed: {differences.mean():+.2f} points ({differences.round(2)})")
    a, b = (float(np.mean(found[f])) for f in (ours, pillow))
    ratios = np.array(found[ours]) / np.array(found[pillow])
    return line("accuracy on Fashion-MNIST", a, b, ratios.min(), ratios.max())


def accuracy(data: list[bytes], labels: np.ndarray, how, seed: int) -> float:
    torch.manual_seed(seed)
    widths = (3, 16, 32, 64)
    layers = [
        layer
        for a, b in pairwise(widths)
        for layer in (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
    ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    steps = EPOCHS * TRAIN // 64
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        rng = generator(seed, "quality", step)
        rows = rng.integers(0, TRAIN, 64)
        places = regions([data[i] for i in rows], rng, (0.5, 1.0))
        batch = np.stack([how(data[i], SIDE, r) for i, r in zip(rows, places, strict=True)])
        loss = nn.functional.cross_entropy(model(tensor(batch)), torch.from_numpy(labels[rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    whole = Region(0, 0, 224, 224)
    with torch.inference_mode():
        # Tested on Pillow's pixels, whatever it was trained on: what a user would deploy.
        test = tensor(np.stack([pillow(d, SIDE, whole) for d in data[TRAIN:]]))
        guesses = torch.cat([model(part).argmax(1) for part in test.split(500)]).numpy()
    return float((guesses == labels[TRAIN:]).mean())


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def regions(data: list[bytes], rng: np.random.Generator, area=AREA) -> list[Region]:
    sides = np.array([probe(d) for d in data], dtype=np.int32)
    return [Region(*r) for r in random_regions(sides[:, 0], sides[:, 1], area, rng).tolist()]


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def line(name: str, a: float, b: float, low: float, high: float) -> dict:
    return {
        "name": name,
        "ours": float(a),
        "peer": float(b),
        "peer_name": "Pillow, full decode",
        "ratio": float(a / b),
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main()
