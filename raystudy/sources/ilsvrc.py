"""ImageNet-1k (ILSVRC 2012) as it lies on disk: whatever the layout, the same ids and labels.

Five layouts are told by what is there; where there are several, the first of them is read::

    train/n01440764/*.JPEG, val/…                    folders, also below Kaggle's
                                                     ILSVRC/Data/CLS-LOC/; validation by class
                                                     or all in one folder
    train/n01440764.tar …                            the official tar, unpacked once
    ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar the official tars
    imagenet1k-train-0000.tar, …-validation-00.tar   WebDataset, as timm publishes it
    data/train-00000-of-00294.parquet …              parquet, as on the Hugging Face hub

The classes of validation images come from the name of their folder, from Kaggle's
``LOC_val_solution.csv``, from the official devkit (``ILSVRC2012_devkit_t12.tar.gz``, or its
``data/``), or from the label in the WebDataset or parquet file.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import re
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from raystudy.shards.root import Root
from raystudy.shards.table import replaced

Split = Literal["train", "validation"]

KAGGLE = "ILSVRC/Data/CLS-LOC"
FOLDERS: Mapping[Split, Sequence[str]] = {
    "train": ("train", f"{KAGGLE}/train", "Data/CLS-LOC/train", "ILSVRC2012_img_train"),
    "validation": ("val", f"{KAGGLE}/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "validation"),
}
TARS: Mapping[Split, str] = {
    "train": "ILSVRC2012_img_train.tar",
    "validation": "ILSVRC2012_img_val.tar",
}
SOLUTION = "LOC_val_solution.csv"
DEVKIT = "ILSVRC2012_devkit_t12"
TRUTH, META = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
MAX_DEVKIT_BYTES = 64 << 20
"""Of the devkit, unpacked; it has 3 MB."""
_WNID = re.compile(r"n\d{8}")
_STEM = re.compile(r"(n\d{8})_\d+|ILSVRC2012_val_(\d{8})")


class Labels(NamedTuple):
    """What gives each image its label."""

    of_wnid: Mapping[str, int]
    of_validation: Mapping[int, str]
    """Number of a validation image, from 1 → wnid; empty where nothing says it."""


def shards(root: Root, split: Split) -> Sequence[str]:
    """Class folders or tars, a folder of all images, an official tar, WebDataset or parquet."""
    for folder in FOLDERS[split]:
        inside = [f for f in root.folders(folder) if _WNID.fullmatch(_last(f))]
        inside += [f for f in root.glob(f"{folder}/n*.tar") if _WNID.fullmatch(_last(f)[:-4])]
        if inside:
            return inside
        if split == "validation" and any(map(_STEM.match, map(_last, root.files(folder)))):
            return [folder]
    if root.exists(TARS[split]):
        return [TARS[split]]
    return root.glob(f"imagenet1k-{split}-*.tar") or root.glob(f"data/{split}-*.parquet")


def missing(root: Root, split: Split) -> Sequence[str]:
    """What is not there, one line each, with the way out."""
    found = shards(root, split)
    if not found:
        folder, tar = FOLDERS[split][0], TARS[split]
        return [
            f"no {split} images below {root.url}: neither {folder}/ nor Kaggle's "
            f"{KAGGLE}/{folder}/, nor {tar}, imagenet1k-{split}-*.tar or data/{split}-*.parquet; "
            "see https://image-net.org/download"
        ]
    needs_truth = found == [TARS["validation"]] or found[0] in FOLDERS["validation"]
    if needs_truth and not _validation(root):
        return [
            f"{found[0]} is not sorted by class, and nothing says its labels; put {DEVKIT}.tar.gz "
            f"or Kaggle's {SOLUTION} into {root.url}"
        ]
    return ()


def labels(root: Root, split: Split) -> Labels:
    """Raises ValueError for a devkit or solution that is malformed."""
    of_wnid = {wnid: label for label, wnid in enumerate(wnids(root, split))}
    return Labels(of_wnid, _validation(root) if split == "validation" else {})


def wnids(root: Root, split: Split) -> tuple[str, ...]:
    """In label order: the official thousand, unless the folders have other names."""
    named = {_last(f)[:9] for f in shards(root, split) if _WNID.match(_last(f))}
    official = tuple(_packaged("imagenet_synsets.txt"))
    return official if named <= set(official) else tuple(sorted(named))


def class_names(root: Root, split: Split) -> tuple[str, ...]:
    """In label order, words that tell them apart: the first lemma of each synset; where two share
    it, all lemmas; where they share these too (the two cranes), with the definition."""
    ids = wnids(root, split)
    lemmas, definitions = _packaged_words("lemma"), _packaged_words("definition")
    lemmas = [lemmas.get(wnid, wnid) for wnid in ids]
    names = [lemma.partition(",")[0] for lemma in lemmas]
    defined = [f"{lemma}: {definitions.get(w)}" for lemma, w in zip(lemmas, ids, strict=True)]
    for longer in (lemmas, defined):
        uses = Counter(names)
        names = [b if uses[a] > 1 else a for a, b in zip(names, longer, strict=True)]
    return tuple(names)


def annotate(rows: pa.Table, labels: Labels) -> pa.Table:
    """Ids are the images' official names (``n01440764_10026``, ``ILSVRC2012_val_00000001``), so
    that a subset does not depend on the layout. A label is the class's place in ``of_wnid``; where
    no wnid is known, the one that is in the shard."""
    ids, places = [], []
    for id, path, given in zip(
        *(rows[column].to_pylist() for column in ("id", "path", "label")), strict=True
    ):
        stem = _STEM.match(_last(id))
        above = path.removesuffix(".tar").split("/") + id.split("/")[:-1]
        folder = next((f for f in reversed(above) if _WNID.fullmatch(f)), None)
        number = stem and stem[2]
        wnid = folder or (labels.of_validation.get(int(number)) if number else stem and stem[1])
        ids.append(stem[0] if stem else id)
        places.append(labels.of_wnid.get(wnid, given) if wnid else given)
    return replaced(replaced(rows, "id", ids), "label", places)


def _validation(root: Root) -> Mapping[int, str]:
    """Number → wnid, from Kaggle's solution or else the devkit; empty without either."""
    if solution := root.read(SOLUTION):
        return _solution(solution, f"{root.url}/{SOLUTION}")
    for folder in ("", f"{DEVKIT}/"):
        truth, meta = root.read(folder + TRUTH), root.read(folder + META)
        if truth and meta:
            return _truth(truth, meta, f"{root.url}/{folder}data")
    if packed := root.read(f"{DEVKIT}.tar.gz"):
        where = f"{root.url}/{DEVKIT}.tar.gz"
        return _truth(*_unpacked(packed, where), where)
    return {}


