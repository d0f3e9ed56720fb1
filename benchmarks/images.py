"""Natural-like JPEGs in WebDataset shards: what the benchmarks of ingest read.

Coloured noise with the spectrum of photographs (1/f, Field 1987), a few shapes, sensor noise;
about 400 × 300 pixels and 45 KB at quality 90, like a web image.
"""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CLASSES = 10


def natural(rng: np.random.Generator, height: int, width: int, label: int = 0) -> Image.Image:
    """``label`` sets the hue, so that there is something to learn."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum = np.hypot(fy, fx)
    spectrum[0, 0] = np.inf

    def field() -> np.ndarray:
        phases = np.exp(2j * np.pi * rng.random(spectrum.shape))
        image = np.fft.irfft2(phases / spectrum**1.35, (height, width))
        return image / image.std()

    grey = field()
    pixels = np.stack([0.8 * grey + 0.3 * field() for _ in range(3)], -1).astype(np.float32)
    hue = np.cos(2 * np.pi * (label / CLASSES + np.arange(3) / 3))
    pixels = np.ascontiguousarray(pixels * 45 + 128 + 25 * hue, dtype=np.float32)
    for _ in range(6):
        place = (int(rng.integers(width)), int(rng.integers(height)))
        filled = -1 if rng.random() < 0.5 else 3
        cv2.circle(pixels, place, int(rng.integers(10, 80)), rng.uniform(0, 255, 3), filled)
    pixels += rng.normal(0, 3, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_shards(folder: Path, num_images: int, per_shard: int = 250, distinct: int = 400) -> int:
    """Shards of ``num_images`` examples, of which ``distinct`` are drawn and then repeated under
    new ids. Returns their size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    drawn = []
    for i in range(min(distinct, num_images)):
        data = io.BytesIO()
        image = natural(rng, int(rng.integers(270, 330)), int(rng.integers(360, 440)), i % CLASSES)
        image.save(data, "JPEG", quality=90)
        drawn.append(data.getvalue())
    for first in range(0, num_images, per_shard):
        path = folder / f"{first // per_shard:05d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in range(first, min(first + per_shard, num_images)):
                label = i % len(drawn) % CLASSES
                members = {"jpg": drawn[i % len(drawn)], "cls": str(label).encode()}
                for suffix, data in members.items():
                    entry = tarfile.TarInfo(f"{i:09d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    (folder / "classnames.txt").write_text("".join(f"hue {c}\n" for c in range(CLASSES)))
    return sum(p.stat().st_size for p in folder.glob("*.tar"))


def write_folder(folder: Path, shards: Path) -> None:
    """The same images as an image folder, for loaders that read nothing else."""
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = {m.name: m for m in tar}
            for name, member in members.items():
                if name.endswith(".jpg"):
                    label = tar.extractfile(members[name.replace(".jpg", ".cls")])
                    image = tar.extractfile(member)
                    assert label
                    assert image
                    target = folder / f"class{label.read().decode()}" / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(image.read())
