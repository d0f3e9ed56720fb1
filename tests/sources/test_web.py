"""Web data sets as their downloaders leave them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raystudy.kinds import OnDisk
from raystudy.shards.manifest import build
from raystudy.shards.root import Root
from raystudy.sources.cc3m import CC3M
from raystudy.sources.cc12m import CC12M
from raystudy.sources.laion2b import LAION2B
from raystudy.sources.laion400m import LAION400M
from raystudy.sources.redcaps import RedCaps
from raystudy.sources.shutterstock import Shutterstock
from raystudy.sources.webdataset import WebDataset
from raystudy.sources.wit import WIT
from raystudy.sources.yfcc15m import YFCC15M

from . import miniatures
from .miniatures import Example
from .reading import bytes_of, in_memory, rows_of

TARS: list[type[OnDisk]] = [CC3M, CC12M, LAION400M, LAION2B, RedCaps, Shutterstock, WIT, YFCC15M]
COLUMNS: dict[type[OnDisk], tuple[str, ...]] = {
    LAION400M: ("similarity",),
    LAION2B: ("similarity", "punsafe", "pwatermark"),
    WIT: ("language",),
}


@pytest.mark.parametrize("cls", TARS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("in_json", [True, False], ids=["json", "parquet"])
def test_what_img2dataset_obtained_is_found(
    tmp_path: Path, cls: type[OnDisk], in_json: bool
) -> None:
    columns = COLUMNS.get(cls, ())
    truth = miniatures.img2dataset(tmp_path, columns=columns, in_json=in_json)
    source = cls(path=str(tmp_path))
    assert not source.missing(Root(source.path))
    rows = rows_of(source)
    assert rows.keys() == truth.keys()
    for id, row in rows.items():
        assert {name: row[name] for name in truth[id]} == truth[id]
        assert row["label"] == -1
        assert miniatures.digest(bytes_of(tmp_path, row)) == row["digest"]


@pytest.mark.parametrize("cls", [*TARS, WebDataset], ids=lambda c: c.__name__)
def test_an_empty_folder_is_said_with_the_way_out(tmp_path: Path, cls: type[OnDisk]) -> None:
    source = cls(path=str(tmp_path))
    (line,) = source.missing(Root(source.path))
    assert line.startswith(f"no *.tar below {tmp_path}; ")
    assert source.shards(Root(source.path)) == []


@pytest.mark.parametrize("cls", TARS, ids=lambda c: c.__name__)
def test_check_says_what_is_missing(tmp_path: Path, cls: type[OnDisk]) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{cls.__name__}\.path=.* no \*\.tar"):
        cls(path=str(tmp_path)).check()
    truth = miniatures.img2dataset(tmp_path)
    source = cls(path=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no manifest yet"):
        source.check()
    build(source)
    source.check()
    assert source.known_size() == len(truth)


def test_names_are_those_of_tables(tmp_path: Path) -> None:
    names = [cls(path="x").name for cls in TARS]
    assert names == [
        *("cc-3m", "cc-12m", "laion-400m", "laion-2b", "redcaps", "shutterstock", "wit"),
        "yfcc-15m",
    ]
    assert CC3M(path="x", label="mine").name == "mine"
    assert WebDataset(path=str(tmp_path / "pairs") + "/").name == "pairs"


def test_only_what_is_shuffled_is_sampled_by_shard() -> None:
    by_shard = [c for c in TARS if c(path="x").sampled_by == "shard"]
    assert by_shard == [LAION400M, LAION2B]
    assert WebDataset(path="x").sampled_by == "example"
    assert WebDataset(path="x", is_shuffled=True).sampled_by == "shard"


class TestUnfinishedDownload:
    def test_is_said_and_left_out(self, tmp_path: Path) -> None:
        truth = miniatures.img2dataset(tmp_path, num_shards=3)
        (tmp_path / "00001_stats.json").unlink()
        source = LAION400M(path=str(tmp_path))
        (line,) = source.missing(Root(source.path))
        assert line.startswith("00001.tar has no 00001_stats.json: its download did not finish")
        assert rows_of(source).keys() == {id for id in truth if not id.startswith("00001")}

    def test_lacks_a_tar(self, tmp_path: Path) -> None:
        miniatures.img2dataset(tmp_path)
        (tmp_path / "00000.tar").unlink()
        (line,) = CC12M(path=str(tmp_path)).missing(Root(str(tmp_path)))
        assert line.startswith("00000_stats.json has no 00000.tar")

    def test_is_unknown_where_no_shard_is_marked(self, tmp_path: Path) -> None:
        truth = miniatures.img2dataset(tmp_path)
        for file in tmp_path.glob("*_stats.json"):
            file.unlink()
        source = CC12M(path=str(tmp_path))
        assert not source.missing(Root(source.path))
        assert rows_of(source).keys() == truth.keys()

    def test_is_marked_otherwise_by_others(self, tmp_path: Path) -> None:
        for i in range(2):
            members = [("a1b2.jpeg", miniatures.jpeg(i)), ("a1b2.txt", b"a finch")]
            miniatures.write(tmp_path / f"shard_{i:06d}.tar", miniatures.tar_of(members))
        miniatures.write(tmp_path / "shard_000000_size.txt", "1")
        source = RedCaps(path=str(tmp_path))
        assert source.shards(Root(source.path)) == ["shard_000000.tar"]
        (line,) = source.missing(Root(source.path))
        assert "shard_000001.tar" in line


@pytest.mark.parametrize("cls", [LAION400M, RedCaps])
def test_an_object_store_holds_the_same(tmp_path: Path, cls: type[OnDisk]) -> None:
    if cls is RedCaps:
        miniatures.redcaps(tmp_path)
    else:
        miniatures.img2dataset(tmp_path, columns=COLUMNS[cls])
    here = cls(path=str(tmp_path))
    there = cls(path=in_memory(tmp_path))
    assert not there.missing(Root(there.path))
    assert rows_of(there) == rows_of(here)


def test_shards_in_folders_keep_their_keys_apart(tmp_path: Path) -> None:
    for cls in (LAION2B, WebDataset):
        truth = {}
        for i, part in enumerate(("part-0", "part-1")):
            found = miniatures.img2dataset(tmp_path / part, first=50 * i)
            truth |= {f"{part}/{id}": about["digest"] for id, about in found.items()}
        rows = rows_of(cls(path=str(tmp_path)))
        assert {id: row["digest"] for id, row in rows.items()} == truth


def test_held_out_tars_are_no_training_data(tmp_path: Path) -> None:
    for name in ("cc3m-train-0000", "cc3m-validation-0000", "val/0000", "valley-0000"):
        members = [(f"{name[-9:-5]}.jpg", miniatures.jpeg(0))]
        miniatures.write(tmp_path / f"{name}.tar", miniatures.tar_of(members))
    assert CC3M(path=str(tmp_path)).shards(Root(str(tmp_path))) == [
        "cc3m-train-0000.tar",
        "valley-0000.tar",
    ]


def test_cc3m_as_a_table(tmp_path: Path) -> None:
    truth = miniatures.openclip_table(tmp_path, "Train_GCC-training_output.csv")
    source = CC3M(path=str(tmp_path))
    assert not source.missing(Root(source.path))
    rows = rows_of(source).values()
    assert {Example(row["digest"], row["label"], row["caption"]) for row in rows} == truth


class TestRedCaps:
    def test_captions_are_those_of_the_annotations(self, tmp_path: Path) -> None:
        truth = miniatures.redcaps(tmp_path)
        source = RedCaps(path=str(tmp_path))
        assert not source.missing(Root(source.path))
        rows = rows_of(source)
        found = {id: Example(row["digest"], -1, row["caption"]) for id, row in rows.items()}
        assert found == truth

    def test_a_subreddit_without_annotations_is_said(self, tmp_path: Path) -> None:
        miniatures.redcaps(tmp_path)
        (tmp_path / "annotations" / "cat_pics_2020.json").unlink()
        (line,) = RedCaps(path=str(tmp_path)).missing(Root(str(tmp_path)))
        assert line.startswith("images/cat_pics has no annotations/cat_pics_<year>.json")

    def test_other_annotations_make_the_manifest_stale(self, tmp_path: Path) -> None:
        miniatures.redcaps(tmp_path)
        source = RedCaps(path=str(tmp_path))
        assert build(source).num_examples == 6
        source.check()
        path = tmp_path / "annotations" / "birds_2017.json"
        path.write_text(path.read_text().replace("birds in 2017", "two birds"))
        with pytest.raises(ValueError, match=r"birds_2017\.json"):
            source.check()
        content = source.content
        build(source)
        source.check()
        assert RedCaps(path=str(tmp_path)).content != content

    @pytest.mark.parametrize("content", ["", "[]", '{"annotations": [{"caption": "x"}]}'])
    def test_damaged_annotations_are_named(self, tmp_path: Path, content: str) -> None:
        miniatures.redcaps(tmp_path)
        miniatures.write(tmp_path / "annotations" / "birds_2017.json", content)
        with pytest.raises(ValueError, match=r"birds_2017\.json: not RedCaps annotations"):
            rows_of(RedCaps(path=str(tmp_path)))


class TestYFCC15M:
    def test_parquet_joins_title_and_description(self, tmp_path: Path) -> None:
        texts = [
            ("A+cat%21", "on+a+%3Cb%3Emat%3C%2Fb%3E%0A+asleep"),
            ("Same", "Same"),
            (None, "no title"),
        ]
        table = pa.table(
            {
                "photoid": [7, 8, 9],
                "img": [miniatures.jpeg(i) for i in range(3)],
                "title": [title for title, _ in texts],
                "description": [description for _, description in texts],
                "key": ["a", "b", "c"],
            }
        )
        (tmp_path / "data").mkdir()
        pq.write_table(table, tmp_path / "data" / "train-00000.parquet")
        pq.write_table(table, tmp_path / "data" / "validation-00000.parquet")
        source = YFCC15M(path=str(tmp_path))
        assert not source.missing(Root(source.path))
        rows = rows_of(source).values()
        assert {row["digest"]: row["caption"] for row in rows} == {
            miniatures.digest(miniatures.jpeg(0)): "A cat! on a mat asleep",
            miniatures.digest(miniatures.jpeg(1)): "Same",
            miniatures.digest(miniatures.jpeg(2)): "no title",
        }

    def test_parquet_with_captions_keeps_them(self, tmp_path: Path) -> None:
        table = pa.table({"jpg": [miniatures.jpeg(1)], "caption": ["made before"], "key": ["a"]})
        pq.write_table(table, tmp_path / "00000.parquet")
        (row,) = rows_of(YFCC15M(path=str(tmp_path))).values()
        assert row["caption"] == "made before"


def test_webdataset_reads_labels_and_their_names(tmp_path: Path) -> None:
    members = [
        ("a/1.jpg", miniatures.jpeg(1)),
        ("a/1.cls", b"1"),
        ("a/2.jpg", miniatures.jpeg(2)),
        ("a/2.json", json.dumps({"label": 0, "caption": "an ant"}).encode()),
    ]
    miniatures.write(tmp_path / "00000.tar", miniatures.tar_of(members))
    miniatures.write(tmp_path / "classnames.txt", "ant\nbee\n")
    source = WebDataset(path=str(tmp_path))
    rows = rows_of(source)
    assert {id: (row["label"], row["caption"]) for id, row in rows.items()} == {
        "a/1": (1, ""),
        "a/2": (0, "an ant"),
    }
    assert source.class_names(Root(source.path)) == ("ant", "bee")
