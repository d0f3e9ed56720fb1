"""Fashion-MNIST as WebDataset shards: 60,000 real images to pre-train on.

    apt-get install dataset-fashion-mnist
    python benchmarks/fashion.py data/fashion
    raystudy run experiments/fashion.py --shards data/fashion

Xiao et al. 2017 (arXiv 1708.07747), MIT licence; Debian packages it in its original files.
"""

import argparse
import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ORIGINALS = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
PER_SHARD = 2500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--originals", type=Path, default=ORIGINALS)
    options = parser.parse_args()
    images = idx(options.originals / "train-images-idx3-ubyte.gz")
    labels = idx(options.originals / "train-labels-idx1-ubyte.gz")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "classnames.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for first in range(0, len(images), PER_SHARD):
        path = options.out / f"{first // PER_SHARD:05d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in range(first, min(first + PER_SHARD, len(images))):
                png = io.BytesIO()
                Image.fromarray(images[i]).save(png, "PNG")
                name = CLASSES[labels[i]]
                members = {
                    "png": png.getvalue(),
                    "cls": str(labels[i]).encode(),
                    "txt": f"a grey picture of a {name}".encode(),
                }
                for suffix, data in members.items():
                    entry = tarfile.TarInfo(f"{i:05d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    print(f"{len(images):,} images in {options.out}")


def idx(path: Path) -> np.ndarray:
    """An array in LeCun's IDX format, of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


if __name__ == "__main__":
    main()
