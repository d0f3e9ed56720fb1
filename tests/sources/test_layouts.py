"""Formats that no data set has to itself: folders of classes, parquet files, tables."""

from pathlib import Path

import pytest

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources.caption_table import CaptionTable
from raystudy.sources.image_folder import ImageFolder
from raystudy.sources.parquet_images import ParquetImages

from . import miniatures
from .miniatures import Example
from .reading import rows_of


@pytest.mark.parametrize("below", ["", "train"])
def test_folders_are_classes(tmp_path: Path, below: str) -> None:
    truth = miniatures.class_folders(tmp_path, below)
    source = ImageFolder(path=str(tmp_path))
    root = Root(source.path)
    assert not source.missing(root)
    assert source.class_names(root) == ("ant", "bee", "cat")
    found = {id: Example(r["digest"], r["label"]) for id, r in rows_of(source).items()}
    assert found == truth


def test_a_held_out_split_beside_train_is_not_read(tmp_path: Path) -> None:
    truth = miniatures.class_folders(tmp_path, "train")
    miniatures.class_folders(tmp_path, "val")
    assert rows_of(ImageFolder(path=str(tmp_path))).keys() == truth.keys()


@pytest.mark.parametrize("data", ["", "data", "train"])
def test_parquet_files_tell_labels_and_their_names(tmp_path: Path, data: str) -> None:
    prefix = "0000" if data == "train" else "train-0000"
    truth = set()
    for i, labels in enumerate([[0, 2], [1, 1, 0]]):
        path = tmp_path / data / f"{prefix}{i}-of-00002.parquet"
        truth |= miniatures.hub_parquet(path, 10 * i, labels, ["ant", "bee", "cat"])
    held_out = tmp_path / data.replace("train", "test") / "test-00000-of-00001.parquet"
    tested = miniatures.hub_parquet(held_out, 50, [2], ["ant", "bee", "cat"])
    source = ParquetImages(path=str(tmp_path))
    root = Root(source.path)
    assert not source.missing(root)
    assert source.class_names(root) == ("ant", "bee", "cat")
    assert {Example(r["digest"], r["label"]) for r in rows_of(source).values()} == truth
    other = source.model_copy(update={"split": "test"})
    assert {Example(r["digest"], r["label"]) for r in rows_of(other).values()} == tested
    (line,) = source.model_copy(update={"split": "validation"}).missing(root)
    assert line == f"no validation split below {tmp_path}, which has test, train"


def test_parquet_files_without_splits_are_all_read(tmp_path: Path) -> None:
    truth = miniatures.hub_parquet(tmp_path / "00000.parquet", 1, [0, 1], ["a", "b"])
    truth |= miniatures.hub_parquet(tmp_path / "00001.parquet", 5, [1], ["a", "b"])
    rows = rows_of(ParquetImages(path=str(tmp_path))).values()
    assert {Example(r["digest"], r["label"]) for r in rows} == truth


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.csv"])
def test_tables_tell_files_and_captions(tmp_path: Path, name: str) -> None:
    truth = miniatures.openclip_table(tmp_path, name)
    source = CaptionTable(path=str(tmp_path))
    assert not source.missing(Root(source.path))
    rows = rows_of(source).values()
    assert {Example(r["digest"], r["label"], r["caption"]) for r in rows} == truth


@pytest.mark.parametrize(
    ("cls", "what"),
    [
        (ImageFolder, "no folder of images"),
        (ParquetImages, "no *.parquet"),
        (CaptionTable, "no *.tsv or *.csv"),
    ],
)
def test_nothing_there_is_said(tmp_path: Path, cls: type[OnDisk], what: str) -> None:
    source = cls(path=str(tmp_path / "data"))
    (line,) = source.missing(Root(source.path))
    assert line.startswith(what)
    assert str(tmp_path / "data") in line
    assert source.name == "data"
    assert source.class_names(Root(source.path)) == ()
