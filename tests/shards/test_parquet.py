import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards import parquet, parquet_file
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault, Indexed


def image(seed: int = 0, format: str = "JPEG", size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed % 256, seed // 256 % 256, 7)).save(buffer, format)
    return buffer.getvalue()


def struct(images: list[bytes | None], paths: list[str | None] | None = None) -> pa.Array:
    named = zip(images, paths or [None] * len(images), strict=True)
    rows = [{"bytes": b, "path": p} for b, p in named]
    return pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


def index(folder: Path, columns: dict[str, Any], **options: Any) -> Indexed:
    pq.write_table(pa.table(columns), folder / "train-00000-of-00002.parquet", **options)
    found = parquet.index(Root(str(folder)), "train-00000-of-00002.parquet")
    assert found.table.schema == SCHEMA
    return found


@given(
    num_rows=st.integers(0, 100),
    group=st.sampled_from([5, 31, 64, 1000]),
    nested=st.booleans(),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
    large=st.booleans(),
    dictionary=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_the_index_is_what_pyarrow_reads(
    folder: Path,
    num_rows: int,
    group: int,
    nested: bool,
    compression: str,
    large: bool,
    dictionary: bool,
) -> None:
    images = [image(n, "PNG", (1 + n % 9, 3)) for n in range(num_rows)]
    text = pa.large_string() if large else pa.string()
    found = index(
        folder,
        {
            "image": struct(list(images)) if nested else pa.array(images, pa.binary()),
            "label": pa.array([n % 5 for n in range(num_rows)], pa.int32()),
            "text": pa.array([f" caption {n} é\n" for n in range(num_rows)], text),
            "punsafe": pa.array([n / 256 for n in range(num_rows)], pa.float64()),
        },
        row_group_size=group,
        compression=compression,
        use_dictionary=dictionary,
    )
    assert not found.faults
    rows = found.table.to_pylist()
    written = pq.read_table(folder / "train-00000-of-00002.parquet").to_pylist()
    assert len(rows) == num_rows
    for n, (row, line) in enumerate(zip(rows, written, strict=True)):
        data = line["image"]["bytes"] if nested else line["image"]
        assert row["id"] == f"train-00000-of-00002-{n:07d}"
        assert (row["path"], row["offset"]) == ("train-00000-of-00002.parquet", n)
        assert (row["size"], row["digest"]) == (len(data), xxhash.xxh3_64(data).intdigest())
        assert (row["width"], row["height"]) == Image.open(io.BytesIO(data)).size
        assert (row["label"], row["caption"]) == (line["label"], line["text"].strip())
        assert row["punsafe"] == line["punsafe"]


@pytest.mark.parametrize("name", ["image", "jpg", "png", "webp", "img"])
def test_images_go_by_many_names(folder: Path, name: str) -> None:
    found = index(folder, {"url": ["http://x"], name: [image()]})
    assert found.table["size"].to_pylist() == [len(image())]


def test_a_column_of_paths_is_not_one_of_images(folder: Path) -> None:
    columns = {"image": ["a.jpg"], "jpg": struct([image()])}
    assert index(folder, columns).table.num_rows == 1
    assert parquet.image_column(pa.table(columns).schema) == "jpg.bytes"
    with pytest.raises(ValueError, match=r"no images in its columns \['image', 'label'\]"):
        index(folder, {"image": ["a.jpg"], "label": [1]})


@pytest.mark.parametrize(
    ("columns", "ids"),
    [
        ({"__key__": ["k/1", "k/2"], "id": [5, 6]}, ["k/1", "k/2"]),
        ({"key": ["000", "001"]}, ["000", "001"]),
        ({"id": [5, 6]}, ["5", "6"]),
        ({"id": ["x", None]}, ["x", "train-00000-of-00002-0000001"]),
        ({"id": [0.5, 0.25]}, ["n1_2", "n1.b_3"]),
        ({}, ["n1_2", "n1.b_3"]),
    ],
)
def test_ids(folder: Path, columns: dict[str, Any], ids: list[str]) -> None:
    images = struct([image(0), image(1)], ["a/n1_2.JPEG", "n1.b_3.JPEG"])
    assert index(folder, {"image": images} | columns).table["id"].to_pylist() == ids


def test_paths_that_lost_their_folders_name_nothing(folder: Path) -> None:
    """``push_to_hub`` keeps the last part of a path: cat/1.jpg and dog/1.jpg are both 1.jpg."""
    found = index(folder, {"image": struct([image(0), image(1)], ["1.jpg", "1.jpg"])})
    assert found.table["id"].to_pylist() == [f"train-00000-of-00002-000000{n}" for n in (0, 1)]
    assert not found.faults


@pytest.mark.parametrize(
    ("columns", "labels", "captions"),
    [
        ({"fine_label": [3, None], "coarse_label": [1, 1]}, [3, -1], ["", ""]),
        ({"cls": [-1, 4], "caption": ["a", None]}, [-1, 4], ["a", ""]),
        ({"label": ["cat", "dog"], "fine_label": [1, 2]}, [1, 2], ["", ""]),
        ({"TEXT": ["x", "y"], "label": [0.5, 1.5]}, [-1, -1], ["x", "y"]),
        ({"caption": pa.array(["x", "x"]).dictionary_encode()}, [-1, -1], ["x", "x"]),
    ],
)
def test_labels_and_captions(
    folder: Path, columns: dict[str, Any], labels: list[int], captions: list[str]
) -> None:
    table = index(folder, {"image": [image(0), image(1)]} | columns).table
    assert table["label"].to_pylist() == labels
    assert table["caption"].to_pylist() == captions


def test_metadata_is_read_under_its_several_names(folder: Path) -> None:
    columns = {
        "similarity": ["0.5", "x"],
        "AESTHETIC_SCORE": [6, None],
        "pwatermark": pa.array([0.25, float("nan")], pa.float32()),
        "LANGUAGE": ["de", None],
    }
    rows = index(folder, {"image": [image(0), image(1)]} | columns).table.to_pylist()
    names = ("similarity", "aesthetic", "punsafe", "pwatermark", "language")
    assert [rows[0][n] for n in names] == [0.5, 6.0, None, 0.25, "de"]
    assert [rows[1][n] for n in names] == [None] * 5


def test_what_is_left_out_is_counted_by_reason(folder: Path) -> None:
    images = [image(), None, b"", b"GIF89a", image(1), image(2), image(3)]
    found = index(
        folder,
        {
            "image": struct(list(images)),
            "label": [0, 1, 2, 3, -5, 5, 6],
            "caption": [*["x"] * 6, "x" * (2 << 20)],
            "id": ["a", "null", "none", "gif", "minus", "a", "long"],
        },
    )
    assert found.table["id"].to_pylist() == ["a"]
    where = "train-00000-of-00002.parquet/"
    assert found.named == {
        Fault.NO_IMAGE: [where + "null"],
        Fault.EMPTY_IMAGE: [where + "none"],
        Fault.NOT_AN_IMAGE: [where + "gif"],
        Fault.BAD_LABEL: [where + "minus"],
        Fault.REPEATED_ID: [where + "a"],
        Fault.BAD_TEXT: [where + "long"],
    }


def test_a_struct_that_is_null_is_no_image(folder: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = pa.array([None, {"bytes": image(), "path": "b.jpg"}], kind)
    found = index(folder, {"image": images})
    assert found.table["id"].to_pylist() == ["b"]
    assert found.faults == {Fault.NO_IMAGE: 1}


def test_damage_in_one_row_group_leaves_the_others(folder: Path) -> None:
    images = [image(n, "PNG") for n in range(30)]
    index(folder, {"image": images, "id": range(30)}, row_group_size=10)
    path = folder / "train-00000-of-00002.parquet"
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    found = parquet.index(Root(str(folder)), path.name)
    assert found.table["offset"].to_pylist() == [*range(10), *range(20, 30)]
    assert found.named == {Fault.UNREADABLE: [f"{path.name} rows 10 to 19"]}


def hugging_face(features: Any) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": features}})}


@pytest.mark.parametrize(
    ("about", "names"),
    [
        (
            hugging_face({"label": {"names": ["tench", "goldfish é"], "_type": "ClassLabel"}}),
            ("tench", "goldfish é"),
        ),
        (hugging_face({"label": {"dtype": "int64", "_type": "Value"}}), ()),
        (hugging_face({"other": {"names": ["a"]}}), ()),
        (hugging_face({"label": {"names": "tench"}}), ()),
        (hugging_face(["label"]), ()),
        ({"huggingface": "[" * 100_000}, ()),
        ({"huggingface": '{"info": null}'}, ()),
        ({}, ()),
    ],
)
def test_class_names_come_from_the_schema(
    folder: Path, about: dict[str, str], names: tuple[str, ...]
) -> None:
    table = pa.table({"image": [image()], "label": [1]}).replace_schema_metadata(about)
    pq.write_table(table, folder / "names.parquet")
    assert parquet.class_names(Root(str(folder)), "names.parquet") == names


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 8 + b"PAR1"])
def test_what_is_no_parquet_is_refused(folder: Path, content: bytes) -> None:
    (folder / "no.parquet").write_bytes(content)
    for read in (parquet.index, parquet.class_names, parquet.metadata_by_key):
        with pytest.raises(ValueError, match="footer"):
            read(Root(str(folder)), "no.parquet")


def test_a_file_cannot_promise_more_rows_than_it_can_hold(folder: Path) -> None:
    """A constant column packs two million rows into a few hundred bytes."""
    with pytest.raises(ValueError, match="promises 2,000,000 rows in"):
        index(folder, {"image": pa.nulls(2_000_000, pa.binary())}, row_group_size=2_000_000)


def test_a_file_cannot_unpack_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image of 30 kB, named by a dictionary 3,000 times: 90 MB in a small file."""
    monkeypatch.setattr(parquet_file, "FREE_BYTES", 8 << 20)
    large = image() + bytes(30_000)
    found = index(folder, {"image": [large] * 3000}, compression="zstd")
    size = (folder / "train-00000-of-00002.parquet").stat().st_size
    assert found.faults == {Fault.UNREADABLE: 1}
    assert 0 < found.table.num_rows * len(large) <= (8 << 20) + 100 * size


def test_size_statistics_that_lie_do_not_end_the_process(folder: Path) -> None:
    """Reading the metadata of such a column chunk from Python aborts pyarrow 25."""
    images = [image(n, "PNG") for n in range(3)]
    index(folder, {"image": images, "id": range(3)})
    path = folder / "train-00000-of-00002.parquet"
    data = path.read_bytes()
    footer_bytes = int.from_bytes(data[-8:-4], "little")
    for at in range(len(data) - 8 - footer_bytes, len(data) - 8):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x30]) + data[at + 1 :])
        with contextlib.suppress(ValueError):
            parquet.index(Root(str(folder)), path.name)
    path.write_bytes(data)
    assert parquet.index(Root(str(folder)), path.name).table.num_rows == 3


def test_memory_follows_the_pages_and_not_the_row_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image(n) + bytes([n]) * 500_000 for n in range(200)]
    table = pa.table({"image": images})
    options: Any = {"write_batch_size": 4, "use_dictionary": False, "compression": "none"}
    pq.write_table(table, folder / "large.parquet", **options)
    del table
    del images
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    held: list[int] = []
    read = parquet_file._Clamped.read

    def spy(file: Any, n: int = -1) -> bytes:
        data = read(file, n)
        held.append(len(data) + pool.bytes_allocated() - before)
        return data

    monkeypatch.setattr(parquet_file._Clamped, "read", spy)
    monkeypatch.setattr(parquet_file, "MAX_WHOLE_BYTES", 1 << 20)
    assert parquet.index(Root(str(folder)), "large.parquet").table.num_rows == 200
    assert max(held) < 0.6 * 200 * 500_000
