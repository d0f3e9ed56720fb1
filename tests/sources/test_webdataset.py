import io
import json
import logging
import pickle
import tarfile
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from struct import pack
from zlib import crc32

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.sources import webdataset
from raystudy.sources.webdataset import (
    SCHEMA,
    BadImage,
    WebDataset,
    class_names,
    decode,
    index_shards,
    read_images,
)

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
WORDS = st.text(st.sampled_from("abcxyz019_-é漢"), min_size=1, max_size=12)
IDS = st.tuples(st.lists(WORDS, max_size=2), WORDS, st.sampled_from([0, 0, 150])).map(
    lambda t: "/".join([*t[0], t[1] + "n" * t[2]])
)
Members = Sequence[tuple[str, bytes]]


def tar_bytes(members: Members, format: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def write(path: Path, members: Members) -> Path:
    path.write_bytes(tar_bytes(members))
    return path


def index_bytes(data: bytes) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "0.tar")
        path.write_bytes(data)
        return index_shards([path]).to_pylist()


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@given(
    ids=st.lists(IDS, max_size=6, unique=True),
    format=st.sampled_from(FORMATS[1:]),
    suffix=st.sampled_from(["jpg", "JPEG", "png", "webp"]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_the_index_is_what_tarfile_reads(
    ids: list[str], format: int, suffix: str, data: st.DataObject
) -> None:
    images = {i: data.draw(st.binary(min_size=1, max_size=1500)) for i in ids}
    labels = {i: data.draw(st.one_of(st.none(), st.integers(0, 9999))) for i in ids}
    captions = {i: data.draw(st.one_of(st.just(""), WORDS)) for i in ids}
    members: list[tuple[str, bytes]] = []
    for i in ids:
        members.append((f"{i}.{suffix}", images[i]))
        members.append((f"{i}.seg.npy", b"none of ours"))
        if labels[i] is not None and len(i) % 2:
            members.append((f"{i}.cls", f"{labels[i]}\n".encode()))
        elif labels[i] is not None:
            members.append((f"{i}.json", json.dumps({"label": labels[i]}).encode()))
        if captions[i]:
            members.append((f"{i}.txt", captions[i].encode()))
    content = tar_bytes(members, format)
    rows = index_bytes(content)
    assert [r["id"] for r in rows] == ids
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for row in rows:
            member = tar.getmember(f"{row['id']}.{suffix}")
            assert (row["offset"], row["size"]) == (member.offset_data, member.size)
            assert row["label"] == (-1 if labels[row["id"]] is None else labels[row["id"]])
            assert row["caption"] == captions[row["id"]]
            assert content[row["offset"] :][: row["size"]] == images[row["id"]]


def test_ustar_prefixes_and_leading_dots_are_read() -> None:
    deep = "d" * 90 + "/" + "e" * 90
    rows = index_bytes(tar_bytes([(f"./{deep}.png", b"x"), ("._mac.png", b"x"), ("a/", b"")]))
    assert [r["id"] for r in rows] == [deep]


def test_scattered_members_belong_together() -> None:
    rows = index_bytes(
        tar_bytes([("a.png", b"x"), ("b.png", b"y"), ("a.cls", b"1"), ("b.cls", b"2")])
    )
    assert [(r["id"], r["label"]) for r in rows] == [("a", 1), ("b", 2)]


def test_nothing_is_a_table_all_the_same(tmp_path: Path) -> None:
    assert index_shards([]).schema == index_shards([write(tmp_path / "0.tar", [])]).schema == SCHEMA


def test_shards_are_counted_in_their_order(tmp_path: Path) -> None:
    shards = [write(tmp_path / f"{n}.tar", [(f"x{n}.png", b"x")]) for n in range(3)]
    assert index_shards(shards)["shard"].to_pylist() == [0, 1, 2]
    assert index_shards(shards)["id"].to_pylist() == ["x0", "x1", "x2"]


@given(cut=st.integers(0, 40_000))
@settings(max_examples=120, deadline=None)
def test_a_cut_tar_keeps_its_whole_examples(cut: int) -> None:
    members = [
        (f"{n:03d}.{suffix}", data)
        for n in range(8)
        for suffix, data in (("png", bytes(600 + n)), ("cls", b"3"), ("txt", b"a word"))
    ]
    whole = tar_bytes(members)
    cut = cut % len(whole)
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        ends = {m.name: m.offset_data + m.size for m in tar.getmembers()}
    assume(cut >= ends["000.txt"])
    expected = [f"{n:03d}" for n in range(8) if ends[f"{n:03d}.txt"] <= cut]
    rows = index_bytes(whole[:cut])
    assert [r["id"] for r in rows] == expected
    assert {(r["label"], r["caption"]) for r in rows} == {(3, "a word")}


def test_a_cut_is_reported_with_what_was_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "0.tar"
    data = tar_bytes([(f"{n}.{s}", b"1") for n in range(3) for s in ("png", "cls")])
    path.write_bytes(data[: 5 * 1024 + 100])
    with caplog.at_level(logging.WARNING):
        assert index_shards([path])["id"].to_pylist() == ["0", "1"]
    assert any("0.tar from byte 5120 of 5220" in m for m in caplog.messages)
    assert any("0.tar/2" in m for m in caplog.messages)


def test_a_damaged_header_ends_the_tar() -> None:
    data = bytearray(tar_bytes([(f"{n}.png", b"1") for n in range(4)]))
    data[2 * 1024 + 5] ^= 1
    assert [r["id"] for r in index_bytes(bytes(data))] == ["0", "1"]


def test_what_is_left_out_is_counted_once_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset, "MAX_TEXT_BYTES", 10)
    monkeypatch.setattr(webdataset, "MAX_IMAGE_BYTES", 2000)
    first: Members = [
        *[("good.png", b"x"), ("good.cls", b"4")],
        *[("lonely.cls", b"1"), ("alone.txt", b"no picture")],
        *[("word.png", b"x"), ("word.cls", b"cat")],
        *[("list.png", b"x"), ("list.json", b"[1]")],
        *[("minus.png", b"x"), ("minus.cls", b"-7")],
        ("empty.png", b""),
        ("huge.png", bytes(2001)),
        *[("novel.png", b"x"), ("novel.txt", b"far too long")],
        *[("twice.png", b"first"), ("twice.png", b"again")],
    ]
    shards = [
        write(tmp_path / "0.tar", first),
        write(tmp_path / "1.tar", [("good.png", b"other"), ("new.png", b"x")]),
    ]
    with caplog.at_level(logging.WARNING):
        table = index_shards(shards)
    assert table["id"].to_pylist() == ["good", "twice", "new"]
    assert table["label"].to_pylist() == [4, -1, -1]
    told = "\n".join(caplog.messages)
    assert len(caplog.messages) == 6
    for reason, count, where in [
        ("without an image", 2, "0.tar/lonely"),
        ("unreadable label", 3, "0.tar/word"),
        ("no bytes", 1, "0.tar/empty"),
        ("image over", 1, "0.tar/huge"),
        ("text over", 1, "0.tar/novel"),
        ("id that was there before", 2, "0.tar/twice"),
    ]:
        line = next(m for m in caplog.messages if reason in m)
        assert f"({count}; the first: {where})" in line, told


class Trap:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_stay_shut() -> None:
    trap = pickle.dumps(Trap())
    members = [("a.png", b"x"), ("a.pyd", trap), ("a.pkl", trap), ("a.cls", trap)]
    assert index_bytes(tar_bytes(members)) == []
    assert len(index_bytes(tar_bytes(members[:3]))) == 1


@given(
    at=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    mend=st.booleans(),
    format=st.sampled_from(FORMATS),
)
@settings(max_examples=250, deadline=None)
def test_no_bytes_make_it_fail_or_hang(at: list[tuple[int, int]], mend: bool, format: int) -> None:
    name = "é" * 60 if format != tarfile.USTAR_FORMAT else "plain"
    members = [(f"{name}{n}.{s}", b"1" * 30) for n in range(3) for s in ("png", "cls", "json")]
    data = bytearray(tar_bytes(members, format))
    for place, value in at:
        data[place % len(data)] = value
    if mend:  # checksums put right, so that damage gets past them
        for block in range(0, len(data), 512):
            header = data[block : block + 512]
            total = sum(header) - sum(header[148:156]) + 256
            if any(header) and header[257:262] == b"ustar":
                data[block + 148 : block + 156] = b"%06o\0 " % total
    for row in index_bytes(bytes(data)):
        assert row["size"] > 0
        assert 512 <= row["offset"] <= len(data) - row["size"]


@pytest.mark.parametrize("size", [b"-0000000512\0", b"\xff" * 12, b"\x80" + b"\xff" * 11])
def test_a_size_that_leads_astray_ends_the_tar(size: bytes) -> None:
    data = bytearray(tar_bytes([("a.png", b"1"), ("b.png", b"1")]))
    header = data[1024:1536]
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
    data[1024:1536] = header
    assert [r["id"] for r in index_bytes(bytes(data))] == ["a"]


@pytest.mark.parametrize("records", [b"0 path=x\n", b"-9 path=x\n", b"x" * 600, b"7 size=-9\n"])
def test_pax_records_that_lead_astray_end_the_tar(records: bytes) -> None:
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % 512)
    data = pax.tobuf(tarfile.USTAR_FORMAT) + records + padding + tar_bytes([("a.png", b"1")])
    assert len(index_bytes(data)) <= 1


