"""Bytes by place, against plain reads of the same files, and what becomes of those that fail."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raystudy.shards import read as module
from raystudy.shards import retried
from raystudy.shards.parquet_file import ParquetFile
from raystudy.shards.read import Place, Reader
from raystudy.shards.table import Fault

from .stores import EveryThird, Shaky, jpeg, serve

SIZE = 300_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retried, "FIRST_WAIT_S", 0.001)
    Shaky.reset()
    yield
    Shaky.reset()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Name → content, written to ``tmp_path``."""
    contents = {f"{i}.tar": random.Random(i).randbytes(SIZE) for i in range(4)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return contents


def places_in(base: str, files: dict[str, bytes], n: int = 200) -> list[tuple[Place, bytes]]:
    draw = random.Random(0)
    found = []
    for _ in range(n):
        name, offset = draw.choice(sorted(files)), draw.randrange(SIZE - 5000)
        size = draw.choice([0, 1, 700, 5000])
        found.append(((f"{base}/{name}", offset, size), files[name][offset : offset + size]))
    return found


@pytest.mark.parametrize("store", ["local", "shaky", "http"])
def test_any_places_in_any_order(tmp_path: Path, files: dict[str, bytes], store: str) -> None:
    with serve(tmp_path) as server:
        base = {"local": str(tmp_path), "shaky": f"shaky://{tmp_path}", "http": server.url}[store]
        pairs = places_in(base, files)
        with Reader() as reader:
            for part in (pairs, pairs[:5], [], pairs[::-1]):
                assert reader.read([p for p, _ in part]) == [data for _, data in part]


def test_a_reader_travels_without_what_it_has_open(tmp_path: Path, files: dict[str, bytes]) -> None:
    reader = Reader()
    places = [(str(tmp_path / "0.tar"), 10, 20), (f"shaky://{tmp_path}/1.tar", 10, 20)]
    expected = [files["0.tar"][10:30], files["1.tar"][10:30]]
    assert reader.read(places) == expected
    copy = pickle.loads(pickle.dumps(reader))
    reader.close()
    assert copy.read(places) == expected
    assert reader.read(places) == expected, "a closed reader opens again"
    copy.close()
    reader.close()


def test_few_files_stay_open_and_none_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OPEN_FILES", 8)
    for i in range(40):
        (tmp_path / f"{i}.bin").write_bytes(bytes([i]) * 10)
    before = len(os.listdir("/proc/self/fd"))
    with Reader() as reader:
        for _ in range(2):
            for i in range(40):
                assert reader.read([(str(tmp_path / f"{i}.bin"), 2, 3)]) == [bytes([i]) * 3]
                assert len(os.listdir("/proc/self/fd")) <= before + 8
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("scheme", ["", "shaky://"])
def test_one_bad_place_costs_no_other(tmp_path: Path, files: dict[str, bytes], scheme: str) -> None:
    good = places_in(f"{scheme}{tmp_path}", files, 20)
    bad: list[Place] = [
        (f"{scheme}{tmp_path}/absent.tar", 0, 10),
        (f"{scheme}{tmp_path}/absent.jpg", 0, 10),
        (f"{scheme}{tmp_path}", 0, 10),
        (f"{scheme}{tmp_path}/0.tar", SIZE - 5, 10),
        (f"{scheme}{tmp_path}/0.tar", 2**60, 2**60),
        (f"{scheme}{tmp_path}/1.tar", -1, 10),
        (f"{scheme}{tmp_path}/1.tar", 0, -1),
        ("nosuch://x/y.tar", 0, 1),
    ]
    mixed = [*((place, Fault.UNREADABLE) for place in bad), *good]
    random.Random(1).shuffle(mixed)
    with Reader() as reader:
        assert reader.read([p for p, _ in mixed]) == [data for _, data in mixed]


@pytest.mark.parametrize("scheme", ["", "shaky://"])
def test_a_file_that_was_cut_since(tmp_path: Path, files: dict[str, bytes], scheme: str) -> None:
    places = [(f"{scheme}{tmp_path}/0.tar", offset, 100) for offset in range(0, 2000, 100)]
    with Reader() as reader:
        assert Fault.UNREADABLE not in reader.read(places)
        os.truncate(tmp_path / "0.tar", 1050)
        found = reader.read(places)
    whole = [files["0.tar"][offset : offset + 100] for offset in range(0, 1000, 100)]
    assert found == whole + [Fault.UNREADABLE] * 10


def test_near_ranges_of_a_remote_file_are_one_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_GAP_BYTES", 100)
    monkeypatch.setattr(module, "MAX_SPAN_BYTES", 1000)
    content = random.Random(0).randbytes(20_000)
    (tmp_path / "0.tar").write_bytes(content)
    near = [(512, 100), (700, 100), (712, 10), (812, 50)]
    far = [(1000, 50), (1100, 700), (5000, 3000)]
    places = [(f"shaky://{tmp_path}/0.tar", *place) for place in (*far, *near)]
    with Reader() as reader:
        found = reader.read(places)
        assert found == [content[o : o + n] for _, o, n in places]
        spans = sorted((start, end) for what, _, start, end in Shaky.requests if what == "cat")
        # The first bytes tell the format. 512 to 862 are near; from 1000 it is too far, …
        assert spans == [(0, 4), (512, 862), (1000, 1800), (5000, 8000)]
        Shaky.requests.clear()
        reader.read(places)
        assert len(Shaky.requests) == 3, "the format is remembered"
        Shaky.requests.clear()
        reader.read([(f"shaky://{tmp_path}/0.tar", o, 100) for o in range(0, 4000, 100)])
        assert len(Shaky.requests) == 4, "… and one request fetches at most 1000 bytes"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 900)), max_size=12))
