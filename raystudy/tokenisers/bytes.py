"""The bytes of UTF-8, each a token."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Tokeniser


class Bytes(Tokeniser):
    """256 tokens, and the end of a document: nothing to learn, and no text that it cannot write."""

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return "bytes"

    @property
    def num_tokens(self) -> int:
        return 257

    def encode(self, text: str) -> NDArray[np.uint16]:
        return np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.uint16)

    def decode(self, tokens: NDArray[np.uint16]) -> str:
        return tokens[tokens < 256].astype(np.uint8).tobytes().decode("utf-8", "replace")
