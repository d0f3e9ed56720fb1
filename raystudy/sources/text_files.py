"""Text on disk: files, WebDataset tars, or parquet as the Hugging Face hub keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SerializeAsAny

from raystudy.kinds import Rendered, Tokeniser, Unit
from raystudy.shards.root import Root
from raystudy.text.documents import of_split
from raystudy.text.on_disk import content, documents
from raystudy.text.packing import packed, write_shards
from raystudy.tokenisers.bytes import Bytes


class TextFiles(Rendered):
    """Documents of every file that matches ``pattern``, packed into contexts::

        **/*.md                      each file is a document
        *.tar                        each of its .txt is (WebDataset)
        data/train-*.parquet         each row of its ``column`` is (Hugging Face)

    Names and sizes of the files are its identity (``content``), where they lie is not. Of all
    documents some are held out (``raystudy.text.documents``).
    """

    VERSION: ClassVar[int] = 1
    elsewhere: ClassVar[frozenset[str]] = frozenset({"path", "label"})
    path: str
    """A folder or any fsspec URL (``s3://bucket/prefix``)."""
    pattern: str = "**/*.txt"
    """``*`` stays within a folder, ``**/`` does not."""
    column: str = "text"
    """Of parquet files."""
    tokeniser: SerializeAsAny[Tokeniser] = Bytes()
    context: Annotated[int, Field(gt=0)] = 128
    """T, in tokens."""
    label: str | None = None
    """How tables call it, if not by the folder's name."""

    @property
    def name(self) -> str:
        return self.label or Root(self.path).name

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    @cached_property
    def content(self) -> str:
        """Raises FileNotFoundError if there is none."""
        self.check()
        return content(Root(self.path), self.files)

    def check(self) -> None:
        self.tokeniser.check()
        if not self.files:
            raise FileNotFoundError(f"TextFiles.path={self.path}: no file matches {self.pattern}")

    def known_size(self) -> int | None:
        return None

    def render(self, folder: Path) -> None:
        read = documents(Root(self.path), self.files, self.column)
        write_shards(packed(of_split(read, "train"), self.tokeniser, self.context), folder)

    @property
    def files(self) -> Sequence[str]:
        """Paths below ``path``; none if it is not there."""
        return Root(self.path).glob(self.pattern)
