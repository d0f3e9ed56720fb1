"""Tiny data sets in the layouts that real ones have: real JPEGs, tars, parquet files, tables.

Each builder writes one and returns its own truth: what a reader should find.
"""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat
from xxhash import xxh3_64_intdigest

WIDTH, HEIGHT = 12, 8


class Example(NamedTuple):
    """What a row should say."""

    digest: int
    label: int = -1
    caption: str = ""


def jpeg(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A photograph of nothing, another for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=90)
    return data.getvalue()


def digest(data: bytes) -> int:
    return xxh3_64_intdigest(data)


def tar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


# --- What img2dataset leaves behind ------------------------------------------------------------


def img2dataset(
    folder: Path,
    num_shards: int = 2,
    per_shard: int = 3,
    columns: Sequence[str] = (),
    in_json: bool = True,
    first: int = 0,
) -> dict[str, dict[str, Any]]:
    """id → digest, caption and the additional ``columns`` of each pair that was obtained.

    Of every shard one more pair fails, and is in the parquet only. ``columns`` hold numbers, but
    for ``language``; without ``in_json`` they are in the parquet alone.
    """
    truth: dict[str, dict[str, Any]] = {}
    for shard in range(num_shards):
        members: list[tuple[str, bytes]] = []
        table: list[dict[str, Any]] = []
        for i in range(per_shard + 1):
            key = f"{shard:05d}{i:04d}"
            obtained = i != 1
            seed = first + 1000 * shard + i
            extra = {c: "en" if c == "language" else seed / 4096 for c in columns}
            caption = f"pair {seed} — «é»"
            about = {
                "url": f"http://example.org/{seed}.jpg",
                "caption": caption,
                "key": key,
                "status": "success" if obtained else "failed_to_download",
                "error_message": None if obtained else "HTTP Error 404: Not Found",
                "width": WIDTH if obtained else None,
                "height": HEIGHT if obtained else None,
                "original_width": 800 if obtained else None,
                "exif": "{}" if obtained else None,
                "sha256": f"{seed:064x}" if obtained else None,
            }
            table.append(about | extra)
            if obtained:
                image = jpeg(seed)
                inside = about | (extra if in_json else {})
                members += [
                    (f"{key}.jpg", image),
                    (f"{key}.json", json.dumps(inside, indent=4).encode()),
                    (f"{key}.txt", caption.encode()),
                ]
                truth[key] = {"digest": digest(image), "caption": caption} | extra
        write(folder / f"{shard:05d}.tar", tar_of(members))
        pq.write_table(pa.Table.from_pylist(table), folder / f"{shard:05d}.parquet")
        stats = {
            "count": per_shard + 1,
            "successes": per_shard,
            "failed_to_download": 1,
            "failed_to_resize": 0,
            "status_dict": {"success": per_shard, "HTTP Error 404: Not Found": 1},
        }
        write(folder / f"{shard:05d}_stats.json", json.dumps(stats, indent=4))
    return truth


# --- ImageNet in its layouts -------------------------------------------------------------------

WNIDS = ("n01443537", "n01440764", "n15075141", "n02012849")
"""Goldfish, tench, toilet tissue and crane (the bird), not in their order."""
WNID_LABELS = {"n01440764": 0, "n01443537": 1, "n02012849": 134, "n15075141": 999}
"""Of the official order."""
TRAIN = {f"{wnid}_{10 + 7 * i}": jpeg(100 * n + i) for n, wnid in enumerate(WNIDS) for i in (2, 0)}
"""Stem → JPEG."""
VALIDATION = {
    f"ILSVRC2012_val_{i:08d}": (WNIDS[(i * 3) % len(WNIDS)], jpeg(5000 + i)) for i in range(1, 8)
}
"""Stem → wnid, JPEG."""
TRAIN_TRUTH = {stem: Example(digest(d), WNID_LABELS[stem[:9]]) for stem, d in TRAIN.items()}
VALIDATION_TRUTH = {
    stem: Example(digest(data), WNID_LABELS[wnid]) for stem, (wnid, data) in VALIDATION.items()
}


def imagenet_folders(root: Path, train: str = "train", validation: str = "val") -> None:
    for stem, data in TRAIN.items():
        write(root / train / stem[:9] / f"{stem}.JPEG", data)
    for stem, (wnid, data) in VALIDATION.items():
        write(root / validation / wnid / f"{stem}.JPEG", data)


