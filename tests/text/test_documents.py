"""Documents: each text once, in one split; packing loses nothing and keeps the order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from raystudy.text.documents import SHARES, Document, of_split, split_of
from raystudy.text.packing import contexts, packed, write_shards
from raystudy.tokenisers.bytes import Bytes

from ..texts import document

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=30)
SPLITS = ("train", "validation", "test")


def named(texts: list[str]) -> list[Document]:
    return [Document(f"{i:03d}", text) for i, text in enumerate(texts)]


@given(texts=TEXTS, context=st.integers(1, 40))
@settings(deadline=None)
def test_packing_loses_no_token_and_keeps_order(texts: list[str], context: int) -> None:
    table = contexts(named(texts), Bytes(), context)
    expected = [t for text in texts for t in (*text.encode(), 256)]
    assert table.shape == (len(expected) // (context + 1), context + 1)
    assert table.reshape(-1).tolist() == expected[: table.size]


def test_blocks_and_shards_hold_what_one_table_holds(tmp_path, monkeypatch) -> None:
    many = named([document(i) for i in range(200)])
    whole = contexts(many, Bytes(), 9)
    for module in ("raystudy.text.packing.BLOCK_BYTES", "raystudy.text.packing.SHARD_BYTES"):
        monkeypatch.setattr(module, 1000)
    blocks = list(packed(many, Bytes(), 9))
    assert len(blocks) > 10
    assert np.array_equal(np.concatenate(blocks), whole)
    assert write_shards(blocks, tmp_path) == len(whole)
    shards = [np.load(path) for path in sorted(tmp_path.glob("*.npy"))]
    assert len(shards) > 5
    assert np.array_equal(np.concatenate(shards), whole)


@given(texts=TEXTS, again=st.data())
@settings(deadline=None)
def test_splits_share_no_text_and_hold_each_once(texts: list[str], again: st.DataObject) -> None:
    repeated = texts + again.draw(st.permutations(texts))
    found = {s: [d.text for d in of_split(named(repeated), s)] for s in SPLITS}
    everything = [text for of in found.values() for text in of]
    assert sorted(everything) == sorted(set(texts))
    for split, of in found.items():  # the first of equal texts stays, in order
        once = list(dict.fromkeys(texts))
        assert of == [t for t in once if split_of(xxh3_64_intdigest(t.encode())) == split]


def test_a_documents_split_depends_on_its_text_alone() -> None:
    texts = [document(i) for i in range(300)]
    alone = {s: {d.text for d in of_split(named(texts[:50]), s)} for s in SPLITS}
    among = {s: {d.text for d in of_split(named(texts[::-1]), s)} for s in SPLITS}
    assert all(alone[s] <= among[s] for s in SPLITS)


def test_shares_are_as_stated() -> None:
    splits = [split_of(xxh3_64_intdigest(str(i).encode())) for i in range(20_000)]
    for split, share in SHARES.items():
        assert abs(splits.count(split) / len(splits) - share) < 0.01