def test_whatever_is_fetched_together(tmp_path: Path, ranges: list[tuple[int, int]]) -> None:
    content = random.Random(0).randbytes(4000)
    (tmp_path / "0.tar").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, Reader() as reader:
        patch.setattr(module, "MAX_GAP_BYTES", 50)
        patch.setattr(module, "MAX_SPAN_BYTES", 1000)
        found = reader.read([(f"shaky://{tmp_path}/0.tar", o, n) for o, n in ranges])
    assert found == [content[o : o + n] for o, n in ranges]


def test_a_busy_store_is_asked_again(tmp_path: Path, files: dict[str, bytes]) -> None:
    pairs = places_in(f"shaky://{tmp_path}", files, 60)
    Shaky.fault = EveryThird()
    with Reader() as reader:
        assert reader.read([p for p, _ in pairs]) == [data for _, data in pairs]
    with serve(tmp_path, num_refused=2) as server, Reader() as reader:
        pairs = places_in(server.url, files, 20)
        assert reader.read([p for p, _ in pairs]) == [data for _, data in pairs]


def test_only_the_range_that_fails_is_lost(tmp_path: Path, files: dict[str, bytes]) -> None:
    name = f"{tmp_path}/0.tar"

    def bad_sector(what: str, path: str, data: bytes) -> bytes:
        if files["0.tar"][5000:5010] in data:
            raise OSError("bad sector")
        return data

    Shaky.fault = bad_sector
    places = [(f"shaky://{name}", offset, 1000) for offset in range(0, 10_000, 1000)]
    with Reader() as reader:
        found = reader.read(places)
        expected = [files["0.tar"][o : o + 1000] for _, o, _ in places]
        assert found == [*expected[:5], Fault.UNREADABLE, *expected[6:]]
        Shaky.reset()
        assert reader.read(places) == expected, "a failure is not remembered"


def images_of(n: int) -> list[bytes]:
    return [jpeg(i) for i in range(n)]