def imagenet_kaggle(root: Path) -> None:
    data = root / "ILSVRC" / "Data" / "CLS-LOC"
    imagenet_folders(root, "ILSVRC/Data/CLS-LOC/train", "unused")
    lines = [("ImageId", "PredictionString")]
    for stem, (wnid, image) in reversed(VALIDATION.items()):
        write(data / "val" / f"{stem}.JPEG", image)
        lines.append((stem, f"{wnid} 111 108 441 193 {wnid} 1 2 3 4 "))
    with (root / "LOC_val_solution.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def imagenet_tars(root: Path, devkit: str = "packed") -> None:
    """``devkit`` is packed, unpacked, or none."""
    classes = [
        (f"{wnid}.tar", tar_of((f"{s}.JPEG", d) for s, d in TRAIN.items() if s[:9] == wnid))
        for wnid in WNIDS
    ]
    write(root / "ILSVRC2012_img_train.tar", tar_of(classes))
    write(
        root / "ILSVRC2012_img_val.tar",
        tar_of((f"{stem}.JPEG", data) for stem, (_, data) in VALIDATION.items()),
    )
    files = devkit_files()
    if devkit == "packed":
        packed = tar_of((f"ILSVRC2012_devkit_t12/{name}", data) for name, data in files.items())
        write(root / "ILSVRC2012_devkit_t12.tar.gz", gzip.compress(packed))
    elif devkit == "unpacked":
        for name, data in files.items():
            write(root / "ILSVRC2012_devkit_t12" / name, data)


def devkit_files() -> dict[str, bytes]:
    """As the official one: ids of an order of their own, inner nodes of the tree behind them."""
    synsets = [*WNIDS, "n00001740"]
    records = np.zeros(
        (len(synsets), 1),
        [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")],
    )
    for i, wnid in enumerate(synsets):
        records[i, 0] = (float(i + 1), wnid, f"words of {wnid}", "gloss", float(wnid not in WNIDS))
    meta = io.BytesIO()
    savemat(meta, {"synsets": records})
    truth = "".join(f"{WNIDS.index(wnid) + 1}\n" for wnid, _ in VALIDATION.values())
    return {
        "data/meta.mat": meta.getvalue(),
        "data/ILSVRC2012_validation_ground_truth.txt": truth.encode(),
        "readme.txt": b"ILSVRC2012",
    }


def imagenet_webdataset(root: Path) -> None:
    """As timm publishes it, in shards that are not sorted by class."""

    def members(stem: str, wnid: str, data: bytes) -> list[tuple[str, bytes]]:
        label = WNID_LABELS[wnid]
        about = {"label": label, "filename": f"{wnid}/{stem}.JPEG", "width": WIDTH}
        return [
            (f"{stem}.cls", str(label).encode()),
            (f"{stem}.jpg", data),
            (f"{stem}.json", json.dumps(about).encode()),
        ]

    train = [(stem, stem[:9], data) for stem, data in TRAIN.items()]
    for i in range(2):
        shard = [m for example in train[i::2] for m in members(*example)]
        write(root / f"imagenet1k-train-{i:04d}.tar", tar_of(shard))
    val = [m for stem, (wnid, data) in VALIDATION.items() for m in members(stem, wnid, data)]
    write(root / "imagenet1k-validation-00.tar", tar_of(val))


def imagenet_captions(root: Path) -> Mapping[str, Mapping[str, Any]]:
    """Stem → entry, for all training images but one."""
    texts: list[dict[str, Any]] = [
        {"title": "  A  fish ", "tags": ["fish", "new york"], "description": "<i>swims</i>\nhere"},
        {"title": "A fish", "tags": [], "description": "A fish"},
        {"title": "", "tags": ["crane"], "description": None},
    ]
    entries = {
        stem: texts[i % 3] | {"filename": f"{stem}.JPEG", "wnid": stem[:9]}
        for i, stem in enumerate(list(TRAIN)[1:])
    }
    write(root / "imagenet_captions.json", json.dumps(list(entries.values())))
    return entries


# --- RedCaps, as its own downloader leaves it --------------------------------------------------


def redcaps(root: Path) -> dict[str, Example]:
    """id → what is annotated; one image of each subreddit is not."""
    truth = {}
    for n, (subreddit, years) in enumerate({"birds": (2017, 2019), "cat_pics": (2020,)}.items()):
        write(root / "images" / subreddit / "removed.jpg", jpeg(90 + n))
        for year in years:
            annotations = []
            for i in range(2):
                id, image = f"{subreddit[:2]}{year}x{i}", jpeg(10 * year + i)
                caption = f"{subreddit} in {year}, {i}"
                write(root / "images" / subreddit / f"{id}.jpg", image)
                annotations.append(
                    {
                        "image_id": id,
                        "author": "someone",
                        "url": f"https://i.redd.it/{id}.jpg",
                        "raw_caption": caption.upper(),
                        "caption": caption,
                        "subreddit": subreddit,
                        "score": 7,
                    }
                )
                truth[f"images/{subreddit}/{id}"] = Example(digest(image), caption=caption)
            info = {"start_date": f"{year}-01-01", "url": "https://redcaps.xyz", "version": "1.0"}
            content = json.dumps({"info": info, "annotations": annotations})
            write(root / "annotations" / f"{subreddit}_{year}.json", content)
    return truth


# --- Folders, parquet files, tables ------------------------------------------------------------


def class_folders(root: Path, below: str = "") -> dict[str, Example]:
    truth = {}
    for label, name in enumerate(("ant", "bee", "cat")):
        for i in range(label + 1):
            image = jpeg(300 + 10 * label + i)
            write(root / below / name / f"{i}.jpg", image)
            truth[f"{name}/{i}"] = Example(digest(image), label)
    return truth


def hub_parquet(path: Path, seed: int, labels: Sequence[int], names: Sequence[str]) -> set[Example]:
    """A file as Hugging Face's ``datasets`` writes it, with its features in the metadata."""
    images = [jpeg(seed + i) for i in range(len(labels))]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(names), "_type": "ClassLabel"},
    }
    table = pa.table(
        {
            "image": [{"bytes": d, "path": f"{seed + i}.jpg"} for i, d in enumerate(images)],
            "label": pa.array(labels, pa.int64()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return {Example(digest(d), label) for d, label in zip(images, labels, strict=True)}


def openclip_table(root: Path, name: str) -> set[Example]:
    """Columns title and filepath, apart by tabs, as OpenCLIP's ``gather_cc.py`` writes them."""
    images = {f"cc_data/train/00/{i:09d}.jpg": jpeg(700 + i) for i in range(4)}
    lines = ["title\tfilepath"]
    for i, (path, data) in enumerate(images.items()):
        write(root / path, data)
        lines.append(f"a photo, number {i}\t{path}")
    write(root / name, "\n".join(lines) + "\n")
    return {
        Example(digest(d), caption=f"a photo, number {i}") for i, d in enumerate(images.values())
    }
