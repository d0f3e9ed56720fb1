import io
import json
import pickle
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards import probe as probing
from raystudy.shards import row, tar
from raystudy.shards.root import Root
from raystudy.shards.table import MAX_NAMED, SCHEMA, Fault, Indexed

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
WORDS = st.text(st.sampled_from("abcxyz019_-é漢"), min_size=1, max_size=12)
IDS = st.tuples(st.lists(WORDS, max_size=2), WORDS, st.sampled_from([0, 0, 150])).map(
    lambda t: "/".join([*t[0], t[1] + "n" * t[2]])
)
Members = Sequence[tuple[str, bytes]]


def tar_bytes(members: Members, format: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def image(seed: int = 0, format: str = "PNG", size: tuple[int, int] = (5, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed % 256, seed // 256 % 256, 7)).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


def index_bytes(folder: Path, data: bytes) -> Indexed:
    (folder / "0.tar").write_bytes(data)
    found = tar.index(Root(str(folder)), "0.tar")
    assert found.table.schema == SCHEMA
    return found


def ids(found: Indexed) -> list[str]:
    return found.table["id"].to_pylist()


@given(
    ids=st.lists(IDS, max_size=6, unique=True),
    format=st.sampled_from(FORMATS[1:]),
    suffix=st.sampled_from(["jpg", "JPEG", "png", "webp"]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_the_index_is_what_tarfile_reads(
    folder: Path, ids: list[str], format: int, suffix: str, data: st.DataObject
) -> None:
    images, labels, captions = {}, {}, {}
    members: list[tuple[str, bytes]] = []
    for n, i in enumerate(ids):
        size = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
        images[i] = image(n, data.draw(st.sampled_from(["PNG", "JPEG", "WEBP"])), size)
        labels[i] = data.draw(st.one_of(st.none(), st.integers(0, 9999)))
        captions[i] = data.draw(st.one_of(st.just(""), WORDS))
        group = [(f"{i}.{suffix}", images[i]), (f"{i}.seg.npy", b"none of ours")]
        if labels[i] is not None and data.draw(st.booleans()):
            group.append((f"{i}.cls", f"{labels[i]}\n".encode()))
        elif labels[i] is not None:
            group.append((f"{i}.json", json.dumps({"label": labels[i]}).encode()))
        if captions[i]:
            group.append((f"{i}.txt", captions[i].encode()))
        members += data.draw(st.permutations(group))
    content = tar_bytes(members, format)
    found = index_bytes(folder, content)
    assert not found.faults
    rows = found.table.to_pylist()
    assert [r["id"] for r in rows] == ids
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for r in rows:
            member = archive.getmember(f"{r['id']}.{suffix}")
            assert (r["path"], r["offset"], r["size"]) == (
                "0.tar",
                member.offset_data,
                member.size,
            )
            assert r["label"] == (-1 if labels[r["id"]] is None else labels[r["id"]])
            assert r["caption"] == captions[r["id"]]
            pixels = images[r["id"]]
            assert content[r["offset"] :][: r["size"]] == pixels
            assert r["digest"] == xxhash.xxh3_64(pixels).intdigest()
            assert (r["width"], r["height"]) == Image.open(io.BytesIO(pixels)).size


@given(order=st.permutations([(i, s) for i in "abcd" for s in ("png", "cls", "txt")]))
@settings(max_examples=30, deadline=None)
def test_scattered_members_belong_together(folder: Path, order: list[tuple[str, str]]) -> None:
    held = {"cls": b"%d", "txt": b"caption %d"}
    members = [(f"{i}.{s}", image(ord(i)) if s == "png" else held[s] % ord(i)) for i, s in order]
    rows = index_bytes(folder, tar_bytes(members)).table.to_pylist()
    assert [r["id"] for r in rows] == list(dict.fromkeys(i for i, _ in order))
    assert all(r["label"] == ord(r["id"]) for r in rows)
    assert all(r["caption"] == f"caption {ord(r['id'])}" for r in rows)


def test_ustar_prefixes_and_leading_dots_are_read(folder: Path) -> None:
    deep = "d" * 90 + "/" + "e" * 90
    members = [(f"./{deep}.png", image()), ("._mac.png", b"x"), ("a/", b""), ("b.image", b"x")]
    found = index_bytes(folder, tar_bytes(members))
    assert ids(found) == [deep]
    assert not found.faults, "what has no member of ours is no example"


def test_nothing_is_a_table_all_the_same(folder: Path) -> None:
    assert index_bytes(folder, tar_bytes([])).table.num_rows == 0


def test_tars_in_the_tar_are_read_where_they_lie(folder: Path) -> None:
    """The layout of ILSVRC2012_img_train.tar."""
    inner = {
        wnid: tar_bytes([(f"{wnid}_{n}.JPEG", image(n, "JPEG")) for n in (10026, 3)])
        for wnid in ("n01440764", "n01443537")
    }
    deeper = tar_bytes([("below.png", image(9))])
    members = [(f"{wnid}.tar", data) for wnid, data in inner.items()]
    content = tar_bytes([*members, ("deep.tar", tar_bytes([("more.tar", deeper)]))])
    found = index_bytes(folder, content)
    assert ids(found) == [f"{w}/{w}_{n}" for w in inner for n in (10026, 3)]
    assert not found.named, "a tar in a tar in a tar is none of ours"
    for r in found.table.to_pylist():
        wnid, _, name = r["id"].partition("/")
        with tarfile.open(fileobj=io.BytesIO(inner[wnid])) as archive:
            member = archive.extractfile(f"{name}.JPEG")
            assert member is not None
            assert content[r["offset"] :][: r["size"]] == member.read()


def test_damage_in_an_inner_tar_leaves_the_others(folder: Path) -> None:
    broken = bytearray(tar_bytes([(f"{n}.png", image(n)) for n in range(3)]))
    broken[1024 + 3] ^= 1
    good = tar_bytes([("x.png", image(7))])
    found = index_bytes(folder, tar_bytes([("a.tar", bytes(broken)), ("b.tar", good)]))
    assert ids(found) == ["a/0", "b/x"]
    assert found.named[Fault.CUT_TAR] == [f"0.tar/a from byte 1024 of {len(broken)}"]


@given(cut=st.integers(0, 40_000))
@settings(max_examples=80, deadline=None)
def test_a_cut_tar_keeps_its_whole_examples(folder: Path, cut: int) -> None:
    members = [
        (f"{n:03d}.{suffix}", data)
        for n in range(8)
        for suffix, data in (("png", image(n)), ("cls", b"3"), ("txt", b"a word"))
    ]
    whole = tar_bytes(members)
    cut = cut % len(whole)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        ends = {m.name: m.offset_data + m.size for m in archive.getmembers()}
    assume(cut >= ends["000.txt"])
    found = index_bytes(folder, whole[:cut])
    assert ids(found) == [f"{n:03d}" for n in range(8) if ends[f"{n:03d}.txt"] <= cut]
    assert set(found.table["label"].to_pylist()) == {3}
    assert set(found.table["caption"].to_pylist()) == {"a word"}


def test_a_cut_is_reported_with_what_was_lost(folder: Path) -> None:
    data = tar_bytes(
        [(f"{n}.{s}", image() * (s == "png") or b"1") for n in range(3) for s in ("png", "cls")]
    )
    found = index_bytes(folder, data[: 5 * 1024 + 100])
    assert ids(found) == ["0", "1"]
    assert found.named == {
        Fault.CUT_TAR: ["0.tar from byte 5120 of 5220"],
        Fault.CUT_EXAMPLE: ["0.tar/2"],
    }


def test_a_damaged_header_ends_the_tar(folder: Path) -> None:
    data = bytearray(tar_bytes([(f"{n}.png", image(n)) for n in range(4)]))
    data[2 * 1024 + 5] ^= 1
    found = index_bytes(folder, bytes(data))
    assert ids(found) == ["0", "1"]
    assert found.faults == {Fault.CUT_TAR: 1}


def test_what_is_left_out_is_counted_by_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (row, tar):
        monkeypatch.setattr(module, "MAX_TEXT_BYTES", 10)
    for module in (row, probing):
        monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 2000)
    monkeypatch.setattr(probing, "MAX_PIXELS", 2000)
    members: Members = [
        *[("good.png", image()), ("good.cls", b"4")],
        *[("lonely.cls", b"1"), ("alone.txt", b"a picture")],
        *[("word.png", image()), ("word.cls", b"cat")],
        *[("text.png", image()), ("text.json", b"{")],
        *[("list.png", image()), ("list.json", b"[1]")],
        *[("minus.png", image()), ("minus.cls", b"-7")],
        *[("big.png", image()), ("big.cls", b"9" * 10 + b"9" * 9)],
        ("empty.png", b""),
        ("gif.jpg", b"GIF89a"),
        ("wide.png", image(size=(3000, 1))),
        ("huge.png", bytes(2001)),
        *[("novel.png", image()), ("novel.txt", b"far too long")],
        *[("twice.png", image(1)), ("twice.jpg", image(2)), ("twice.png", image(3))],
        ("last.png", image()),
    ]
    found = index_bytes(folder, tar_bytes(members))
    assert ids(found) == ["good", "twice", "last"]
    assert found.table["label"].to_pylist() == [4, -1, -1]
    assert found.table["digest"][1].as_py() == xxhash.xxh3_64(image(1)).intdigest()
    assert found.named == {
        Fault.NO_IMAGE: ["0.tar/lonely", "0.tar/alone"],
        Fault.BAD_LABEL: ["0.tar/word", "0.tar/minus"],
        Fault.BAD_TEXT: ["0.tar/text", "0.tar/list", "0.tar/big", "0.tar/novel"],
        Fault.EMPTY_IMAGE: ["0.tar/empty"],
        Fault.NOT_AN_IMAGE: ["0.tar/gif"],
        Fault.TOO_MANY_PIXELS: ["0.tar/wide"],
        Fault.LARGE_FILE: ["0.tar/huge"],
        Fault.REPEATED_ID: ["0.tar/twice", "0.tar/twice"],
    }
    assert found.faults == Counter({f: len(where) for f, where in found.named.items()})


def test_all_faults_are_counted_and_the_first_named(folder: Path) -> None:
    found = index_bytes(folder, tar_bytes([(f"{n}.png", b"") for n in range(MAX_NAMED + 30)]))
    assert found.faults == {Fault.EMPTY_IMAGE: MAX_NAMED + 30}
    assert found.named[Fault.EMPTY_IMAGE] == [f"0.tar/{n}" for n in range(MAX_NAMED)]


UNKNOWN = dict.fromkeys(("similarity", "aesthetic", "punsafe", "pwatermark", "language"))


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"caption": " a cat "}, {"caption": "a cat"}),
        ({"caption": None, "label": None}, {}),
        ({"caption": 7, "url": "http://x", "exif": "{}"}, {}),
        ({"caption": "\ud800!"}, {"caption": "?!"}),
        ({"label": 3}, {"label": 3}),
        ({"label": 3.0}, {"label": 3}),
        ({"similarity": 0.25, "punsafe": 1, "pwatermark": "0.5"},
         {"similarity": 0.25, "punsafe": 1.0, "pwatermark": 0.5}),
        ({"AESTHETIC_SCORE": 6.5, "LANGUAGE": "de"}, {"aesthetic": 6.5, "language": "de"}),
        ({"aesthetic": None, "aesthetic_score": "5"}, {"aesthetic": 5.0}),
        ({"similarity": float("nan"), "aesthetic": float("inf"), "punsafe": 10**400,
          "pwatermark": 1e300, "language": ""}, {}),
        ({"similarity": "n/a", "aesthetic": [1], "punsafe": True, "pwatermark": {},
          "language": 5}, {}),
        ({"language": "x" * 5000}, {}),
    ],
)  # fmt: skip
def test_json_is_read_as_img2dataset_and_laion_write_it(
    folder: Path, fields: dict[str, Any], known: dict[str, Any]
) -> None:
    members = [("a.png", image()), ("a.json", json.dumps(fields).encode())]
    (found,) = index_bytes(folder, tar_bytes(members)).table.to_pylist()
    expected = {"label": -1, "caption": ""} | UNKNOWN | known
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("label", ["cat", True, [1], 1.5, -2, 2**63, float("nan")])
def test_a_json_label_that_is_no_index_leaves_the_example_out(folder: Path, label: Any) -> None:
    members = [("a.png", image()), ("a.json", json.dumps({"label": label}).encode())]
    assert index_bytes(folder, tar_bytes(members)).faults == {Fault.BAD_LABEL: 1}
    saved = index_bytes(folder, tar_bytes([*members, ("a.cls", b"2")]))
    assert saved.table["label"].to_pylist() == [2]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[" * 500_000, b'{"label": ' + b"9" * 5000 + b"}", b"\xff\xfe\0", b"null"]
)
def test_json_that_leads_astray_costs_its_example(folder: Path, text: bytes) -> None:
    members = [("a.png", image()), ("a.json", text), ("b.png", image(1))]
    found = index_bytes(folder, tar_bytes(members))
    assert ids(found) == ["b"]
    assert found.faults == {Fault.BAD_TEXT: 1}


