"""ImageNet's thousand classes: their wnids and the words for them.

Both come with packages that are there anyway, of which only the files are read: neither package is
imported, and torch with it, for that takes seconds. Words and sentences are those with which CLIP
was evaluated (Radford et al. 2021, arXiv 2103.00020), as open_clip holds them.
"""

from __future__ import annotations

import importlib.util
import runpy
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any


@cache
def wnids() -> tuple[str, ...]:
    """In label order, which is their own."""
    return tuple(_of_timm("imagenet_synsets.txt"))


@cache
def labels() -> dict[str, int]:
    """Wnid → label."""
    return {wnid: label for label, wnid in enumerate(wnids())}


@cache
def words() -> tuple[str, ...]:
    """In label order; where CLIP has the same words for two classes, WordNet's lemmas."""
    said = tuple(_of_open_clip()["IMAGENET_CLASSNAMES"])
    uses = Counter(said)
    pairs = (line.partition("\t") for line in _of_timm("imagenet_synset_to_lemma.txt"))
    lemmas = {wnid: lemma for wnid, _, lemma in pairs}
    return tuple(
        lemmas[wnid] if uses[name] > 1 else name for wnid, name in zip(wnids(), said, strict=True)
    )


@cache
def templates() -> tuple[str, ...]:
    """CLIP's seven sentences, with {} for the class."""
    return tuple(sentence("{}") for sentence in _of_open_clip()["SIMPLE_IMAGENET_TEMPLATES"])


def _of_timm(name: str) -> list[str]:
    return (_folder("timm") / "data" / "_info" / name).read_text("utf-8").splitlines()


@cache
def _of_open_clip() -> dict[str, Any]:
    """What a file of constants defines. Raises ImportError if it lacks what is asked of it."""
    found = runpy.run_path(str(_folder("open_clip") / "zero_shot_metadata.py"))
    if not {"IMAGENET_CLASSNAMES", "SIMPLE_IMAGENET_TEMPLATES"} <= found.keys():
        raise ImportError("open_clip has no names of ImageNet's classes; install open_clip_torch 3")
    return found


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if not spec or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"names of ImageNet's classes come with {package}; install it")
    return Path(spec.submodule_search_locations[0])
