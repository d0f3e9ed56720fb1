"""ImageNet: whatever its layout on disk, the same examples under the same names and labels."""

import gzip
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from raystudy.shards.manifest import build
from raystudy.shards.root import Root
from raystudy.sources import ilsvrc
from raystudy.sources.ilsvrc import Split
from raystudy.sources.imagenet import ImageNet
from raystudy.sources.imagenet_captions import ImageNetCaptions
from raystudy.subset import subset

from . import miniatures
from .miniatures import TRAIN, TRAIN_TRUTH, VALIDATION_TRUTH, Example
from .reading import bytes_of, in_memory, rows_of


def class_tars(root: Path) -> None:
    for wnid in miniatures.WNIDS:
        members = [(f"{s}.JPEG", d) for s, d in TRAIN.items() if s[:9] == wnid]
        miniatures.write(root / "train" / f"{wnid}.tar", miniatures.tar_of(members))
    miniatures.imagenet_folders(root, "unused")


def hub(root: Path) -> None:
    """As the Hugging Face hub has it: the wnid comes again behind the name."""
    (root / "data").mkdir()
    labels = miniatures.WNID_LABELS
    train = [(f"{s}_{s[:9]}.JPEG", d, labels[s[:9]]) for s, d in TRAIN.items()]
    val = [(f"{s}_{w}.JPEG", d, labels[w]) for s, (w, d) in miniatures.VALIDATION.items()]
    for split, examples in {"train": train, "validation": val}.items():
        table = {
            "image": [{"bytes": data, "path": path} for path, data, _ in examples],
            "label": [label for _, _, label in examples],
        }
        pq.write_table(pa.table(table), root / "data" / f"{split}-00000-of-00001.parquet")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "folders": miniatures.imagenet_folders,
    "kaggle": miniatures.imagenet_kaggle,
    "class tars": class_tars,
    "official tars": miniatures.imagenet_tars,
    "unpacked devkit": lambda root: miniatures.imagenet_tars(root, "unpacked"),
    "webdataset": miniatures.imagenet_webdataset,
    "hub": hub,
}
SPLITS: dict[Split, dict[str, Example]] = {"train": TRAIN_TRUTH, "validation": VALIDATION_TRUTH}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same(tmp_path: Path, layout: str, split: Split) -> None:
    LAYOUTS[layout](tmp_path)
    source = ImageNet(path=str(tmp_path), split=split)
    assert source.missing(Root(source.path)) == ()
    rows = rows_of(source)
    found = {id: Example(row["digest"], row["label"]) for id, row in rows.items()}
    assert found == SPLITS[split]


@pytest.mark.parametrize("split", SPLITS)
def test_a_subset_does_not_depend_on_the_layout(tmp_path: Path, split: Split) -> None:
    subsets = []
    for layout, write in LAYOUTS.items():
        folder = tmp_path / layout
        folder.mkdir()
        write(folder)
        source = ImageNet(path=str(folder), split=split)
        manifest = build(source)
        source.check()
        rows, class_names = subset(source, 5, lambda _, found=manifest: found, seed=3)
        subsets.append(rows.select(["id", "digest", "label", "width", "height"]).to_pylist())
        assert len(class_names) == 1000
    assert subsets == [subsets[0]] * len(LAYOUTS)
    assert len({row["id"] for row in subsets[0]}) == 5


def test_an_image_lies_where_its_row_says(tmp_path: Path) -> None:
    miniatures.imagenet_tars(tmp_path)  # a tar within a tar is the hard case
    rows = rows_of(ImageNet(path=str(tmp_path)))
    assert {id: bytes_of(tmp_path, row) for id, row in rows.items()} == TRAIN


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_object_store_holds_the_same(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout](tmp_path)
    url = in_memory(tmp_path)
    for split in SPLITS:
        here, there = ImageNet(path=str(tmp_path), split=split), ImageNet(path=url, split=split)
        assert not there.missing(Root(url))
        assert rows_of(there) == rows_of(here)


def test_folders_come_before_tars(tmp_path: Path) -> None:
    miniatures.imagenet_folders(tmp_path)
    miniatures.imagenet_tars(tmp_path)
    assert {
        row["path"].split("/")[0] for row in rows_of(ImageNet(path=str(tmp_path))).values()
    } == {"train"}


def test_class_names_are_words_that_differ(tmp_path: Path) -> None:
    miniatures.imagenet_folders(tmp_path)
    source = ImageNet(path=str(tmp_path))
    names = source.class_names(Root(source.path))
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[1], names[207], names[999]) == (
        "tench",
        "goldfish",
        "golden retriever",
        "toilet tissue",
    )
    cranes = [names[134], names[517]]
    assert all(name.startswith("crane: ") for name in cranes)
    assert "bird" in cranes[0]


