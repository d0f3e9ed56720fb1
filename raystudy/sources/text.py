"""Text that comes with Python and the dependencies, without any download."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SerializeAsAny

from raystudy.kinds import Rendered, Tokeniser, Unit
from raystudy.text.corpora import Corpus, check, content, documents
from raystudy.text.documents import of_split
from raystudy.text.packing import packed, write_shards
from raystudy.tokenisers.bytes import Bytes


class Text(Rendered):
    """The training documents of an embedded corpus (``raystudy.text.corpora`` says what is in them
    and how much), packed into contexts. What the installed versions hold is its identity."""

    VERSION: ClassVar[int] = 1
    corpus: Corpus
    tokeniser: SerializeAsAny[Tokeniser] = Bytes()
    context: Annotated[int, Field(gt=0)] = 128
    """T, in tokens."""

    @property
    def name(self) -> str:
        return self.corpus

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    @cached_property
    def content(self) -> str:
        return content(self.corpus)

    def check(self) -> None:
        check(self.corpus)
        self.tokeniser.check()

    def known_size(self) -> int | None:
        return None

    def render(self, folder: Path) -> None:
        kept = of_split(documents(self.corpus), "train")
        write_shards(packed(kept, self.tokeniser, self.context), folder)
