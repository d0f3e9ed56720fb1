"""Text made on the spot: many small documents of invented words."""

from pathlib import Path

from raystudy.decoder import Decoder
from raystudy.randomness import generator
from raystudy.sources.text_files import TextFiles

TINY = Decoder(num_layers=2, width=16, num_heads=2, context=16)


def document(i: int, num_words: int = 40) -> str:
    rng = generator(0, "tests/document", i)
    words = ["".join(map(chr, rng.integers(97, 103, size=rng.integers(1, 5)))) for _ in range(60)]
    return " ".join(words[int(w)] for w in rng.integers(0, 60, size=num_words)) + "\n"


def text_files(folder: Path, num_documents: int = 60) -> TextFiles:
    """A source of ``num_documents`` files, with contexts of 16 bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num_documents):
        (folder / f"{i:04d}.txt").write_text(document(i))
    return TextFiles(path=str(folder), context=TINY.context, label="words")