def test_txt_and_cls_come_before_json(folder: Path) -> None:
    fields = json.dumps({"label": 1, "caption": "json"}).encode()
    members = [("a.json", fields), ("a.txt", b"txt"), ("a.png", image()), ("a.cls", b"2")]
    (found,) = index_bytes(folder, tar_bytes(members)).table.to_pylist()
    assert (found["label"], found["caption"]) == (2, "txt")


def test_the_parquet_beside_the_tar_knows_what_json_does_not(tmp_path: Path) -> None:
    """As img2dataset writes it: 00000.tar and 00000.parquet."""
    fields = json.dumps({"similarity": 0.75, "punsafe": None}).encode()
    members = [
        ("000.jpg", image(0)),
        ("000.json", fields),
        ("001.jpg", image(1)),
        ("002.jpg", image(2)),
    ]
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "00000.tar").write_bytes(tar_bytes(members))
    beside = pa.table(
        {
            "key": ["000", "001", "404", "001"],
            "url": ["http://x"] * 4,
            "status": ["success", "success", "failed_to_download", "success"],
            "width": [5, 5, None, 5],
            "similarity": [0.25, 0.5, 0.1, 0.9],
            "punsafe": pa.array([0.125, None, 0.5, 0.9], pa.float64()),
            "AESTHETIC_SCORE": ["6.5", "?", None, None],
            "LANGUAGE": pa.array(["en", None, "fr", "nl"]).dictionary_encode(),
        }
    )
    pq.write_table(beside, tmp_path / "part" / "00000.parquet")
    found = tar.index(Root(str(tmp_path)), "part/00000.tar")
    assert not found.faults
    known = [{name: r[name] for name in UNKNOWN} for r in found.table.to_pylist()]
    assert known == [
        UNKNOWN | {"similarity": 0.75, "punsafe": 0.125, "aesthetic": 6.5, "language": "en"},
        UNKNOWN | {"similarity": 0.5},
        UNKNOWN,
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(99) + b"PAR1", bytes(5000)])
def test_a_malformed_parquet_beside_the_tar_costs_only_itself(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "0.tar").write_bytes(tar_bytes([("a.png", image())]))
    (tmp_path / "0.parquet").write_bytes(content)
    found = tar.index(Root(str(tmp_path)), "0.tar")
    assert ids(found) == ["a"]
    assert found.named == {Fault.BAD_TEXT: ["0.parquet"]}


