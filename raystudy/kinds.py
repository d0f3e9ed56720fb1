"""The extension surface: every abstract class of raystudy, on one page.

Adding a variant is adding one file to the folder of its kind (``sources/``, ``methods/``, …) with
one class that derives from the kind below. Instances are frozen specs: their fields are their
identity, so what changes a result must be a field, and where a result runs must not be.
Bump ``VERSION`` when the same fields start to mean another result.

Array shapes: N examples, H and W pixels, C classes, D features.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from raystudy import seal
from raystudy.key import canonical, digest, key

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    import torch
    from torch import Tensor, nn

    from raystudy.shards.image import Region
    from raystudy.shards.root import Root
    from raystudy.shards.table import Fault
    from raystudy.spec import Preprocessing
    from raystudy.tasks.domains import Suite

Floats = NDArray[np.float32] | NDArray[np.float64]
Integers = NDArray[np.int64]
T = TypeVar("T")


class Spec(BaseModel):
    """A frozen value whose fields are coerced, whose unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    VERSION: ClassVar[int] = 1

    @cached_property
    def key(self) -> str:
        """What this spec's results are stored under (see ``raystudy.key``)."""
        return key(self)

    def __hash__(self) -> int:
        return hash(self.key)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A variation, checked like any other spec, with a key of its own."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**values | dict(update or {}))

    def describe(self) -> dict[str, Any]:
        """The canonical form, as stored beside each result."""
        return canonical(self)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name not in cls.model_fields:
                near = difflib.get_close_matches(name, cls.model_fields, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"fields: {_list(cls)}"
                raise ValueError(f"{cls.__name__} has no field '{name}'; {hint}")
        return values


class Images(ABC):
    """N images, each of its own size, read when they are asked for: what a data set on disk holds
    in place of an array."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, rows: Integers) -> Images:
        """Those of ``rows`` (M,), in this order; nothing is read."""

    @abstractmethod
    def read(self, row: int) -> NDArray[np.uint8]:
        """(H, W, 3). Raises OSError or ValueError, naming the file, for one that is damaged."""


@dataclass(frozen=True)
class Examples:
    """Labelled examples in one order: ids (N,), inputs (N, …), labels (N,) as class indices."""

    ids: Sequence[str]
    inputs: NDArray[Any] | Images
    labels: Integers

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Integers) -> Examples:
        return Examples([self.ids[int(i)] for i in rows], self.inputs[rows], self.labels[rows])

    @property
    def array(self) -> NDArray[Any]:
        """The inputs of those that lie in memory, as all do that an adaptation is given."""
        if isinstance(self.inputs, Images):
            raise TypeError("these images are still on disk; raystudy.views.squares reads them")
        return self.inputs


@dataclass(frozen=True)
class Support:
    """What one cell may learn from: rows of a task's training examples, rows of its validation
    examples, and the seed of whatever else is drawn."""

    train: Integers
    validation: Integers
    seed: int


@dataclass(frozen=True)
class Annotations:
    """What supervises N examples: ids, labels (N,) as class indices or −1, captions."""

    ids: Sequence[str]
    labels: Integers
    captions: Sequence[str]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Stream:
    """Examples in one total order, and what their labels mean."""

    tables: Iterator[pa.Table]
    """Of ``raystudy.shards.table.SCHEMA``, one after the other; read no further than needed."""
    class_names: tuple[str, ...]


Modality = Literal["images", "tokens"]
Unit = tuple[str, int]
"""What examples are counted in, and how many of it one holds."""


class Network(Spec, ABC):
    """A backbone's architecture, and what one example is to it: an array of ``example_shape``.

    What it is built of is in ``raystudy.backbone``: specs know no torch.
    """

    kind: ClassVar[str] = "Architecture"
    modality: ClassVar[Modality]
    elsewhere: ClassVar[frozenset[str]] = frozenset({"label"})
    label: str | None = None
    """How tables call it, if not by its own name."""

    @property
    @abstractmethod
    def title(self) -> str:
        """How tables and figures call it."""

    @property
    @abstractmethod
    def example_shape(self) -> tuple[int, ...]: ...

    @property
    @abstractmethod
    def example_dtype(self) -> np.dtype[Any]: ...

    @property
    def unit(self) -> Unit:
        """What its examples are counted in, and how many of it one holds."""
        return "examples", 1

    @property
    @abstractmethod
    def guessed_flops(self) -> float | None:
        """Operations of one example, forward and backward, where they are known without building
        it; None: ``raystudy.cost`` counts them."""

    @abstractmethod
    def decode(self, data: bytes, out: NDArray[Any], region: Region | None) -> Fault | None:
        """The bytes of one example into ``out`` of ``example_shape``, or why they are of no use.
        ``region`` is the part of an image to be shown."""


class Tokeniser(Spec, ABC):
    """Text to tokens, the same for the same spec on every machine."""

    kind: ClassVar[str] = "Tokeniser"

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """The size of the vocabulary, at most 65,536; the last token ends a document."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.uint16]:
        """The tokens of a document, without its end. Shape (n,)."""

    @abstractmethod
    def decode(self, tokens: NDArray[np.uint16]) -> str:
        """The text of tokens (n,), ends of documents left out: ``decode(encode(t)) == t`` for any
        text of UTF-8."""

    def check(self) -> None:
        """Raise FileNotFoundError or ValueError if what it needs beside its fields is amiss."""

    @property
    def end_of_text(self) -> int:
        return self.num_tokens - 1


class Source(Spec, ABC):
    """Where pre-training examples come from: for each seed, a total order of examples.

    A subset is a prefix of that order (``raystudy.subset``), so subsets nest. A variant derives
    from one of the three kinds below.
    """

    kind: ClassVar[str] = "Source"

    @property
    @abstractmethod
    def name(self) -> str:
        """How tables and figures call it."""

    @abstractmethod
    def check(self) -> None:
        """Raise FileNotFoundError or ValueError, naming the way out, if it cannot be read."""

    @abstractmethod
    def known_size(self) -> int | None:
        """How many examples it has, where that is known without reading any."""

    @abstractmethod
    def inputs(self) -> Sequence[Source]:
        """The sources it is made from; empty for one that has shards of its own."""

    @property
    def unit(self) -> Unit:
        """What its examples are counted in, and how many of it one holds."""
        units = {source.unit for source in self.inputs()} or {("examples", 1)}
        if len(units) > 1:
            raise ValueError(f"source '{self.name}' mixes examples of {_units(units)}")
        return units.pop()


class Rendered(Source):
    """A source that makes up its examples; the store keeps its shards."""

    def inputs(self) -> Sequence[Source]:
        return ()

    @abstractmethod
    def render(self, folder: Path) -> None:
        """Write its shards, and ``classnames.txt`` where labels have names, into ``folder``."""


class OnDisk(Source):
    """A data set in its official layout, in a folder or below an object store's prefix.

    What it holds is its identity (``content``), where it lies is not.
    """

    elsewhere: ClassVar[frozenset[str]] = frozenset({"path", "index"})
    unindexed: ClassVar[frozenset[str]] = frozenset()
    """Fields that change how it is sampled or called, but nothing in its manifest."""
    path: str
    """A folder or any fsspec URL (``s3://bucket/prefix``)."""
    index: str | None = None
    """Where its manifest lies; by default in a folder of ``_raystudy`` below ``path``."""
    label: str | None = None
    """How tables call it, if not by its own name."""

    def inputs(self) -> Sequence[Source]:
        return ()

    @property
    def sampled_by(self) -> Literal["shard", "example"]:
        """``shard``: a subset takes whole shards, by hash, until it is full, so that reading cost
        follows the subset; only right where shards are random samples. ``example``: each by
        itself, which is always right."""
        return "example"

    @property
    def manifest_path(self) -> str:
        """One folder for each source and way of reading what lies at ``path``."""
        if self.index:
            return self.index
        skip = {"label", *self.elsewhere, *self.unindexed}
        own = {
            name: repr(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name not in skip and getattr(self, name) != field.get_default()
        }
        suffix = f".{digest(own)[:8]}" if own else ""
        return f"{self.path.rstrip('/')}/_raystudy/{_file_name(type(self))}{suffix}"

    def check(self) -> None:
        from raystudy.shards.manifest import stale
        from raystudy.shards.root import Root

        if lines := self.missing(Root(self.path)):
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            raise FileNotFoundError(f"{type(self).__name__}.path={self.path}: {lines[0]}{more}")
        if lines := stale(self):
            raise ValueError(
                f"{self.path} changed since it was indexed ({'; '.join(lines[:3])}); "
                f"bring its manifest up to date with: raystudy data index {self.path} "
                f"--source {_file_name(type(self))}"
            )

    @cached_property
    def content(self) -> str:
        """A digest of every example it holds, as its manifest says.

        Raises FileNotFoundError if there is no manifest yet.
        """
        from raystudy.shards.manifest import described

        return described(self.manifest_path)["content"]

    def known_size(self) -> int | None:
        from raystudy.shards.manifest import described

        try:
            return described(self.manifest_path)["num_examples"]
        except FileNotFoundError:
            return None

    @abstractmethod
    def missing(self, root: Root) -> Sequence[str]:
        """What its layout asks for and ``root`` lacks, one line each; empty if all is there."""

    @abstractmethod
    def shards(self, root: Root) -> Sequence[str]:
        """Paths below ``root`` of what is indexed one by one, in any order: tars, parquet files,
        tables of file names, or folders of images."""

    def metadata(self, root: Root) -> Any:
        """What ``annotate`` needs beside the shards, read once."""
        return None

    def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
        """The rows of one shard with the labels, captions and ids of this data set."""
        return rows

    def class_names(self, root: Root) -> tuple[str, ...]:
        """In label order; by default the lines of ``classnames.txt``, if there is one."""
        return tuple((root.read("classnames.txt") or b"").decode().splitlines())


class Derived(Source):
    """A source made from others: filtered, mixed, captioned, labelled."""

    def check(self) -> None:
        for source in self.inputs():
            source.check()

    @abstractmethod
    def arrange(self, streams: Sequence[Stream], seed: int) -> Stream:
        """The order of this source from the orders of its ``inputs()``, without reading ahead of
        what is asked for. Pure in (ids, seed)."""


class Noise(Spec, ABC):
    """A corruption of labels or captions, nested across rates and sizes.

    It sees the examples in the order of the source (``raystudy.subset``), of which every subset is
    a prefix: what becomes of example i is pure in (seed, its id, the examples before it).
    """

    kind: ClassVar[str] = "Noise"
    corrupts: ClassVar[Literal["label", "caption"]]

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def nominal_rate(self) -> float:
        """The share of examples meant to be corrupted; the realised share is recorded."""

    def check(self) -> None:
        """Raise FileNotFoundError or ValueError if what it needs beside its fields is amiss."""

    @abstractmethod
    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Labels or captions as training sees them; the other is returned as it came."""


class Method(Spec, ABC):
    """A pre-training objective over what a backbone makes of its examples: features (N, D) of
    images, logits (N, T, V) of tokens.

    ``plan`` reads study files without loading torch, so a variant imports it inside its functions.
    """

    kind: ClassVar[str] = "Method"
    modality: ClassVar[Modality] = "images"
    reads: ClassVar[frozenset[str]]
    """What it learns from, beside the examples: ``label``, ``caption``, or nothing."""
    num_views: ClassVar[int] = 1

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def mixes(self) -> bool:
        """Whether ``mix`` does anything."""
        return False

    def check(self) -> None:
        """Raise FileNotFoundError or ValueError if what it needs beside its fields is amiss."""

    def mix(
        self, view: Tensor, labels: Tensor, num_classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix the examples of one chunk: a training view (n, 3, S, S) and labels (n,) to another
        view and targets (n, C) that sum to one. All randomness is the generator's."""
        return view, labels

    @abstractmethod
    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        """The modules that train beside the backbone: heads, projectors, text towers."""

    @abstractmethod
    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        """Scalars with ``loss`` among them, in float32 under autocast too. ``features`` holds
        (N, D) for each view, ``labels`` is (N,), or (N, C) if the method mixes; of tokens, logits
        (N, T, V) and the tokens that follow, (N, T). Averaged over workers, the gradients are those
        of the global batch."""

    def constrain(self, parts: nn.ModuleDict) -> None:
        """Bring parameters back within their bounds, in place: called after each step of the
        optimiser, without gradients."""

    def zero_shot(
        self,
        parts: nn.ModuleDict,
        source_classes: Sequence[str],
        prompts: Sequence[Sequence[str]],
    ) -> nn.Module | None:
        """Features (N, D) → logits (N, C) for a task's classes, matched by name; None if it
        cannot. ``prompts`` holds, for each class, its name and then sentences about it."""
        return None


Group = Literal["natural", "specialised", "structured"]
Judged = Literal["accuracy", "mean-per-class", "token-loss"]


@dataclass(frozen=True)
class Size:
    """How many examples the whole of a task has, as published."""

    train: int
    validation: int
    test: int


class Task(Spec, ABC):
    """A downstream data set. Its test split is under seal: see ``raystudy.seal``."""

    kind: ClassVar[str] = "Task"
    class_names: ClassVar[tuple[str, ...]]
    metric: ClassVar[Judged] = "accuracy"
    """By which it is judged where it was published."""
    modality: ClassVar[Modality] = "images"
    in_distribution: ClassVar[Literal["test", "validation"]] = "test"
    """The split that is of the distribution that it is learnt from; the test split and its shifts
    are out of it otherwise."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def group(self) -> Group | None:
        """Its kind in the division of VTAB (Zhai et al. 2019, arXiv 1910.04867)."""
        return None

    @property
    def shifts(self) -> tuple[str, ...]:
        """Names of its other test sets."""
        return ()

    @property
    @abstractmethod
    def size(self) -> Size: ...

    @property
    def unit(self) -> Unit:
        """What its training examples are counted in, and how many of it one holds."""
        return "examples", 1

    @abstractmethod
    def check(self) -> None:
        """Raise FileNotFoundError or ValueError, naming the way out, if it cannot be read."""

    @abstractmethod
    def num_train(self) -> Sequence[int]:
        """Training examples of each class, known without reading an image. Length C. Text has one
        class, of which every context is an example."""

    @abstractmethod
    def train(self) -> Examples:
        """Images uint8 (N, H, W, 3), or ``Images``; contexts of tokens uint16 (N, T + 1)."""

    @abstractmethod
    def validation(self) -> Examples:
        """Likewise, for choosing hyper-parameters."""

    @abstractmethod
    def _test(self, shift: str | None) -> Examples:
        """The test images, or their shifted copies with the same ids and labels."""

    def sealed(self, shift: str | None = None) -> Examples:
        """The test split, or a shift of it. Raises SealError for all but ``stages/evaluate.py``,
        and ValueError for a shift that it has not."""
        seal.require_open(self.name)
        if shift is not None and shift not in self.shifts:
            known = ", ".join(self.shifts) or "none"
            raise ValueError(f"{type(self).__name__} has no shift '{shift}'; shifts: {known}")
        return self._test(shift)

    def prompts(self) -> Sequence[Sequence[str]]:
        """For each class its name, then sentences a caption might hold."""
        return [(name,) for name in self.class_names]

    def domain_of(self, id: str) -> str:
        """The domain that a training or validation example is from, where there are several."""
        return ""

    def part(self, shift: str) -> Integers | None:
        """Where a shift is a part of the test split: its rows. It is not read again, then."""
        return None

    def classes_of(self, shift: str) -> Sequence[Sequence[int]] | None:
        """Where a shift has other classes: for each of them the classes of the task that stand for
        it, of which the highest logit counts. None where it has the task's own."""
        return None


class TaskOnDisk(Task):
    """A task in its official layout in a folder. What it holds is its identity (``content``), where
    it lies is not."""

    elsewhere: ClassVar[frozenset[str]] = frozenset({"path"})
    path: str

    def check(self) -> None:
        if lines := self.missing(Path(self.path)):
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            raise FileNotFoundError(f"{type(self).__name__}.path={self.path}: {lines[0]}{more}")

    @cached_property
    def content(self) -> str:
        """A digest of the names and sizes of the files that it reads.

        Raises FileNotFoundError if they are not there.
        """
        self.check()
        names = sorted(self.files(Path(self.path)))
        return digest([(name, self.place(name).stat().st_size) for name in names])

    @abstractmethod
    def missing(self, root: Path) -> Sequence[str]:
        """What its layout asks for and ``root`` lacks, one line each; empty if all is there."""

    @abstractmethod
    def files(self, root: Path) -> Sequence[str]:
        """Paths below ``root`` of all that it reads, in any order."""

    def place(self, name: str) -> Path:
        """Where one of ``files`` lies, for data sets in several folders."""
        return Path(self.path) / name


class TaskOfDomains(TaskOnDisk):
    """A task in a folder for each domain: learnt from all of them but one, which is for testing."""

    in_distribution: ClassVar[Literal["test", "validation"]] = "validation"

    @property
    @abstractmethod
    def suite(self) -> Suite:
        """Its domains, and how they are divided."""

    @property
    def shifts(self) -> tuple[str, ...]:
        return self.suite.shifts

    @property
    def size(self) -> Size:
        return self.suite.size

    def missing(self, root: Path) -> Sequence[str]:
        return self.suite.missing(root)

    def files(self, root: Path) -> Sequence[str]:
        return self.suite.files(root)

    def num_train(self) -> Sequence[int]:
        return self.suite.num_train(self.path)

    def train(self) -> Examples:
        return self.suite.train(self.path)

    def validation(self) -> Examples:
        return self.suite.validation(self.path)

    def _test(self, shift: str | None) -> Examples:
        return self.suite.test(self.path, shift)

    def domain_of(self, id: str) -> str:
        return self.suite.domain_of(id)

    def part(self, shift: str) -> Integers | None:
        return self.suite.part(self.path, shift)


class Encoder(ABC):
    """A backbone ready to be adapted: what the extract stage hands to an adaptation."""

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """How its images are prepared. Raises TypeError for a network of tokens."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """A fresh copy of the backbone: preprocessed (N, 3, H, W) → features (N, D), or tokens
        (N, T) → logits (N, T, V)."""

    @abstractmethod
    def groups(self, taps: int) -> Mapping[str, int]:
        """Layer → how many features it gives, in the order of the columns, where each layer is
        pooled to about ``taps`` features (``Adaptation.taps``)."""

    @abstractmethod
    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> nn.Module | None:
        """Features (N, D) → logits (N, C), in evaluation mode on the CPU, or None where the
        backbone knows no names. It may share weights with what it came from."""


@dataclass(frozen=True)
class Adapted:
    """What an adaptation returns: inputs (N, …) → logits (N, C), and what it chose. Of text, the
    mean log-probability of each context's tokens stands for logits, (N, 1)."""

    predict: Callable[[NDArray[Any]], Floats]
    chosen: Mapping[str, float | str]
    num_tried: int = 1
    cost: Mapping[str, float] = field(default_factory=dict)
    """What it took, where that is known: ``flops`` of all that was tried, ``stored_bytes`` of what
    the task adds to the backbone."""


class Adaptation(Spec, ABC):
    """How a backbone is turned to a task with the examples it is given, and no others."""

    kind: ClassVar[str] = "Adaptation"
    inputs: ClassVar[Literal["features", "images", "tokens"]]
    uses_shots: ClassVar[bool] = True

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def taps(self) -> int | None:
        """Features of every layer, pooled to about this many of each and concatenated; None: those
        of the last layer."""
        return None

    def configurations(self) -> Sequence[Adaptation]:
        """The settings among which it chooses by validation, each with nothing left to choose: as
        many for every arm of a study."""
        return (self,)

    @abstractmethod
    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        """Fit on ``train``, choose on ``validation``; None where the backbone cannot do it."""


class Probe(Adaptation):
    """An adaptation that solves many few-shot problems over the same features together."""

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "features"

    @abstractmethod
    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted | None]:
        """One for each of ``supports``, which are rows of ``train`` and ``validation``."""

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        whole = Support(np.arange(len(train)), np.arange(len(validation)), seed)
        return self.adapt_all(train, validation, [whole], encoder, prompts)[0]


@dataclass(frozen=True)
class Scored:
    """Predictions of one split: logits (N, C) and labels (N,), −1 for what is of no class of the
    task."""

    logits: Floats
    labels: Integers
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[..., T], *args: Any) -> T:
        """``make(self, *args)``, computed once however many metrics ask for it."""
        if (make, *args) not in self._made:
            self._made[make, *args] = make(self, *args)
        return self._made[make, *args]


