"""Text in files, to be predicted token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SerializeAsAny

from raystudy.kinds import Examples, Judged, Modality, Size, TaskOnDisk, Tokeniser, Unit
from raystudy.shards.root import Root
from raystudy.tasks import contexts
from raystudy.text.documents import Document
from raystudy.text.on_disk import documents
from raystudy.tokenisers.bytes import Bytes

Positive = Annotated[int, Field(gt=0)]


class TextInFiles(TaskOnDisk):
    """Contexts of the documents in every file of a folder that matches ``pattern``: files, tars or
    parquet, as ``raystudy.sources.text_files`` has them; split by document. One class, of which
    ``shots`` contexts are learnt from.

    Place: any folder of text
    Paper: after Hernandez et al., Scaling Laws for Transfer, 2021, arXiv 2102.01293
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = ("text",)
    metric: ClassVar[Judged] = "token-loss"
    modality: ClassVar[Modality] = "tokens"
    label: str
    """How tables call it."""
    pattern: str = "**/*.txt"
    """``*`` stays within a folder, ``**/`` does not."""
    column: str = "text"
    """Of parquet files."""
    tokeniser: SerializeAsAny[Tokeniser] = Bytes()
    context: Positive = 128
    """T, in tokens."""
    num_validation: Positive = 512
    """Contexts at most, drawn from all documents of the split; likewise ``num_test``."""
    num_test: Positive = 1024

    @property
    def name(self) -> str:
        return self.label

    def check(self) -> None:
        self.tokeniser.check()
        super().check()

    def missing(self, root: Path) -> Sequence[str]:
        return () if root.is_dir() and self.files(root) else (f"no file matches {self.pattern}",)

    def files(self, root: Path) -> Sequence[str]:
        return Root(str(root)).glob(self.pattern)

    def documents(self) -> Iterable[Document]:
        return documents(Root(self.path), self.files(Path(self.path)), self.column)

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