def test_images_are_read_where_tarfile_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset, "MAX_OPEN_FILES", 2)
    shards = [
        write(tmp_path / f"{n}.tar", [(f"{n}-{k}.png", bytes([n, k] * 400)) for k in range(5)])
        for n in range(4)
    ]
    rows = index_shards(shards).to_pylist()
    rng = np.random.default_rng(0)
    order = [rows[i] for i in rng.permutation(len(rows))]
    open_files: dict[Path, int] = {}
    places = [(shards[r["shard"]], r["offset"], r["size"]) for r in order]
    for row, data in zip(order, read_images(places, open_files), strict=True):
        with tarfile.open(shards[row["shard"]]) as tar:
            member = tar.extractfile(f"{row['id']}.png")
            assert member is not None
            assert data == member.read()
    assert 0 < len(open_files) <= 2


@given(pixels=st.binary(min_size=12 * 12 * 3, max_size=12 * 12 * 3))
@settings(max_examples=20, deadline=None)
def test_lossless_images_of_the_right_size_come_back_exactly(pixels: bytes) -> None:
    image = Image.frombytes("RGB", (12, 12), pixels)
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(
            decode(encoded(image, format, **options), 12), np.asarray(image)
        )


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "RGB"])
@pytest.mark.parametrize("size", [(40, 60), (60, 40), (16, 16), (3, 200)])
def test_any_mode_and_size_becomes_square_rgb(mode: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white").convert(mode)
    pixels = decode(encoded(image, "JPEG" if mode == "CMYK" else "PNG"), 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() >= 250


def test_the_centre_is_kept() -> None:
    image = Image.new("RGB", (96, 32), (255, 0, 0))
    image.paste((0, 0, 255), (32, 0, 64, 32))
    middle = decode(encoded(image), 32)
    assert (middle == (0, 0, 255)).all()


def test_a_large_jpeg_is_decoded_as_if_in_full() -> None:
    y, x = np.mgrid[0:512, 0:640] / 100
    wave = np.stack([np.sin(x) * np.cos(y * k) for k in (1, 2, 3)], -1) * 100 + 128
    data = encoded(Image.fromarray(wave.astype(np.uint8)), "JPEG", quality=95)
    full = (
        Image.open(io.BytesIO(data))
        .crop((64, 0, 576, 512))
        .resize((32, 32), Image.Resampling.BICUBIC)
    )
    assert np.abs(decode(data, 32).astype(int) - np.asarray(full)).mean() < 2


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data))

    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(9000, 9000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match="pixels"):
        decode(bomb(*size), 32)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode(data, 32)


