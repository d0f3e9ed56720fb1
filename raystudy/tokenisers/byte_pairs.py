"""Byte pairs: the pairs of tokens that come most often become tokens of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from raystudy.key import digest
from raystudy.kinds import Tokeniser
from raystudy.text.corpora import Corpus, check, content, documents
from raystudy.text.documents import of_split

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TRAINING_BYTES = 4 << 20
"""Of each corpus that is learnt from: the most common pairs need no more."""


class BytePairs(Tokeniser):
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), by the
    ``tokenizers`` library: learnt from the training documents of the embedded corpora, or read from
    a ``tokenizer.json``.

    What it learnt from is its identity (``content``), where a file lies is not.
    """

    VERSION: ClassVar[int] = 1
    elsewhere: ClassVar[frozenset[str]] = frozenset({"path"})
    vocabulary: Annotated[int, Field(ge=257, le=1 << 16)] = 1024
    """With the 256 bytes and the end of a document."""
    learnt_from: tuple[Corpus, ...] = ("prose", "python")
    path: str | None = None
    """Of a ``tokenizer.json`` with so large a vocabulary, of which the last token ends a document:
    that is used in place of learning one."""

    @property
    def name(self) -> str:
        return f"byte pairs {self.vocabulary:,}"

    @cached_property
    def content(self) -> str:
        """Raises FileNotFoundError if there is no file at ``path``."""
        if self.path:
            return hashlib.blake2b(Path(self.path).read_bytes(), digest_size=10).hexdigest()
        return digest([content(corpus) for corpus in self.learnt_from])

    @property
    def num_tokens(self) -> int:
        return self.vocabulary

    def check(self) -> None:
        from importlib.util import find_spec

        if find_spec("tokenizers") is None:
            raise FileNotFoundError(
                "BytePairs needs the library tokenizers: pip install 'raystudy[text]'"
            )
        if self.path and not Path(self.path).is_file():
            raise FileNotFoundError(f"BytePairs.path={self.path}: there is no such file")
        for corpus in () if self.path else self.learnt_from:
            check(corpus)

    def encode(self, text: str) -> NDArray[np.uint16]:
        return np.array(self._opened.encode(text, add_special_tokens=False).ids, np.uint16)

    def decode(self, tokens: NDArray[np.uint16]) -> str:
        return self._opened.decode(tokens[tokens != self.end_of_text].tolist())

    @property
    def _opened(self) -> Tokenizer:
        return _opened(self)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=4)
def _opened(spec: BytePairs) -> Tokenizer:
    """Raises FileNotFoundError, and ValueError for a vocabulary that is not as large as ``spec``
    says."""
    spec.check()
    from tokenizers import Tokenizer

    if not spec.path:
        return _learnt(spec)
    found = Tokenizer.from_file(spec.path)
    found.encode_special_tokens = True  # what a document says of its end is text like any other
    if found.get_vocab_size() != spec.vocabulary:
        raise ValueError(
            f"BytePairs.vocabulary={spec.vocabulary:,}: {spec.path} has {found.get_vocab_size():,}"
        )
    return found


def _learnt(spec: BytePairs) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(spec), trainer)
    return tokenizer


def _training_texts(spec: BytePairs) -> Iterator[str]:
    for corpus in spec.learnt_from:
        left = MAX_TRAINING_BYTES
        for document in of_split(documents(corpus), "train"):
            yield document.text
            left -= len(document.text)
            if left < 0:
                break
