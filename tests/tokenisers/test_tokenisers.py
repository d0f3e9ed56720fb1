"""Tokenisers: nothing is lost, the vocabulary is as stated, what is learnt is always the same."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.kinds import Tokeniser
from raystudy.tokenisers.byte_pairs import BytePairs
from raystudy.tokenisers.bytes import Bytes

PAIRS = BytePairs(vocabulary=600, learnt_from=("python",))
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)


def there(tokeniser: Tokeniser) -> Tokeniser:
    if isinstance(tokeniser, BytePairs):
        pytest.importorskip("tokenizers")
    return tokeniser


@pytest.mark.parametrize("tokeniser", [Bytes(), PAIRS], ids=lambda t: t.name)
class TestTokeniser:
    @given(text=TEXT)
    @settings(deadline=None, max_examples=60)
    def test_text_comes_back(self, tokeniser: Tokeniser, text: str) -> None:
        tokens = there(tokeniser).encode(text)
        assert tokens.dtype == np.uint16
        assert tokeniser.decode(tokens) == text
        assert tokens.max(initial=0) < tokeniser.end_of_text == tokeniser.num_tokens - 1

    def test_what_a_text_says_of_its_end_is_text(self, tokeniser: Tokeniser) -> None:
        text = "a<|endoftext|>b"
        assert there(tokeniser).decode(tokeniser.encode(text)) == text


def test_byte_pairs_shorten_code() -> None:
    there(PAIRS)
    code = "def __init__(self, name):\n        self.name = name\n"
    assert len(PAIRS.encode(code)) < 0.6 * len(Bytes().encode(code))


def test_byte_pairs_are_learnt_alike_in_every_process() -> None:
    there(PAIRS)
    script = (
        "from raystudy.tokenisers.byte_pairs import BytePairs\n"
        "t = BytePairs(vocabulary=600, learnt_from=('python',))\n"
        "print(t.encode('for key, value in self._items():').tolist(), t.key)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    here = PAIRS.encode("for key, value in self._items():").tolist()
    assert found.stdout.strip() == f"{here} {PAIRS.key}"


def test_a_file_stands_for_learning(tmp_path) -> None:
    there(PAIRS)
    learnt = PAIRS._opened
    for name in ("a.json", "b.json"):
        learnt.save(str(tmp_path / name))
    size = learnt.get_vocab_size()
    one, two = (BytePairs(vocabulary=size, path=str(tmp_path / n)) for n in ("a.json", "b.json"))
    assert one.key == two.key != PAIRS.key
    assert one.encode("import os").tolist() == PAIRS.encode("import os").tolist()
    with pytest.raises(ValueError, match="vocabulary=700"):
        BytePairs(vocabulary=700, path=str(tmp_path / "a.json")).encode("x")
    with pytest.raises(FileNotFoundError, match="no such file"):
        BytePairs(path=str(tmp_path / "none.json")).check()
