"""How much data of its own is a pre-training worth? Scaling laws for transfer, one file for texts
and for images.

Models of several sizes N learn a task from D_F of its examples, from scratch and after
pre-training, each to its early-stopped optimum at the best of the same learning rates. The data
that the model from scratch needs to do as well is D_E; what pre-training stood for is
D_T = D_E − D_F, for which Hernandez et al. 2021 (arXiv 2102.01293) find D_T = k·D_F^α·N^β: α says
how near what was learnt before lies to the task (smaller is nearer), β how far the model
generalises. Their nearer pre-training is a half of the farther one and a half of something else.

``--modality text``: decoders over bytes, technical English against an even mixture of it and C++
headers, CPython's own library; D_F counts tokens. ``--scale paper`` is the published grid over data
on disk, for which ``raystudy plan`` needs none of it: ``text`` and ``code`` (no Python) in parquet
files, ``python`` in files of their own, and ``tokenizer.json``.

``--modality image``: small ResNets, rendered symbols against an even mixture of symbols and printed
letters and digits, handwritten digits. D_F counts images; when to stop and at which rate is chosen
on 200 more, in both arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from raystudy.adapt.fine_tune_decoder import FineTuneDecoder
from raystudy.adapt.finetune import FineTune
from raystudy.claims.nearer_transfers import NearerHasSmallerExponent
from raystudy.claims.size_transfers import TransferGrowsWithSize
from raystudy.decoder import Decoder
from raystudy.kinds import Source, Task
from raystudy.laws.effective_data import EffectiveData
from raystudy.methods.next_token import NextToken
from raystudy.methods.supervised import Supervised
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.mixture import Mixture
from raystudy.sources.text import Text
from raystudy.sources.text_files import TextFiles
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Grid,
    Optimisation,
    Preprocessing,
    Study,
)
from raystudy.tasks.digits import Digits
from raystudy.tasks.python_code import PythonCode
from raystudy.tasks.text_in_files import TextInFiles
from raystudy.tokenisers.byte_pairs import BytePairs

Scale = Literal["laptop", "paper", "tiny"]


def study(
    scale: Scale = "laptop",
    modality: Literal["text", "image"] = "text",
    seeds: int | None = None,
    more_scratch: str = "",
    data: str = "data",
) -> Study:
    """``--seeds`` paired seeds (three for text, four for images); ``--more-scratch 25,35`` adds
    from-scratch points (examples of each class of an image task, contexts of a text) where the
    report says that D_E is not bracketed; ``--scale tiny`` is a smoke test of a minute; ``--data``
    is the folder below which the data of ``--scale paper`` lies."""
    every = tuple(range((3 if modality == "text" else 4) if seeds is None else seeds))
    try:
        more = tuple(int(number) for number in more_scratch.split(",") if number.strip())
    except ValueError as error:
        raise ValueError(f"more_scratch={more_scratch!r} is not a list as in 25,35") from error
    if modality == "text":
        return text(scale, every, more, data)
    return image(scale, every, more)


# English prose and C++ headers, and CPython's own library.


def text(scale: Scale, seeds: tuple[int, ...], more: tuple[int, ...], data: str) -> Study:
    at = TEXT[scale]
    prose, code, python = on_disk(at, data) if scale == "paper" else embedded(at)
    both = Mixture(sources=(prose, code), label=f"{prose.name} + {code.name}")
    common: dict[str, Any] = {
        "architectures": tuple(
            Decoder(
                num_layers=layers,
                width=width,
                num_heads=heads,
                context=at.context,
                vocabulary=at.vocabulary,
            )
            for layers, width, heads in at.decoders
        ),
        "tasks": (python,),
        "adaptations": (at.tuning,),
        "seeds": seeds,
    }
    pretrained = Grid(
        methods=(NextToken(),),
        sources=(prose, both),
        sizes=(at.pretrained_on,),
        budget=Budget(batch_size=at.batch_size),
        optimisation=Optimisation(learning_rate=at.learning_rate),
        shots=at.few,
        **common,
    )
    scratch = Grid(shots=tuple(sorted({*at.from_scratch, *more})), **common)
    return asked("text", scale, (scratch, pretrained), python.name, (both.name, prose.name))


def embedded(at: OfText) -> tuple[Source, Source, Task]:
    prose, cpp = (Text(corpus=c, context=at.context) for c in ("prose", "cpp"))
    python = PythonCode(context=at.context, num_validation=at.num_validation, num_test=at.num_test)
    return prose, cpp, python


def on_disk(at: OfText, data: str) -> tuple[Source, Source, Task]:
    pairs = BytePairs(vocabulary=at.vocabulary, path=f"{data}/tokenizer.json")
    how: dict[str, Any] = {"tokeniser": pairs, "context": at.context}
    words, code = (
        TextFiles(path=f"{data}/{name}", pattern="**/*.parquet", **how) for name in ("text", "code")
    )
    python = TextInFiles(
        path=f"{data}/python",
        label="python",
        pattern="**/*.py",
        num_validation=at.num_validation,
        num_test=at.num_test,
        **how,
    )
    return words, code, python


class OfText(NamedTuple):
    """A scale of the study of text; data is counted in contexts."""

    context: int
    decoders: tuple[tuple[int, int, int], ...]
    """Layers, width, heads."""
    pretrained_on: int
    batch_size: int
    learning_rate: float
    few: tuple[int, ...]
    """Fine-tuning data."""
    from_scratch: tuple[int, ...]
    tuning: FineTuneDecoder
    num_validation: int = 256
    num_test: int = 512
    vocabulary: int = 257


TEXT: dict[Scale, OfText] = {
    "tiny": OfText(
        context=32,
        decoders=((1, 16, 1), (1, 24, 1)),
        pretrained_on=256,
        batch_size=32,
        learning_rate=1e-2,
        few=(8, 16),
        from_scratch=(8, 16, 32, 64),
        tuning=FineTuneDecoder(learning_rates=(1e-2,), max_steps=20),
        num_validation=32,
        num_test=64,
    ),
    # 12k, 50k and 99k parameters; 2,000 to 16,000 tokens of Python after a million of others. From
    # scratch only as far as a transferred one gets: with more than five tokens a parameter training
    # hardly ever stops. The rates are a factor of five apart for what is pre-trained wants the low
    # one, what is not the high one, and both arms are given both.
    "laptop": OfText(
        context=128,
        decoders=((1, 32, 2), (1, 64, 2), (2, 64, 2)),
        pretrained_on=8192,
        batch_size=32,
        learning_rate=3e-3,
        few=(16, 48, 128),
        from_scratch=(16, 32, 64, 128, 256, 448),
        tuning=FineTuneDecoder(learning_rates=(1e-3, 5e-3)),
    ),
    # 0.4M to 1.2B parameters; 33,000 to 34 million tokens of Python after 26 billion of others,
    # none of them seen twice. Shapes, amounts and rates are of the kind that Kaplan et al. 2020
    # (arXiv 2001.08361) used: Hernandez et al. give ranges, and no table of their grid.
    "paper": OfText(
        context=2048,
        decoders=(
            *((2, 128, 2), (4, 256, 4), (8, 512, 8), (12, 768, 12)),
            *((24, 1024, 16), (24, 2048, 16)),
        ),
        pretrained_on=12_800_000,
        batch_size=256,
        learning_rate=6e-4,
        few=(16, 64, 256, 1024, 4096, 16_384),
        from_scratch=(16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144),
        tuning=FineTuneDecoder(
            learning_rates=(1e-4, 3e-4, 1e-3), batch_size=256, max_steps=200_000
        ),
        num_validation=1024,
        num_test=2048,
        vocabulary=50_257,
    ),
}


# Rendered characters, and handwritten digits.


def image(scale: Scale, seeds: tuple[int, ...], more: tuple[int, ...]) -> Study:
    if scale == "paper":
        raise ValueError("--scale=paper: the published study is of text; take laptop")
    tiny = scale == "tiny"
    pool = 400 if tiny else 6_400
    latin, symbols = (
        Glyphs(script=s, num_examples=pool, image_size=16) for s in ("latin", "symbols")
    )
    both = Mixture(sources=(symbols, latin), label="symbols + latin")
    digits = Digits()
    common: dict[str, Any] = {
        "architectures": tuple(resnet(width) for width in ((4, 8) if tiny else (6, 12, 24))),
        "tasks": (digits,),
        "adaptations": (TINY_TUNING if tiny else TUNING,),
        "seeds": seeds,
    }
    pretrained = Grid(
        methods=(Supervised(),),
        sources=(symbols, both),
        sizes=(pool,),
        budget=Budget(epochs=1 if tiny else 8, batch_size=128),
        optimisation=Optimisation(learning_rate=1e-2),
        augmentation=VIEWS,
        shots=(1, 2) if tiny else (1, 2, 5, 10),
        **common,
    )
    few = (1, 2, 5, 20) if tiny else (1, 2, 3, 5, 10, 20, 40, 80)
    scratch = Grid(shots=tuple(sorted({*few, *more})), **common)
    return asked("image", scale, (scratch, pretrained), digits.name, (both.name, symbols.name))


def resnet(width: int) -> Architecture:
    return Architecture(
        name="resnet18",
        args={"layers": [1, 1, 1, 1], "channels": [width, 2 * width, 4 * width, 8 * width]},
        preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
        label=f"resnet, {width} wide",
    )


VIEWS = Augmentation(
    rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
)
TUNING = FineTune(learning_rates=(1e-3, 3e-3, 1e-2), num_steps=200, evaluate_every=20, patience=3)
TINY_TUNING = FineTune(learning_rates=(3e-3,), num_steps=20, evaluate_every=10, patience=2)
"""Of both arms alike: neither is favoured by how hard it was tried."""


def asked(
    modality: str, scale: Scale, grids: Sequence[Grid], task: str, near_and_far: tuple[str, str]
) -> Study:
    """The study of these grids, and what it asks of them."""
    near, far = near_and_far
    return Study(
        name=f"transfer-laws-{modality}" + ("" if scale == "laptop" else f"-{scale}"),
        title="How much data of its own is a pre-training worth?",
        grids=tuple(grids),
        law=EffectiveData(),
        claims=(
            NearerHasSmallerExponent(task=task, near=near, far=far),
            TransferGrowsWithSize(task=task, source=near),
            TransferGrowsWithSize(task=task, source=far),
        ),
    )