def write_parquet(path: Path, images: list[bytes], column: str, group: int = 7) -> None:
    values = [{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(images)]
    array = pa.array(values) if column == "image" else pa.array(images, pa.binary())
    table = pa.table({"label": list(range(len(images))), column: array})
    pq.write_table(table, path, row_group_size=group)


@pytest.mark.parametrize("scheme", ["", "shaky://"])
@pytest.mark.parametrize("column", ["image", "jpg", "img"])
def test_rows_of_parquet_files(tmp_path: Path, scheme: str, column: str) -> None:
    images = images_of(40)
    write_parquet(tmp_path / "data.bin", images, column)  # known by its content, not its name
    (tmp_path / "0.tar").write_bytes(b"tar" * 500)
    url = f"{scheme}{tmp_path}/data.bin"
    order = random.Random(0).sample(range(40), 40)
    places = [(url, i, len(images[i])) for i in order]
    with Reader() as reader:
        found = reader.read([*places, (f"{scheme}{tmp_path}/0.tar", 3, 6), places[0]])
        assert found == [*(images[i] for i in order), b"tartar", images[order[0]]]
        wrong = [(url, 40, 10), (url, 2**60, 10), (url, 0, len(images[0]) + 1)]
        assert reader.read([*wrong, places[5]]) == [Fault.UNREADABLE] * 3 + [images[order[5]]]


def test_row_groups_are_kept_within_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_of(35)
    write_parquet(tmp_path / "0.parquet", images, "image")
    places = [(str(tmp_path / "0.parquet"), i, len(images[i])) for i in range(35)]
    decoded: Counter[int] = Counter()
    rows = ParquetFile.rows

    def counted(self: ParquetFile, columns: dict[str, str], group: int, at_once: int):
        decoded[group] += 1
        return rows(self, columns, group, at_once)

    monkeypatch.setattr(ParquetFile, "rows", counted)
    with Reader() as reader:
        for i in random.Random(0).choices(range(35), k=100):
            assert reader.read([places[i]]) == [images[i]]
    assert decoded == Counter(range(5)), "each of the five row groups is decoded once"
    two_groups = sum(map(len, images[:14])) + 100
    monkeypatch.setattr(module, "MAX_CACHED_BYTES", two_groups)
    with Reader() as reader:
        for i in range(35):
            assert reader.read([places[i]]) == [images[i]]
            assert reader._groups._total <= two_groups
    monkeypatch.setattr(module, "MAX_CACHED_BYTES", 100)
    with Reader() as reader:
        assert reader.read(places[::-1]) == images[::-1], "even if nothing can be kept"


def test_damage_in_a_parquet_file_costs_its_row_group(tmp_path: Path) -> None:
    images = images_of(30)
    buffer = io.BytesIO()
    table = pa.table({"jpg": pa.array(images, pa.binary())})
    pq.write_table(table, buffer, row_group_size=10, compression="zstd", use_dictionary=False)
    chunk = pq.ParquetFile(buffer).metadata.row_group(1).column(0)
    damaged = bytearray(buffer.getvalue())
    at = chunk.data_page_offset + chunk.total_compressed_size // 2
    damaged[at : at + 200] = bytes(200)
    (tmp_path / "0.parquet").write_bytes(damaged)
    (tmp_path / "1.parquet").write_bytes(b"PAR1 and nothing of the kind PAR1")
    pq.write_table(pa.table({"text": ["no image"]}), tmp_path / "2.parquet")
    places = [(str(tmp_path / "0.parquet"), i, len(images[i])) for i in range(30)]
    with Reader() as reader:
        found = reader.read([*places, *((str(tmp_path / f"{i}.parquet"), 0, 4) for i in (1, 2))])
    assert found[:10] == images[:10]
    assert found[20:30] == images[20:30]
    assert Fault.UNREADABLE in found[10:20]
    assert found[30:] == [Fault.UNREADABLE] * 2


def test_reading_an_epoch_after_the_other_is_not_taken_for_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raystudy.shards import parquet_file

    images = [b"\xff\xd8" + bytes(10_000)] * 20  # packs well: unpacks to many times its size
    write_parquet(tmp_path / "0.parquet", images, "jpg", group=10)
    monkeypatch.setattr(parquet_file, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(module, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(module, "MAX_CACHED_BYTES", 0)
    places = [(str(tmp_path / "0.parquet"), i, len(images[i])) for i in range(20)]
    with Reader() as reader:
        for _ in range(50):
            assert reader.read(places) == images
