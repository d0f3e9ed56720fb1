"""Sources of text: formats agree, splits are held out, mixtures are in proportion."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raystudy.kinds import Rendered
from raystudy.sources.mixture import Mixture
from raystudy.sources.text import Text
from raystudy.sources.text_files import TextFiles
from raystudy.stages.index import catalogue, index, leaves
from raystudy.store import Store
from raystudy.subset import subset
from raystudy.text.documents import Document, of_split
from raystudy.text.packing import contexts
from raystudy.tokenisers.bytes import Bytes

from ..texts import document, text_files

TEXTS = [document(i) for i in range(80)]


def rendered(source: Rendered, folder: Path) -> np.ndarray:
    source.render(folder)
    return np.concatenate([np.load(p) for p in sorted(folder.glob("*.npy"))])


@pytest.fixture
def formats(tmp_path: Path) -> dict[str, TextFiles]:
    """The same documents in the same order, three times."""
    files, tars, parquets = (tmp_path / n for n in ("files", "tars", "parquets"))
    for folder in (files, tars, parquets):
        (folder / "deep").mkdir(parents=True)
    for i, text in enumerate(TEXTS):
        (files / "deep" / f"{i:03d}.txt").write_text(text)
    for part in range(2):
        with tarfile.open(tars / "deep" / f"{part}.tar", "w") as tar:
            for i in range(40 * part, 40 * part + 40):
                for suffix, data in (("json", b"{}"), ("txt", TEXTS[i].encode())):
                    entry = tarfile.TarInfo(f"{i:03d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        rows = {"id": list(range(40)), "text": TEXTS[40 * part : 40 * part + 40]}
        pq.write_table(pa.table(rows), parquets / "deep" / f"{part}.parquet", row_group_size=16)
    sources = {"txt": files, "tar": tars, "parquet": parquets}
    return {s: TextFiles(path=str(f), pattern=f"**/*.{s}", context=9) for s, f in sources.items()}


def test_every_format_gives_the_training_documents(formats, tmp_path: Path) -> None:
    named = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    expected = contexts(of_split(named, "train"), Bytes(), 9)
    assert 0.7 < expected.size / contexts(named, Bytes(), 9).size < 1
    for name, source in formats.items():
        source.check()
        assert np.array_equal(rendered(source, tmp_path / "out" / name), expected)


def test_identity_is_what_lies_there_and_not_where(tmp_path: Path) -> None:
    one, two = text_files(tmp_path / "one"), text_files(tmp_path / "two")
    assert one.key == two.key
    (tmp_path / "two" / "0000.txt").write_text("longer " * 50)
    assert text_files(tmp_path / "three", 61).key != one.key
    assert TextFiles(path=two.path, context=16).key != one.key
    assert one.model_copy(update={"context": 17}).key != one.key


def test_what_cannot_be_read_is_left_out_with_a_warning(formats, tmp_path, caplog) -> None:
    root = Path(formats["tar"].path)
    damaged = root / "deep" / "1.tar"
    damaged.write_bytes(damaged.read_bytes()[:20_000])
    (root / "deep" / "2.tar").write_bytes(b"no tar" * 100)
    table = rendered(formats["tar"], tmp_path / "out")
    named = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    whole = contexts(of_split(named, "train"), Bytes(), 9)
    assert len(whole) // 2 < len(table) < len(whole)
    assert np.array_equal(table, whole[: len(table)])
    assert "1.tar: a tar that is damaged" in caplog.text
    other = formats["parquet"].model_copy(update={"column": "words"})
    with pytest.raises(ValueError, match="no training document"):
        other.render(tmp_path / "none")
    assert "no text in column 'words'; columns: ['id', 'text']" in caplog.text


def test_nothing_there_is_said_before_any_work(tmp_path: Path) -> None:
    source = TextFiles(path=str(tmp_path), pattern="*.md")
    with pytest.raises(FileNotFoundError, match=r"no file matches \*\.md"):
        source.check()


def test_halves_of_text_and_code_are_halves_at_every_size(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    a, b = text_files(tmp_path / "a"), text_files(tmp_path / "b", 90)
    both = Mixture(sources=(a, b.model_copy(update={"label": "code"})))
    assert both.unit == ("tokens", 16)
    for leaf in leaves(both):
        assert isinstance(leaf, Rendered)
        index(leaf, store)
    rows = {n: subset(both, n, catalogue(store), 0)[0]["id"].to_pylist() for n in (50, 51, 200)}
    for n, ids in rows.items():
        assert ids == rows[200][:n], "subsets nest"
        assert abs(sum(id.startswith("0:") for id in ids) - n / 2) <= 0.5


def test_contexts_of_two_lengths_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mixes examples of 64 tokens and 128 tokens"):
        _ = Mixture(sources=(Text(corpus="prose", context=64), Text(corpus="cpp"))).unit