def _solution(data: bytes, where: str) -> dict[int, str]:
    """Lines "ILSVRC2012_val_00000001,n01751748 <box> …"."""
    found = {}
    try:
        for row in csv.DictReader(io.StringIO(data.decode("utf-8", "replace"))):
            stem, wnid = _STEM.match(row["ImageId"]), _WNID.match(row["PredictionString"])
            if stem and stem[2] and wnid:
                found[int(stem[2])] = wnid[0]
    except (csv.Error, KeyError, TypeError):  # None where a line is short
        found = {}
    if not found:
        raise ValueError(
            f"{where}: not Kaggle's solution, which has columns ImageId and PredictionString"
        )
    return found


def _truth(truth: bytes, meta: bytes, where: str) -> dict[int, str]:
    """Line i of the ground truth is the ILSVRC2012_ID of validation image i, from 1."""
    from scipy.io import loadmat  # only where a devkit is read

    try:
        synsets: Any = loadmat(io.BytesIO(meta), squeeze_me=True, variable_names=["synsets"])
        synsets = synsets["synsets"]
        ids = (int(i) for i in synsets["ILSVRC2012_ID"])
        wnid_of = dict(zip(ids, map(str, synsets["WNID"]), strict=True))
        return {i: wnid_of[int(line)] for i, line in enumerate(truth.split(), 1)}
    except Exception as error:  # scipy's reader raises nearly anything on damaged files
        raise ValueError(
            f"{where}: not the ILSVRC2012 devkit ({error!r}); download it again"
        ) from None


def _unpacked(packed: bytes, where: str) -> tuple[bytes, bytes]:
    """Ground truth and ``meta.mat`` of the devkit's archive, in memory."""
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            data = file.read(MAX_DEVKIT_BYTES)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = [tar.extractfile(f"{DEVKIT}/{name}") for name in (TRUTH, META)]
            truth, meta = (file.read() for file in files if file)
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
        raise ValueError(
            f"{where}: not the ILSVRC2012 devkit ({error!r}); download it again"
        ) from None
    return truth, meta


def _packaged_words(what: Literal["lemma", "definition"]) -> dict[str, str]:
    """wnid → words."""
    lines = (line.partition("\t") for line in _packaged(f"imagenet_synset_to_{what}.txt"))
    return {wnid: words for wnid, _, words in lines}


@cache
def _packaged(name: str) -> tuple[str, ...]:
    """The lines of a file of timm's ``data/_info``, without importing timm and with it torch."""
    spec = importlib.util.find_spec("timm")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ModuleNotFoundError("ImageNet's class names come with timm; install timm")
    return tuple(Path(folders[0], "data", "_info", name).read_text("utf-8").splitlines())


def _last(path: str) -> str:
    return path.rpartition("/")[2]