def test_class_names_do_not_load_torch() -> None:
    import subprocess
    import sys

    script = (
        "import sys\nfrom raystudy.sources import ilsvrc\nfrom raystudy.shards.root import Root\n"
        "assert len(ilsvrc.class_names(Root('nowhere'), 'train')) == 1000\n"
        "print(sorted({'torch', 'timm'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
    assert metadata.version("timm")


def test_other_classes_are_labelled_in_the_order_of_their_wnids(tmp_path: Path) -> None:
    for i, wnid in enumerate(("n02085620", "n00007846", "n99999999")):
        miniatures.write(tmp_path / "train" / wnid / f"{wnid}_{i}.JPEG", miniatures.jpeg(i))
    source = ImageNet(path=str(tmp_path))
    labels = {id[:9]: row["label"] for id, row in rows_of(source).items()}
    assert labels == {"n00007846": 0, "n02085620": 1, "n99999999": 2}
    assert source.class_names(Root(source.path)) == ("person", "Chihuahua", "n99999999")


def test_images_of_other_names_keep_them(tmp_path: Path) -> None:
    miniatures.write(tmp_path / "a" / "train" / "n01443537" / "mine.png", miniatures.jpeg(1))
    tar = miniatures.tar_of([("mine.png", miniatures.jpeg(1))])
    miniatures.write(tmp_path / "b" / "train" / "n01443537.tar", tar)
    tars = miniatures.tar_of([("n01443537.tar", tar)])
    miniatures.write(tmp_path / "c" / "ILSVRC2012_img_train.tar", tars)
    for layout in "abc":
        (row,) = rows_of(ImageNet(path=str(tmp_path / layout))).values()
        assert row["id"].rpartition("/")[2] == "mine"
        assert row["label"] == 1


@pytest.mark.parametrize("split", SPLITS)
def test_nothing_there_is_said_with_the_way_out(tmp_path: Path, split: Split) -> None:
    (line,) = ImageNet(path=str(tmp_path), split=split).missing(Root(str(tmp_path)))
    assert line.startswith(f"no {split} images below {tmp_path}")
    assert "ILSVRC2012_img" in line


def test_validation_without_labels_is_refused(tmp_path: Path) -> None:
    miniatures.imagenet_tars(tmp_path, devkit="none")
    assert not ImageNet(path=str(tmp_path)).missing(Root(str(tmp_path)))
    (line,) = ImageNet(path=str(tmp_path), split="validation").missing(Root(str(tmp_path)))
    assert "ILSVRC2012_img_val.tar is not sorted by class" in line
    assert "ILSVRC2012_devkit_t12.tar.gz" in line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ILSVRC2012_devkit_t12.tar.gz", b"\x1f\x8bnot gzip"),
        ("ILSVRC2012_devkit_t12.tar.gz", gzip.compress(b"not a tar" * 100)),
        ("ILSVRC2012_devkit_t12.tar.gz", gzip.compress(miniatures.tar_of([("a", b"b")]))),
        ("LOC_val_solution.csv", b"id,label\n1,2\n"),
        ("LOC_val_solution.csv", b"\xff\xfe\0"),
    ],
    # Named: gzip writes the time into its bytes, and the test's name must not change with it.
    ids=["not gzip", "not a tar", "another tar", "other columns", "not text"],
)
def test_damaged_labels_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    miniatures.imagenet_tars(tmp_path, devkit="none")
    miniatures.write(tmp_path / name, content)
    with pytest.raises(ValueError, match=name):
        ilsvrc.labels(Root(str(tmp_path)), "validation")


def test_a_damaged_unpacked_devkit_is_named(tmp_path: Path) -> None:
    miniatures.imagenet_tars(tmp_path, devkit="unpacked")
    meta = tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat"
    for content in (b"", meta.read_bytes()[:300], b"MATLAB 5.0" + bytes(300)):
        meta.write_bytes(content or b"?")
        with pytest.raises(ValueError, match="not the ILSVRC2012 devkit"):
            ilsvrc.labels(Root(str(tmp_path)), "validation")


class TestCaptions:
    @pytest.mark.parametrize("layout", ["folders", "official tars", "webdataset"])
    def test_joins_texts_to_images(self, tmp_path: Path, layout: str) -> None:
        LAYOUTS[layout](tmp_path)
        entries = miniatures.imagenet_captions(tmp_path)
        source = ImageNetCaptions(path=str(tmp_path))
        assert source.missing(Root(source.path)) == []
        rows = rows_of(source)
        assert rows.keys() == entries.keys()
        assert len(entries) == len(TRAIN) - 1
        for id, row in rows.items():
            assert (row["digest"], row["label"]) == TRAIN_TRUTH[id][:2]
        assert {row["caption"] for row in rows.values()} == {
            "A fish <i>swims</i> here fish new york",
            "A fish",
            "crane",
        }

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            (("title",), {"A fish", ""}),
            (("tags", "title"), {"fish new york A fish", "A fish", "crane"}),
        ],
    )
    def test_takes_the_texts_asked_for(
        self, tmp_path: Path, fields: Any, expected: set[str]
    ) -> None:
        miniatures.imagenet_folders(tmp_path)
        miniatures.imagenet_captions(tmp_path)
        source = ImageNetCaptions(path=str(tmp_path), fields=fields)
        assert {row["caption"] for row in rows_of(source).values()} == expected

    def test_refuses_other_texts(self) -> None:
        for fields in ((), ("url",)):
            with pytest.raises(ValidationError, match="fields"):
                ImageNetCaptions(path="x", fields=fields)  # pyright: ignore[reportArgumentType]

    def test_says_what_is_missing(self, tmp_path: Path) -> None:
        lines = ImageNetCaptions(path=str(tmp_path)).missing(Root(str(tmp_path)))
        assert len(lines) == 2
        assert "no train images" in lines[0]
        assert "imagenet_captions.json" in lines[1]

    @pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": {}}', '[{"title": "x"}]'])
    def test_names_a_damaged_file(self, tmp_path: Path, content: str) -> None:
        miniatures.imagenet_folders(tmp_path)
        miniatures.write(tmp_path / "imagenet_captions.json", content)
        source = ImageNetCaptions(path=str(tmp_path))
        with pytest.raises(ValueError, match=r"imagenet_captions\.json: not ImageNet-Captions"):
            source.metadata(Root(source.path))
