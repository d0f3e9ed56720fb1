"""Annotated examples, and one noise of each class as a function of its rate."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raystudy.kinds import Annotations, Noise
from raystudy.noise.class_conditional import ClassConditional
from raystudy.noise.dropped_words import DroppedWords
from raystudy.noise.instance_dependent import InstanceDependent, write_margins
from raystudy.noise.pair import Pair
from raystudy.noise.shuffled_captions import ShuffledCaptions
from raystudy.noise.symmetric import Symmetric
from raystudy.noise.template_captions import TemplateCaptions
from raystudy.noise.transition import Transition
from raystudy.noise.typos import Typos

NAMES = ("ant", "bee", "cat", "dog")
C = len(NAMES)
MATRIX = ((0.0, 0.5, 0.3, 0.2), (0.1, 0.6, 0.3, 0.0), (0.0, 0.0, 1.0, 0.0), (0.2, 0.0, 0.0, 0.8))
WORDS = (
    "red",
    "a",
    "large",
    "of",
    "cat",
    "über",
    "sleeping",
    "naïve",
    "мышь",
    "on",
    "grass,",
    "猫",
)

Make = Callable[[float], Noise]


def examples(num: int) -> Annotations:
    """Labels in turn, distinct captions; one in seven lacks a label, one in eleven a caption."""
    rng = np.random.default_rng(num)
    captions = [f"{' '.join(rng.choice(WORDS, 1 + i % 9))} number{i}" for i in range(num)]
    return Annotations(
        ids=[f"shard/{i}" for i in range(num)],
        labels=np.array([-1 if i % 7 == 6 else i % C for i in range(num)], dtype=np.int64),
        captions=["" if i % 11 == 10 else caption for i, caption in enumerate(captions)],
        class_names=NAMES,
    )


def prefix(some: Annotations, num: int) -> Annotations:
    return Annotations(some.ids[:num], some.labels[:num], some.captions[:num], some.class_names)


NUM = 4000
CLEAN = examples(NUM)


@pytest.fixture(scope="session")
def clean() -> Annotations:
    return CLEAN


@pytest.fixture(scope="session")
def margins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The margins of a model that is unsure of everything in its own way."""
    path = tmp_path_factory.mktemp("margins") / "margins.parquet"
    logits = np.random.default_rng(0).normal(size=(NUM, C), scale=2)
    write_margins(str(path), CLEAN.ids, logits, CLEAN.labels)
    return path


@pytest.fixture(
    params=[
        *("symmetric", "pair", "transition", "class_conditional", "instance_dependent"),
        *("shuffled_captions", "dropped_words", "typos", "template_captions"),
    ]
)
def make(request: pytest.FixtureRequest, margins: Path) -> Make:
    makers: dict[str, Make] = {
        "symmetric": lambda rate: Symmetric(rate=rate),
        "pair": lambda rate: Pair(rate=rate),
        "transition": lambda rate: Transition(matrix=MATRIX, strength=rate),
        "class_conditional": lambda rate: ClassConditional(
            rates={"ant": rate, "dog": rate / 2}, to={"ant": "bee"}
        ),
        "instance_dependent": lambda rate: InstanceDependent(rate=rate, margins=str(margins)),
        "shuffled_captions": lambda rate: ShuffledCaptions(rate=rate),
        "dropped_words": lambda rate: DroppedWords(rate=rate),
        "typos": lambda rate: Typos(rate=rate),
        "template_captions": lambda rate: TemplateCaptions(rate=rate),
    }
    return makers[request.param]
