"""Python code: CPython's own library, to be predicted token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field, SerializeAsAny

from raystudy.kinds import Examples, Judged, Modality, Size, Task, Tokeniser, Unit
from raystudy.tasks import contexts
from raystudy.text import corpora
from raystudy.text.documents import Document
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

    @cached_property
    def content(self) -> str:
        return corpora.content("python")

    def check(self) -> None:
        corpora.check("python")
        self.tokeniser.check()

    def documents(self) -> Iterable[Document]:
        return corpora.documents("python")

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    @property
    def size(self) -> Size:
        return contexts.size(self)

    def num_train(self) -> Sequence[int]:
        return (len(contexts.packed(self, "train")),)

    def train(self) -> Examples:
        return contexts.every(self, "train")

    def validation(self) -> Examples:
        return contexts.drawn(self, "validation")

    def _test(self, shift: str | None) -> Examples:
        return contexts.drawn(self, "test")
