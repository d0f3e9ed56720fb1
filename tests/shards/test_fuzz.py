"""Nothing in a shard raises, hangs, eats memory, or points outside its file.

15,950 hostile inputs: 5,000 mutated tars (half of them with their checksums put right), 6,000
mutated JPEG, PNG and WebP images, 2,500 mutated JSON members, 600 mutated parquet files (each read
as a shard, for its class names and as metadata beside a tar), 1,000 mutated tables of files, and
850 made up by Hypothesis. Every input is given at most ``MAX_SECONDS`` of processor time, all of
them together ``MAX_MEGABYTES`` more memory than before. Seeds are fixed.
"""

import io
import json
import math
import random
import resource
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards import parquet
from raystudy.shards.index import index_shard
from raystudy.shards.probe import MAX_PIXELS, probe
from raystudy.shards.root import Root
from raystudy.shards.row import Unusable, fields_of
from raystudy.shards.table import SCHEMA, Fault

MAX_SECONDS = 2.0
MAX_MEGABYTES = 300
WORDS = [b"\xff", b"\xff" * 4, b"\x7f" + b"\xff" * 7, bytes(4), b"\xff\xff\xff\xff\x0f", b"\x80"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def image(seed: int = 0, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((9, 7 + seed)).convert("RGB").save(buffer, format, **options)
    return buffer.getvalue()


def tar_bytes(members: Sequence[tuple[str, bytes]], format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def mutated(data: bytes, rng: random.Random, within: int | None = None) -> bytes:
    """``data`` after one to eight changes: bytes, bits, whole words, pieces moved, cut or added;
    most of them among the first ``within`` bytes."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        at = rng.randrange(min(len(made), within if within and rng.random() < 0.8 else len(made)))
        match rng.randrange(8):
            case 0 | 1 | 2:
                made[at] = rng.randrange(256)
            case 3:
                made[at] ^= 1 << rng.randrange(8)
            case 4 | 5:
                word = rng.choice(WORDS)
                made[at : at + len(word)] = word
            case 6:
                other, length = rng.randrange(len(made)), rng.randrange(1, 40)
                made[at : at + length] = made[other : other + length]
            case 7:
                del made[at : at + rng.choice([1, 1, 3, len(made) if rng.random() < 0.1 else 9])]
        if len(made) < 4:
            return data[:4]
    return bytes(made)


def mended(data: bytes) -> bytes:
    """The checksums of tar headers put right, so that damage gets past them."""
    made = bytearray(data)
    for block in range(0, len(made) - 511, 512):
        header = made[block : block + 512]
        if header[257:262] == b"ustar":
            total = sum(header) - sum(header[148:156]) + 256
            made[block + 148 : block + 156] = b"%06o\0 " % total
    return bytes(made)


@contextmanager
def bounded(data: object) -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < MAX_SECONDS, data


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_MEGABYTES * 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With files beside the shard's folder that no table may reach."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.png").write_bytes(image(5))
    for name in ("images", "a"):
        (outside / "root" / name).mkdir(parents=True)
    for n in range(4):
        (outside / "root" / "images" / f"{n}.png").write_bytes(image(n))
    return outside / "root"


def check_shard(folder: Path, data: bytes, offsets_are_bytes: bool = True) -> int:
    """Index ``data`` as a shard; how many examples it was found to hold."""
    (folder / "shard").write_bytes(data)
    with bounded(data):
        found = index_shard(Root(str(folder)), "shard")
    assert found.table.schema == SCHEMA
    found.table.validate(full=True)
    for row in found.table.to_pylist():
        assert row["path"] == "shard"
        assert row["size"] > 0
        assert 0 < row["width"] * row["height"] <= MAX_PIXELS
        if offsets_are_bytes:
            assert 512 <= row["offset"] <= len(data) - row["size"]
            inside = data[row["offset"] :][: row["size"]]
            assert probe(inside) == (row["width"], row["height"])
    assert found.faults.keys() == found.named.keys()
    assert all(where.startswith("shard") for named in found.named.values() for where in named)
    return found.table.num_rows


def tars() -> list[bytes]:
    made = []
    for format in FORMATS:
        name = "é" * 60 if format != tarfile.USTAR_FORMAT else "plain"
        fields = b'{"label": 3, "punsafe": 0.5, "caption": "x"}'
        members = [
            (f"{name}{n}.{s}", data)
            for n in range(3)
            for s, data in (("png", image(n)), ("cls", b"7"), ("json", fields), ("txt", b"a"))
        ]
        inner = tar_bytes(members[:6], format)
        made += [tar_bytes(members, format), tar_bytes([*members[:4], ("in.tar", inner)], format)]
    return made


@pytest.mark.parametrize("mend", [False, True])
def test_tars(folder: Path, mend: bool) -> None:
    rng, seeds, num_rows = random.Random(mend), tars(), 0
    for _ in range(2500):
        data = mutated(rng.choice(seeds), rng)
        num_rows += check_shard(folder, mended(data) if mend else data)
    assert num_rows > 2500  # else the damage is too coarse to get anywhere


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_image_headers(format: str) -> None:
    seeds = [image(0, format), image(1, format, exif=b"Exif\0\0" + bytes(40))]
    if format == "JPEG":
        seeds += [image(2, format, progressive=True), image(3, format, icc_profile=bytes(70_000))]
    rng, kept = random.Random(format), 0
    for _ in range(2000):
        data = mutated(rng.choice(seeds), rng, within=700)
        with bounded(data):
            found = probe(data)
        if isinstance(found, tuple):
            kept += 1
            width, height = found
            assert width > 0
            assert 0 < width * height <= MAX_PIXELS
        else:
            assert isinstance(found, Fault)
    assert 100 < kept < 2000


def check_fields(data: bytes) -> bool:
    with bounded(data):
        try:
            _, caption, known = fields_of(data)
        except Unusable:
            return False
    row = {"id": "x", "label": -1, "caption": caption} | known
    assert pa.Table.from_pylist([row], SCHEMA).num_rows == 1
    assert all(math.isfinite(v) for v in known.values() if isinstance(v, float))
    return True


def test_json_members() -> None:
    fields = {
        "caption": "a photo \ud83d\ude00",
        "label": 3,
        "similarity": 0.25,
        "AESTHETIC_SCORE": "6.5",
        "punsafe": None,
        "pwatermark": float("nan"),
        "LANGUAGE": "en",
        "exif": {"deep": [[[1, 2]]]},
    }
    seed, rng = json.dumps(fields).encode(), random.Random(0)
    assert sum(check_fields(mutated(seed, rng)) for _ in range(2500)) > 150


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ["caption", "label", "similarity", "aesthetic", "punsafe", "pwatermark", "language"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
@settings(max_examples=300, deadline=None)
def test_any_json_object_is_understood_or_ignored(fields: dict[str, Any]) -> None:
    assert check_fields(json.dumps(fields).encode())


@given(st.binary(max_size=200))
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_json_or_not(data: bytes) -> None:
    check_fields(data)


@given(data=st.binary(max_size=1200), start=st.sampled_from([b"", b"PAR1", b"filepath\ttitle\n"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_shard_or_not(folder: Path, data: bytes, start: bytes) -> None:
    assert check_shard(folder, start + data) == 0


def parquets() -> list[bytes]:
    made = []
    for codec in ("none", "snappy", "zstd", "gzip"):
        for nested in (True, False):
            pictures: list[Any] = [image(n) for n in range(8)]
            if nested:
                pictures = [{"bytes": b, "path": f"{n}.png"} for n, b in enumerate(pictures)]
            table = pa.table(
                {
                    "image": pictures,
                    "label": range(8),
                    "caption": [f"caption {n}" for n in range(8)],
                    "key": [f"{n:03d}" for n in range(8)],
                    "punsafe": [n / 8 for n in range(8)],
                    "LANGUAGE": pa.array(["en"] * 8).dictionary_encode(),
                }
            )
            about = {"info": {"features": {"label": {"names": list("abcdefgh")}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
            buffer = io.BytesIO()
            pq.write_table(
                table, buffer, compression=codec, row_group_size=5, use_dictionary=nested
            )
            made.append(buffer.getvalue())
    return made


def test_parquet_files(folder: Path) -> None:
    rng, seeds, root, num_rows = random.Random(0), parquets(), Root(str(folder)), 0
    for n in range(600):
        seed = rng.choice(seeds)
        footer = len(seed) - 8 - int.from_bytes(seed[-8:-4], "little")
        if n % 2:  # the pages, at the same length so that the footer still finds them
            body = mutated(seed[4:footer], rng)[: footer - 4].ljust(footer - 4, b"\0")
            data = seed[:4] + body + seed[footer:]
        else:
            end = mutated(seed[footer:-8], rng)
            data = seed[:footer] + end + len(end).to_bytes(4, "little") + b"PAR1"
        num_rows += check_shard(folder, data, offsets_are_bytes=False)
        reads: list[Callable[[Root, str], Any]] = [parquet.class_names, parquet.metadata_by_key]
        for read in reads:
            with bounded(data), suppress(ValueError):
                read(root, "shard")
    assert num_rows > 600


def test_tables_of_files(folder: Path) -> None:
    """No path leads out of the root, however it is written."""
    lines = ["filepath\ttitle\tlabel", "../images/0.png\ta cat\t1", '../images/1.png\t"a dog"\t2']
    lines += ["../../secret.png\tno\t3", "/etc/passwd\tno\t4", "../images/../images/3.png\tyes\t5"]
    tabs = "\n".join(lines).encode()
    seeds, rng, found = [tabs, tabs.replace(b"\t", b",")], random.Random(0), 0
    pieces = [b"..", b"/", b"\\", b"\0", b"://", b"::", b'"', b"\t", b"\n", b"images/2.png", b"%2e"]
    for _ in range(1000):
        data = bytearray(mutated(rng.choice(seeds), rng))
        at = rng.randrange(len(data))
        data[at:at] = rng.choice(pieces) * rng.choice([1, 1, 3])
        (folder / "a" / "table").write_bytes(data)
        with bounded(data):
            table = index_shard(Root(str(folder)), "a/table").table
        found += table.num_rows
        for path in table["path"].to_pylist():
            assert (folder / path).resolve().is_relative_to(folder / "images")
    assert found > 100
