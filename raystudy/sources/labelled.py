"""Image–text pairs as labelled data: a caption that names one class is a label."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import AfterValidator, Field, SerializeAsAny

from raystudy.kinds import Derived, Source, Stream
from raystudy.shards.table import replaced

Words = tuple[str, ...]

MARKS = "".join(c for c in map(chr, range(0x300, 0x2100)) if unicodedata.category(c)[0] == "M")
"""Accents and vowel signs that follow their letter, as they do in Hindi."""
WORD = re.compile(rf"(?:[^\W_][{MARKS}]*)+")
"""Letters and digits of any script; whatever stands between them parts them."""


def names_of(classes: Sequence[str | Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Of each class its name and its synonyms. Raises ValueError for a name that has no letter or
    digit, and for two classes with the same name."""
    names = [c.split(",") if isinstance(c, str) else c for c in classes]
    checked = tuple(tuple(name.strip() for name in of_class) for of_class in names)
    owner: dict[Words, tuple[int, str]] = {}
    for i, of_class in enumerate(checked):
        if not of_class:
            raise ValueError(f"Labelled.classes: class {i} has no name")
        for name in of_class:
            if not (words := words_of(name)):
                raise ValueError(f"Labelled.classes: '{name}' of class {i} has no word in it")
            other, other_name = owner.setdefault(words, (i, name))
            if other != i:
                raise ValueError(
                    f"Labelled.classes: '{other_name}' of class {other} and '{name}' of class {i} "
                    "are the same words; leave one out"
                )
    return checked


class Labelled(Derived):
    """The examples of ``source`` whose captions name one of ``classes`` and no other.

    A name is found where its words follow one another in the caption, whole, whatever their case
    and the punctuation between them; words are not inflected ("dogs" is not "dog"). A name inside
    a longer one does not count: "hot dog" is no "dog". Captions that name no class, or several,
    are left out; labels that there were are forgotten. In the way of ImageNet-Captions (Fang et
    al. 2022, arXiv 2205.01397).
    """

    VERSION: ClassVar[int] = 1
    source: SerializeAsAny[Source]
    classes: Annotated[
        tuple[str | tuple[str, ...], ...], Field(min_length=1), AfterValidator(names_of)
    ]
    """In label order; of each the name, then synonyms: ("tench", "Tinca tinca") or with commas."""
    label: str | None = None
    """How tables call it; "<source> labelled" if not given."""

    @property
    def name(self) -> str:
        return self.label or f"{self.source.name} labelled"

    def inputs(self) -> Sequence[Source]:
        return (self.source,)

    def known_size(self) -> int | None:
        return None

    def arrange(self, streams: Sequence[Stream], seed: int) -> Stream:
        (stream,) = streams
        label_of = matcher(names_of(self.classes))

        def labelled(rows: pa.Table) -> pa.Table:
            labels = pa.array([label_of(c or "") for c in rows["caption"].to_pylist()], pa.int64())
            return replaced(rows, "label", labels).filter(pa.array(labels.to_numpy() >= 0))

        names = tuple(of_class[0] for of_class in names_of(self.classes))
        return Stream(map(labelled, stream.tables), names)


def matcher(names: Sequence[Sequence[str]]) -> Callable[[str], int]:
    """A function from a caption to the one class that it names, −1 where it names none or several.

    Its time is linear in the caption, however many classes there are.
    """
    by_first_word: defaultdict[str, dict[Words, int]] = defaultdict(dict)
    for label, of_class in enumerate(names):
        for words in map(words_of, of_class):
            by_first_word[words[0]][words] = label
    # By first word, the names that begin with it, the longest first.
    longest_first = {
        word: sorted(((len(words), words, label) for words, label in found.items()), reverse=True)
        for word, found in by_first_word.items()
    }

    def label_of(caption: str) -> int:
        words = words_of(caption)
        found, reach = -1, 0
        for start, word in enumerate(words):
            for length, name, label in longest_first.get(word, ()):
                if words[start : start + length] == name:
                    # Beginning later, it lies inside an earlier one unless it reaches further.
                    if start + length > reach:
                        if found not in (-1, label):
                            return -1
                        found, reach = label, start + length
                    break
        return found

    return label_of


def words_of(text: str) -> Words:
    """Its words in Unicode's compatibility form, in one case: "Crème-BRÛLÉE" is two."""
    return tuple(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
