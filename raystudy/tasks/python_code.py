"""Python code: CPython's own library, to be predicted token by token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from raystudy.kinds import Examples, Judged, Modality, Size, Task, Tokeniser, Unit
from raystudy.randomness import uniform
from raystudy.text.corpora import check, content, documents
from raystudy.text.documents import Split, of_split
from raystudy.text.packing import Contexts, contexts
from raystudy.tokenisers.bytes import Bytes

Positive = Annotated[int, Field(gt=0)]


class PythonCode(Task):
    """Contexts of the embedded corpus ``python`` (``raystudy.text.corpora``), split by file: one
    class, of which ``shots`` contexts are learnt from. What the installed CPython holds is its
    identity.

    Place: comes with Python
    Paper: after Hernandez et al., Scaling Laws for Transfer, 2021, arXiv 2102.01293
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = ("python",)
    metric: ClassVar[Judged] = "token-loss"
    modality: ClassVar[Modality] = "tokens"
    tokeniser: SerializeAsAny[Tokeniser] = Bytes()
    context: Positive = 128
    """T, in tokens."""
    num_validation: Positive = 512
    """Contexts at most, drawn from all files of the split; likewise ``num_test``."""
    num_test: Positive = 1024

    @property
    def name(self) -> str:
        return "python-code"

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    @cached_property
    def content(self) -> str:
        return content("python")

    @property
    def size(self) -> Size:
        return Size(len(self._all("train")), len(self.validation()), len(self._drawn("test")))

    def check(self) -> None:
        check("python")
        self.tokeniser.check()

    def num_train(self) -> Sequence[int]:
        return (len(self._all("train")),)

    def train(self) -> Examples:
        return _examples("train", self._all("train"))

    def validation(self) -> Examples:
        return self._drawn("validation")

    def _test(self, shift: str | None) -> Examples:
        return self._drawn("test")

    def _all(self, split: Split) -> Contexts:
        return _packed(split, self.tokeniser, self.context)  # pyright: ignore[reportArgumentType]

    def _drawn(self, split: Literal["validation", "test"]) -> Examples:
        every = _examples(split, self._all(split))
        most = self.num_test if split == "test" else self.num_validation
        order = np.argsort(uniform(0, f"{self.name}/{split}", every.ids), kind="stable")
        return every.take(np.sort(order[:most]))


def _examples(split: Split, inputs: Contexts) -> Examples:
    ids = [f"python-{split}-{i:07d}" for i in range(len(inputs))]
    return Examples(ids, inputs, np.zeros(len(inputs), np.int64))


@lru_cache(maxsize=8)
def _packed(split: Split, tokeniser: Tokeniser, context: int) -> Contexts:
    found = contexts(of_split(documents("python"), split), tokeniser, context)
    found.flags.writeable = False  # shared by all who ask
    return found
