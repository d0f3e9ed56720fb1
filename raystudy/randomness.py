"""Randomness as a pure function of (seed, name, item).

No generator is shared and none is global: whoever asks with the same seed, the same name and the
same item gets the same number, on any machine, in any order of arrival.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest


def uniform(seed: int, name: str, ids: Iterable[str]) -> NDArray[np.float64]:
    """One number in [0, 1) per id, independent across seeds and names. Shape (len(ids),)."""
    salt = xxh3_64_intdigest(f"{seed}/{name}".encode())
    hashes = [xxh3_64_intdigest(item.encode(), salt) for item in ids]
    bits = np.array(hashes, dtype=np.uint64) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def number(seed: int, name: str, *item: int | str) -> int:
    """A 63-bit integer, to seed another library's generator (``torch.Generator.manual_seed``)."""
    return xxh3_64_intdigest("/".join(map(str, (seed, name, *item))).encode()) >> 1


def generator(seed: int, name: str, *item: int | str) -> np.random.Generator:
    """A numpy generator of its own for (seed, name, item)."""
    return np.random.Generator(np.random.PCG64(number(seed, name, *item)))