@given(
    format=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    at=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4),
    keep=st.floats(0.1, 1),
)
@settings(max_examples=200, deadline=None)
def test_damaged_images_are_refused_or_square(
    format: str, at: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(encoded(Image.linear_gradient("L").resize((20, 20)), format))
    for place, value in at:
        data[place % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = decode(bytes(data[: int(keep * len(data))]), 16)
        except BadImage:
            return
    assert pixels.shape == (16, 16, 3)


def test_a_missing_folder_or_an_empty_one_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^WebDataset\.path=.*/no: no such folder; give"):
        WebDataset(path=str(tmp_path / "no")).check()
    with pytest.raises(FileNotFoundError, match=r"no \*\.tar in it; give"):
        WebDataset(path=str(tmp_path)).check()


def test_a_folder_of_shards_is_a_source(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        write(tmp_path / f"{n:05d}.tar", [(f"{n}.png", b"x")])
    source = WebDataset(path=f"{tmp_path}/")
    source.check()
    assert source.name == tmp_path.name
    assert WebDataset(path=str(tmp_path), label="mine").name == "mine"
    shards = source.shards(tmp_path / "unused")
    assert [p.name for p in shards] == ["00001.tar", "00002.tar", "00010.tar"]


def test_class_names_are_lines(tmp_path: Path) -> None:
    assert class_names(tmp_path) == ()
    (tmp_path / "classnames.txt").write_text("tench, Tinca tinca\nλ\n", encoding="utf-8")
    assert class_names(tmp_path) == ("tench, Tinca tinca", "λ")