class Metric(Spec, ABC):
    """A number computed from stored predictions alone."""

    kind: ClassVar[str] = "Metric"

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of a metric key ``task/split/name``."""

    @abstractmethod
    def compute(self, logits: Floats, labels: Integers) -> float:
        """``logits`` (N, C), ``labels`` (N,)."""

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        """Of one split of a cell, which may be seen beside its others: ``scored`` has all that the
        cell predicted, ``validation`` and ``test`` among them. None where it says nothing, as of
        labels −1. Raises ValueError for a split without examples."""
        return self.compute(one.logits, one.labels) if (one := labelled(split, scored)) else None


class JointMetric(Metric):
    """A metric that shares with others what they compute on the way (``Scored.once``). It is nan
    where a logit is not finite."""

    @abstractmethod
    def of(self, scored: Scored) -> float:
        """Of finite logits of examples that all have a label."""

    def compute(self, logits: Floats, labels: Integers) -> float:
        return self._of(Scored(logits, labels))

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        return self._of(one) if (one := labelled(split, scored)) else None

    def _of(self, scored: Scored) -> float:
        return self.of(scored) if scored.once(_is_finite) else float("nan")


def labelled(split: str, scored: Mapping[str, Scored]) -> Scored | None:
    """The predictions of ``split``, or None where one of its labels is −1. Raises ValueError if
    it is not there or has no example."""
    if split not in scored or not len(scored[split].labels):
        known = ", ".join(sorted(scored)) or "none"
        raise ValueError(f"no prediction of the split '{split}' to judge; the cell has: {known}")
    return scored[split] if scored[split].labels.min() >= 0 else None


def _is_finite(scored: Scored) -> bool:
    return bool(np.isfinite(scored.logits).all())


class Law(Spec, ABC):
    """A curve y(x) with parameters: plain numpy, usable without the rest.

    ``x`` is (N,) for a law of one input, and (N, K) for one of K inputs in the order of ``inputs``.
    A law needs ``predict`` and either ``starts``, from which ``raystudy.laws.solver`` searches, or
    a ``solve`` of its own.
    """

    kind: ClassVar[str] = "Law"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    parameters: ClassVar[tuple[str, ...]]
    linear: ClassVar[tuple[str, ...]] = ()
    """Parameters in which y is linear together, and may be 0: given the others, least squares
    solves for them in closed form."""
    logarithmic: ClassVar[tuple[str, ...]] = ()
    """Positive parameters that may span decades, searched by their logarithm."""
    loss: ClassVar[str] = "log"
    """How far a run lies from the curve, unless told otherwise: ``raystudy.laws.losses``."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """The closed range of each parameter, as (lowest, highest)."""
        return ((-np.inf, np.inf),) * len(self.parameters)

    def check(self, x: Floats, y: Floats) -> None:
        """Raise ValueError, saying what is amiss, for runs that are outside the law's domain."""

    @abstractmethod
    def predict(self, x: Floats, parameters: Floats) -> Floats:
        """``x`` (N,) or (N, K), and ``parameters`` (…, P), to y (…, N)."""

    def jacobian(self, x: Floats, parameters: Floats) -> Floats | None:
        """The slope of y in each parameter, (…, P, N); None: differences stand in for it."""
        return None

    def starts(self, x: Floats, y: Floats) -> Floats | None:
        """Where to search from, (S, P), the same for the same runs; NaN for a parameter of
        ``linear``, which follows from the others. None: it cannot be searched for."""
        return None

    def solve(self, x: Floats, y: Floats, weights: Floats) -> Floats | None:
        """Weighted least squares on y for a batch: ``y`` and ``weights`` (B, N) to (B, P). None:
        the general solver does it."""
        return None


