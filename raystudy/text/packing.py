"""Packing: documents become contexts of one length, one after the other.

The tokens of all documents, each followed by the end-of-text token, make one sequence; it is cut
every T + 1 tokens, wherever that falls. Nothing is lost but the last part, if it is shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Tokeniser
from raystudy.text.documents import Document

Contexts = NDArray[np.uint16]
"""(N, T + 1): T tokens to look back on, and the one that follows the last of them."""
BLOCK_BYTES = 1 << 20
"""Of contexts that are handed on together, …"""
SHARD_BYTES = 16 << 20
"""… and of one file: what rendering holds in memory, however large the corpus."""


def packed(documents: Iterable[Document], tokeniser: Tokeniser, context: int) -> Iterator[Contexts]:
    """Blocks of contexts (n, T + 1), in order."""
    end = np.array([tokeniser.end_of_text], np.uint16)
    length, held, num_held = context + 1, [np.empty(0, np.uint16)], 0
    for document in documents:
        tokens = tokeniser.encode(document.text)
        held += [tokens, end]
        num_held += len(tokens) + 1
        if num_held * 2 >= BLOCK_BYTES and num_held >= length:
            whole, rest = _cut(held, length)
            yield whole
            held, num_held = [rest], len(rest)
    whole, _ = _cut(held, length)
    if len(whole):
        yield whole


def _cut(held: list[NDArray[np.uint16]], length: int) -> tuple[Contexts, NDArray[np.uint16]]:
    """The whole contexts of what is held, and the tokens after them."""
    joined = np.concatenate(held)
    whole = len(joined) // length * length
    return joined[:whole].reshape(-1, length), joined[whole:].copy()


def contexts(documents: Iterable[Document], tokeniser: Tokeniser, context: int) -> Contexts:
    """All at once, (N, T + 1)."""
    blocks = list(packed(documents, tokeniser, context))
    return np.concatenate(blocks) if blocks else np.empty((0, context + 1), np.uint16)


def write_shards(blocks: Iterable[Contexts], folder: Path) -> int:
    """``00000.npy``, … of contexts, little-endian; how many contexts they hold. Raises ValueError
    for none."""
    held: list[Contexts] = []
    num_shards = total = 0

    def write() -> None:
        nonlocal num_shards
        np.save(folder / f"{num_shards:05d}.npy", np.concatenate(held).astype("<u2", copy=False))
        num_shards += 1
        held.clear()

    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        held.append(block)
        total += len(block)
        if sum(b.nbytes for b in held) >= SHARD_BYTES:
            write()
    if held:
        write()
    if not total:
        raise ValueError("no training document that makes a whole context; give more text")
    return total
