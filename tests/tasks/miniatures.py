"""Tiny data sets in the official layouts of real ones: real JPEGs, lists and tables.

Each builder writes one and returns its own truth: what a reader should find.
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from raystudy.kinds import TaskOnDisk
from raystudy.tasks import imagenet_names, names, table


@dataclass
class Truth:
    """Id → words of its class; and the splits that are official, ``learnt`` where only training
    and validation together are."""

    classes: dict[str, str] = field(default_factory=dict)
    splits: dict[str, set[str]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    """Id → path, of those that do not end their path."""

    def add(self, split: str, id: str, words: str) -> None:
        self.classes[id] = words
        self.splits.setdefault(split, set()).add(id)


def photo(path: Path, seed: int = 0, format: str = "JPEG") -> None:
    """A picture of nothing; neighbouring seeds differ in size."""
    shape = (8 + seed % 3, 12 - seed % 2, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format, quality=90)


def text(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def dtd(root: Path) -> Truth:
    truth = Truth()
    for n, (split, file) in enumerate(
        (("train", "train1"), ("validation", "val1"), ("test", "test1"))
    ):
        lines = []
        for k, name in enumerate(("zigzagged", "banded", "polka-dotted")):
            for i in range(2):
                line = f"{name}/{name}_{10 * n + i:04d}.jpg"
                photo(root / "images" / line, 10 * n + k + i)
                lines.append(line)
                truth.add(split, line, name)
        text(root / "labels" / f"{file}.txt", lines)
    return truth


def pets(root: Path) -> Truth:
    truth = Truth()
    for split, file, first in (("learnt", "trainval", 0), ("test", "test", 100)):
        lines = []
        # Numbers that are not the official ones: the file's name says the breed.
        for number, breed in enumerate(("yorkshire_terrier", "Abyssinian", "Maine_Coon"), 1):
            for i in range(first, first + 10):
                photo(root / "images" / f"{breed}_{i}.jpg", i)
                lines.append(f"{breed}_{i} {number} 1 1")
                truth.add(split, f"{breed}_{i}", breed.replace("_", " "))
        text(root / "annotations" / f"{file}.txt", lines)
    return truth


def domain_net(root: Path, domain: str = "clipart") -> Truth:
    truth = Truth()
    for split, file, num in (("learnt", "train", 10), ("test", "test", 3)):
        lines = []
        for number, folder in enumerate(("zebra", "The_Eiffel_Tower", "t-shirt")):
            for i in range(num):
                path = f"{domain}/{folder}/{file} {i}.jpg"
                photo(root / path, i)
                lines.append(f"{path} {number}")
                truth.add(split, path, folder.replace("_", " "))
        text(root / f"{domain}_{file}.txt", lines)
    return truth


def class_folders(root: Path, stem: str, num: int, suffix: str = "{name}_{i}.jpg") -> Truth:
    """``num`` images in each folder of a class, made in reverse; the same photograph in all."""
    truth = Truth()
    photo(first := root.parent / f"{stem}.jpg", 1)
    pairs = zip(names.official(stem), names.words(stem), strict=True)
    for name, words in reversed(list(pairs)):
        (root / name).mkdir(parents=True)
        for i in reversed(range(num)):
            file = suffix.format(name=name, i=i)
            shutil.copyfile(first, root / name / file)
            truth.add("all", f"{name}/{file}", words)
    return truth


def euro_sat(root: Path) -> Truth:
    return class_folders(root / "2750", "eurosat", 10)


def resisc45(root: Path) -> Truth:
    return class_folders(root / "NWPU-RESISC45", "resisc45", 5, "{name}_{i:03d}.jpg")


def caltech101(root: Path) -> Truth:
    folder = root / "101_ObjectCategories"
    return class_folders(folder, "caltech101", 32, "image_{i:04d}.jpg")


DISEASES = {
    "0": "Cassava Bacterial Blight (CBB)",
    "1": "Cassava Brown Streak Disease (CBSD)",
    "2": "Cassava Green Mottle (CGM)",
    "3": "Cassava Mosaic Disease (CMD)",
    "4": "Healthy",
}


def cassava(root: Path, diseases: Mapping[str, str] = DISEASES) -> Truth:
    truth = Truth()
    rows = []
    for number, disease in diseases.items():
        for i in range(10):
            id = f"{number}{i}15.jpg"
            photo(root / "train_images" / id, i)
            rows.append((id, number))
            said = disease.partition(" (")[0].lower()
            truth.add("all", id, "healthy cassava" if said == "healthy" else said)
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])
    (root / "label_num_to_disease_map.json").write_text(json.dumps(diseases))
    return truth


KINDS = {1: "opossum", 3: "raccoon", 30: "empty", 33: "car"}


def camera_traps(root: Path) -> Truth:
    """Of each split two images that are read and two that are not: an empty one, one of two kinds;
    and of validation another, from a sequence of which training has images."""
    truth = Truth()
    files = {"train": "train", "validation": "cis_val", "test": "cis_test"}
    for split, file in files.items():
        shown = [(f"{file}-{kind}", f"{file}-{kind}", (kind, kind)) for kind in (33, 1)]
        for id, _, kinds in shown:
            truth.add(split, id, KINDS[kinds[0]])
        shown += [(f"{file}-empty", "a", (30,)), (f"{file}-both", "b", (1, 3))]
        if split == "validation":
            shown.append((f"{file}-again", "train-33", (33, 33)))
        for id, _, _ in shown:
            photo(root / "eccv_18_all_images_sm" / f"{id}.jpg", len(id))
        about = {
            "images": [{"id": id, "seq_id": s, "file_name": f"{id}.jpg"} for id, s, _ in shown],
            "annotations": [
                {"id": f"{id}/{i}", "image_id": id, "category_id": kind}
                for id, _, kinds in shown
                for i, kind in enumerate(kinds)
            ],
            "categories": [{"id": id, "name": name} for id, name in KINDS.items()],
            "info": {"version": "1"},
        }
        path = root / "eccv_18_annotation_files" / f"{file}_annotations.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(about))
    return truth


def cifar100(root: Path, order: tuple[str, ...] | None = None) -> Truth:
    """``order`` is that of the names in the file, which the bytes count."""
    truth, folder = Truth(), root / "cifar-100-binary"
    folder.mkdir()
    order = order or names.official("cifar100")
    for split, file, per_class in (("learnt", "train", 10), ("test", "test", 2)):
        fine = np.random.default_rng(per_class).permutation(np.repeat(np.arange(4), per_class))
        records = np.random.default_rng(0).integers(0, 256, (len(fine), 3074), dtype=np.uint8)
        records[:, 1] = fine
        records.tofile(folder / f"{file}.bin")
        for i, label in enumerate(fine):
            truth.add(split, f"{file}-{i:05d}", order[label].replace("_", " "))
    text(folder / "fine_label_names.txt", order)
    return truth


def cifar10(root: Path, order: tuple[str, ...] | None = None) -> Truth:
    truth, folder = Truth(), root / "cifar-10-batches-bin"
    folder.mkdir()
    order = order or names.official("cifar10")
    rng = np.random.default_rng(4)
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        numbers = rng.permutation(np.repeat(np.arange(10), 2))
        records = rng.integers(0, 256, (len(numbers), 3073), dtype=np.uint8)
        records[:, 0] = numbers
        records.tofile(folder / f"{file}.bin")
        for i, number in enumerate(numbers):
            split = "test" if file == "test_batch" else "learnt"
            truth.add(split, f"{file}-{i:05d}", order[number])
    text(folder / "batches.meta.txt", order)
    return truth


def corrupted_arrays(root: Path, numbers: np.ndarray) -> Path:
    """CIFAR-10-C or -100-C of test images with these numbers: the grey of each image is its place,
    shifted by ten for each severity."""
    root.mkdir(parents=True)
    places = np.arange(5 * len(numbers)) % len(numbers) + 10 * (
        np.arange(5 * len(numbers)) // len(numbers)
    )
    images = np.broadcast_to(places[:, None, None, None], (len(places), 32, 32, 3))
    for kind in KINDS_OF_CORRUPTION:
        np.save(root / f"{kind}.npy", images.astype(np.uint8))
    np.save(root / "labels.npy", np.tile(numbers, 5).astype(np.uint8))
    return root


KINDS_OF_CORRUPTION = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur"),
    *("motion_blur", "zoom_blur", "snow", "frost", "fog", "brightness", "contrast"),
    *("elastic_transform", "pixelate", "jpeg_compression"),
)


def svhn(root: Path) -> Truth:
    truth = Truth()
    said = ("ten", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero")
    for split, file, per_class in (("learnt", "train", 10), ("test", "test", 1)):
        labels = np.tile(np.arange(1, 11), per_class)
        pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3, len(labels)), dtype=np.uint8)
        savemat(root / f"{file}_32x32.mat", {"X": pixels, "y": labels[:, None].astype(np.uint8)})
        for i, label in enumerate(labels):
            truth.add(split, f"{file}-{i:05d}", said[label])
    return truth


def flowers102(root: Path) -> Truth:
    truth = Truth()
    labels = np.random.default_rng(2).permutation(np.repeat([1, 2, 102], 6)).astype(np.uint8)
    ids = np.random.default_rng(3).permutation(len(labels)) + 1
    splits = {"trnid": ids[:5], "valid": ids[5:10], "tstid": ids[10:]}
    for i in ids:
        photo(root / "jpg" / f"image_{i:05d}.jpg", int(i))
    savemat(root / "imagelabels.mat", {"labels": labels[None]})
    savemat(root / "setid.mat", {name: of[None].astype(np.uint16) for name, of in splits.items()})
    for split, name in (("train", "trnid"), ("validation", "valid"), ("test", "tstid")):
        for i in splits[name]:
            words = names.words("flowers102")[labels[i - 1] - 1]
            truth.add(split, f"image_{i:05d}", words)
    return truth


def sun397(root: Path) -> Truth:
    truth = Truth()
    folders = {"y/youth_hostel": "youth hostel", "a/apse/indoor": "apse indoor"}
    for split, file, num in (("learnt", "Training", 10), ("test", "Testing", 3)):
        lines = []
        for folder, words in folders.items():
            for i in range(num):
                path = f"{folder}/sun_{file}{i}.jpg"
                photo(root / "SUN397" / path, i)
                lines.append(f"/{path}")
                truth.add(split, path, words)
        text(root / f"{file}_01.txt", lines)
    return truth


def vtab(root: Path) -> Truth:
    truth = Truth()
    words = table.every_task()["vtab-kitti"].class_names
    files = {"train": ("train800", 8), "validation": ("val200", 4), "test": ("test", 6)}
    for split, (file, num) in files.items():
        lines = []
        for i in range(num):
            path = f"images/{file}/{i:06d}.jpg"
            photo(root / "kitti" / path, i)
            lines.append(f"{path} {i % 4}")
            truth.add(split, path, words[i % 4])
        text(root / "kitti" / f"{file}.txt", lines)
    return truth


def domains(
    root: Path, stem: str, folders: tuple[str, ...], held_out: str, num: int, few: int | None = None
) -> Truth:
    """``num`` images or more in each folder of a class (of the first ``few`` classes) in each
    domain, made in reverse."""
    truth = Truth()
    photo(first := root.parent / f"{stem}.jpg", 1)
    pairs = list(zip(names.official(stem), names.words(stem), strict=True))[:few]
    for k, domain in enumerate(reversed(folders)):
        for name, words in reversed(pairs):
            (root / domain / name).mkdir(parents=True)
            for i in reversed(range(num + k)):
                path = f"{domain}/{name}/{domain[:3].lower()}_{i:03d}.jpg"
                shutil.copyfile(first, root / path)
                truth.add("test" if domain == held_out else "learnt", path, words)
    return truth


def pacs(root: Path) -> Truth:
    folders = ("art_painting", "cartoon", "photo", "sketch")
    return domains(root, "pacs", folders, "art_painting", 3)


def office_home(root: Path) -> Truth:
    folders = ("Art", "Clipart", "Product", "Real World")
    return domains(root, "officehome", folders, "Real World", 1)


def vlcs(root: Path) -> Truth:
    return domains(root, "vlcs", ("Caltech101", "LabelMe", "SUN09", "VOC2007"), "VOC2007", 3)


def terra_incognita(root: Path) -> Truth:
    folders = ("location_100", "location_38", "location_43", "location_46")
    return domains(root, "terraincognita", folders, "location_38", 2)


def domain_net_held_out(root: Path) -> Truth:
    folders = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
    return domains(root, "domainnet", folders, "clipart", 2, few=5)


def camelyon17(root: Path) -> Truth:
    truth = Truth()
    rows: list[tuple[Any, ...]] = []
    words = ("lymph node", "lymph node containing metastatic tumor tissue")
    for hospital in (4, 3, 2, 1, 0):
        for i in range(6):
            # WILDS gives the hospitals that are not learnt from a split, too, and does not use it.
            split, tumour = int(i % 3 == 2), i % 2
            slide = f"patient_{hospital:03d}_node_{i}"
            file = f"patch_{slide}_x_{96 * i}_y_0.png"
            rows.append(
                (len(rows), f"{hospital:03d}", i, 96 * i, 0, tumour, hospital, hospital, split)
            )
            photo(root / "patches" / slide / file, i, "PNG")
            if hospital == 1:
                continue
            part = "test" if hospital == 2 else ("train", "validation")[split]
            truth.add(part, id := f"hospital-{hospital}/{file}", words[tumour])
            truth.paths[id] = f"patches/{slide}/{file}"
    head = ("", "patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split")
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return truth


def imagenet1k(root: Path) -> Truth:
    """An image of each class in either split; the same photograph in all."""
    truth = Truth()
    photo(first := root.parent / "imagenet1k.jpg", 1)
    for i, (wnid, words) in enumerate(
        zip(imagenet_names.wnids(), imagenet_names.words(), strict=True), 1
    ):
        pairs = {"train": f"{wnid}_{i}.JPEG", "val": f"ILSVRC2012_val_{i:08d}.JPEG"}
        for split, file in pairs.items():
            (root / split / wnid).mkdir(parents=True)
            shutil.copyfile(first, root / split / wnid / file)
            truth.add("test" if split == "val" else "learnt", f"{wnid}/{file}", words)
    return truth


MINIATURES: dict[str, Callable[[Path], Truth]] = {
    "dtd": dtd,
    "pets": pets,
    "domainnet-clipart": domain_net,
    "eurosat": euro_sat,
    "resisc45": resisc45,
    "caltech101": caltech101,
    "cassava": cassava,
    "camera-traps-cis": camera_traps,
    "cifar100": cifar100,
    "svhn": svhn,
    "flowers102": flowers102,
    "sun397": sun397,
    "vtab-kitti": vtab,
    "pacs-art-painting": pacs,
    "officehome-real-world": office_home,
    "vlcs-voc2007": vlcs,
    "terraincognita-location-38": terra_incognita,
    "domainnet-held-out-clipart": domain_net_held_out,
    "camelyon17": camelyon17,
    "imagenet1k": imagenet1k,
    "cifar10": cifar10,
}
"""Name of the task → its builder: one for each class of tasks on disk."""


def at(name: str, root: Path, **fields: Any) -> TaskOnDisk:
    """The task of that name, with its data at ``root``."""
    task = table.every_task()[name]
    assert isinstance(task, TaskOnDisk)
    return task.model_copy(update={"path": str(root), **fields})


def tiny(name: str, root: Path) -> tuple[TaskOnDisk, Truth]:
    """The task, and its miniature in a folder of its own below ``root``."""
    folder = root / f"{name} data"
    folder.mkdir(parents=True)
    truth = MINIATURES[name](folder)
    return at(name, folder), truth
