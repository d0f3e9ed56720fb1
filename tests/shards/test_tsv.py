import csv
import io
from pathlib import Path

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards import row, tsv
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault, Indexed

CAPTIONS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\",' \té"), max_size=30
)


def image(seed: int = 0, size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed, 2, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cc3m")
    (path / "train" / "00").mkdir(parents=True)
    for n in range(6):
        (path / "train" / "00" / f"{n}.png").write_bytes(image(n, (5 + n, 3)))
    (path / "beside.png").write_bytes(image(100))
    return path


def index(folder: Path, text: str | bytes, name: str = "train/table.tsv") -> Indexed:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    found = tsv.index(Root(str(folder)), name)
    assert found.table.schema == SCHEMA
    return found


@given(captions=st.lists(CAPTIONS, min_size=6, max_size=6), delimiter=st.sampled_from("\t,"))
@settings(max_examples=80, deadline=None)
def test_tables_are_read_as_a_csv_writer_wrote_them(
    folder: Path, captions: list[str], delimiter: str
) -> None:
    """pandas writes such a file for open_clip, with the csv module's defaults."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["title", "filepath"])
    writer.writerows([c, f"00/{n}.png"] for n, c in enumerate(captions))
    found = index(folder, buffer.getvalue())
    assert not found.faults
    rows = found.table.to_pylist()
    assert [r["caption"] for r in rows] == [c.strip() for c in captions]
    assert [r["id"] for r in rows] == [f"train/00/{n}" for n in range(6)]
    for r in rows:
        data = (folder / r["path"]).read_bytes()
        assert (r["offset"], r["size"]) == (0, len(data))
        assert r["digest"] == xxhash.xxh3_64(data).intdigest()
        assert (r["width"], r["height"]) == Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize(
    "head", ["filepath\ttitle", "image\tcaption", "\ufeffFile\tText", "path\ttext"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_header_may_use_other_names(folder: Path, head: str, end: str) -> None:
    found = index(folder, end.join([head, "00/0.png\ta cat", "", "00/1.png\ta dog"]))
    assert found.table["caption"].to_pylist() == ["a cat", "a dog"]
    assert found.table["path"].to_pylist() == ["train/00/0.png", "train/00/1.png"]
    assert not found.faults


def test_labels_and_metadata_are_read_too(folder: Path) -> None:
    text = "filepath,label,similarity,LANGUAGE\n00/0.png,3,0.25,de\n00/1.png,,x,\n00/2.png,cat,,\n"
    found = index(folder, text, "train/table.csv")
    rows = found.table.to_pylist()
    assert [(r["label"], r["similarity"], r["language"]) for r in rows] == [
        (3, 0.25, "de"),
        (-1, None, None),
    ]
    assert found.named == {Fault.BAD_LABEL: ["train/table.csv:4"]}


def test_rows_that_are_too_short_are_malformed(folder: Path) -> None:
    found = index(folder, "filepath\ttitle\tlabel\n00/0.png\n00/1.png\tx\n00/2.png\tx\t3\n")
    assert found.table["label"].to_pylist() == [3]
    assert found.named == {Fault.BAD_TEXT: ["train/table.tsv:2", "train/table.tsv:3"]}


def test_the_official_table_has_a_caption_and_a_file(folder: Path) -> None:
    """Conceptual Captions: no header, no quoting; its urls must have been downloaded."""
    lines = [
        'a " quoted word\t00/0.png',
        '"to be or not\t00/1.png',
        "a very typical bus station\thttp://example.org/a.jpg",
        "sierra looked stunning\t00/gone.png",
        "only a caption",
    ]
    found = index(folder, "\n".join(lines))
    assert found.table["caption"].to_pylist() == ['a " quoted word', '"to be or not']
    assert found.table["path"].to_pylist() == ["train/00/0.png", "train/00/1.png"]
    assert found.named == {
        Fault.NO_IMAGE: ["train/table.tsv:3", "train/table.tsv:4"],
        Fault.BAD_TEXT: ["train/table.tsv:5"],
    }


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "../../beside.png",
        "00/../../../x.png",
        "..",
        "../..",
        "00",
        "a\0.png",
        "x::memory",
        "n" * 5000,
    ],
)
def test_paths_that_leave_the_root_are_refused(folder: Path, name: str) -> None:
    found = index(folder, f"filepath\ttitle\n{name}\tcaption\n00/0.png\tgood\n")
    assert found.table["path"].to_pylist() == ["train/00/0.png"]
    assert found.named == {Fault.UNREADABLE: ["train/table.tsv:2"]}


@pytest.mark.parametrize(
    "name", ["file:///etc/passwd", "memory://x", "https://example.org/x.png", ""]
)
def test_urls_are_never_opened(folder: Path, name: str) -> None:
    found = index(folder, f"filepath\ttitle\n{name}\tcaption\n")
    assert found.faults == {Fault.NO_IMAGE: 1}


def test_paths_may_go_up_within_the_root(folder: Path) -> None:
    found = index(folder, "filepath\ttitle\n../beside.png\tup\n./00/./0.png\tdot\n")
    assert found.table["path"].to_pylist() == ["beside.png", "train/00/0.png"]
    assert found.table["id"].to_pylist() == ["beside", "train/00/0"]


def test_what_is_left_out_is_counted_by_reason(folder: Path) -> None:
    text = b"filepath\ttitle\n00/0.png\tfirst\n00/0.png\tagain\ntable.tsv\ttext\n00/1.png\t\xff\n"
    found = index(folder, text)
    assert found.table["caption"].to_pylist() == ["first", "\ufffd"]
    assert found.named == {
        Fault.REPEATED_ID: ["train/table.tsv:3"],
        Fault.NOT_AN_IMAGE: ["train/table.tsv:4"],
    }


@pytest.mark.parametrize("delimiter", ["\t", ","])
@pytest.mark.parametrize("length", [1 << 20, (1 << 20) + 1, 3 << 20, (3 << 20) - 17])
def test_lines_have_a_bound(folder: Path, delimiter: str, length: int) -> None:
    rows = (
        ["filepath", "title"],
        ["00/0.png", "x" * length],
        ["00/1.png", "good"],
        ["00/2.png", "x"],
    )
    found = index(folder, "\n".join(delimiter.join(r) for r in rows))
    assert found.table["path"].to_pylist() == ["train/00/1.png", "train/00/2.png"]
    assert found.named == {Fault.BAD_TEXT: ["train/table.tsv:2"]}


def test_a_quote_that_nothing_closes_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'filepath,title\n00/0.png,"open\n' + "00/9.png,x\n" * 30_000 + "00/1.png,good\n"
    found = index(folder, text)
    assert found.faults[Fault.BAD_TEXT] == 1
    assert found.table["path"].to_pylist() == ["train/00/1.png"]


def test_lines_are_the_same_wherever_pieces_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "filepath\ttitle\n" + "".join(f"00/{n}.png\tcaption é {n}\n" for n in range(6))
    whole = index(folder, text)
    for piece in (1, 2, 7, 30):
        monkeypatch.setattr(tsv, "_PIECE_BYTES", piece)
        assert index(folder, text) == whole
    assert whole.table.num_rows == 6


@pytest.mark.parametrize(
    "text", ["", "\n", "hello", "a,b\n1,2\n", "<html>\n", "filepath\n00/0.png\n"]
)
def test_what_is_no_table_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(ValueError, match="its first line names no column of files"):
        index(folder, text)


def test_texts_have_the_same_bound_everywhere() -> None:
    assert tsv.MAX_TEXT_BYTES == row.MAX_TEXT_BYTES