class Trap:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_stay_shut(folder: Path) -> None:
    trap = pickle.dumps(Trap())
    members = [
        (f"a.{s}", trap) for s in ("pyd", "pkl", "pickle", "pth", "cls", "json", "txt", "jpg")
    ]
    assert ids(index_bytes(folder, tar_bytes(members))) == []
    assert ids(index_bytes(folder, tar_bytes([("a.png", image()), *members[:4]]))) == ["a"]


def test_links_devices_and_folders_are_no_files(folder: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for n, kind in enumerate(
            (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)
        ):
            entry = tarfile.TarInfo(f"{n}.jpg")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    assert index_bytes(folder, buffer.getvalue()) == Indexed(SCHEMA.empty_table())


@pytest.mark.parametrize("size", [b"-0000000512\0", b"\xff" * 12, b"\x80" + b"\xff" * 11])
def test_a_size_that_leads_astray_ends_the_tar(folder: Path, size: bytes) -> None:
    data = bytearray(tar_bytes([("a.png", image()), ("b.png", image())]))
    header = data[1024:1536]
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 256)
    data[1024:1536] = header
    assert ids(index_bytes(folder, bytes(data))) == ["a"]


@pytest.mark.parametrize(
    "records",
    [
        *[b"0 path=x\n", b"-9 path=x\n", b"x" * 600, b"7 size=-9\n", b"12 size=9\xff9\n"],
        b"%d path=%s.png\n" % (5000 + 16, b"./" * 2500),
    ],
)
def test_pax_records_that_lead_astray_end_the_tar(folder: Path, records: bytes) -> None:
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % 512)
    start = tar_bytes([("first.png", image())])[:1024]
    data = start + pax.tobuf(tarfile.USTAR_FORMAT) + records + padding
    found = index_bytes(folder, data + tar_bytes([("a.png", image())]))
    assert ids(found) == ["first"]
    assert found.faults == {Fault.CUT_TAR: 1}