@dataclass(frozen=True)
class Verdict:
    """What a ledger says of a claim. ``effect`` lies in [``low``, ``high``], with 95 % unless the
    claim says another ``coverage``."""

    status: Literal["supported", "contradicted", "undecided"]
    effect: float
    low: float
    high: float
    unit: str
    detail: str
    freedom: float | None = None
    """Of Student's interval; None: seeds − 1. What a study could have detected follows from it
    (``raystudy.intervals.detectable``)."""


class Claim(Spec, ABC):
    """A statement of a paper as a test on a ledger."""

    kind: ClassVar[str] = "Claim"
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of the interval that decides: more for one of several looks at a growing ledger
    (``raystudy.decided``), or for one of many claims."""

    @property
    @abstractmethod
    def statement(self) -> str:
        """The claim in one sentence, with its origin."""

    @abstractmethod
    def judge(self, records: pl.DataFrame) -> Verdict:
        """``records`` as ``Ledger.read`` returns them; raises ValueError if cells are missing."""


def _file_name(cls: type[BaseModel]) -> str:
    """How the command line calls a variant: its file, dashes for underscores."""
    return cls.__module__.rpartition(".")[2].replace("_", "-")


def _units(units: Collection[Unit]) -> str:
    return " and ".join(f"{count:,} {name}" for name, count in sorted(units))


def _list(cls: type[BaseModel]) -> str:
    return ", ".join(cls.model_fields) or "none"
