"""Captions as words, each with draws of its own."""

from collections.abc import Iterator

from raystudy.kinds import Annotations, Integers
from raystudy.randomness import uniform

BLOCK = 1 << 14
"""Captions whose words are held at once, so that memory does not grow with the data set."""


def words_of(
    clean: Annotations, rows: Integers, seed: int, *names: str
) -> Iterator[tuple[int, list[str], list[list[float]]]]:
    """For each of ``rows``: the row, its caption split at white space, and for each of ``names``
    one number in [0, 1) a word, pure in (seed, name, id, position of the word)."""
    for first in range(0, len(rows), BLOCK):
        block: list[int] = rows[first : first + BLOCK].tolist()
        words = [clean.captions[row].split() for row in block]
        items = [
            f"{clean.ids[row]}/{position}"
            for row, of_caption in zip(block, words, strict=True)
            for position in range(len(of_caption))
        ]
        draws = [uniform(seed, name, items).tolist() for name in names]
        start = 0
        for row, of_caption in zip(block, words, strict=True):
            end = start + len(of_caption)
            yield row, of_caption, [of_name[start:end] for of_name in draws]
            start = end
