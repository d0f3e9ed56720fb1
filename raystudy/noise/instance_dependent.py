"""Label noise where a model is unsure: what looks like another class is labelled so.

The margins file is parquet, one row an example, of ``MARGINS``: ``margin`` is the probability that
a given model gives the true class less that of the ``runner_up``, the likeliest other class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.compute import SetLookupOptions, call_function
from pydantic import Field

from raystudy.kinds import Annotations, Floats, Integers, Noise
from raystudy.noise.draws import count_classes, hits
from raystudy.spec import Rate

MARGINS = pa.schema({"id": pa.string(), "margin": pa.float64(), "runner_up": pa.int64()})
BLOCK = 1 << 14
"""Rows of logits that are worked on at once."""


class InstanceDependent(Noise):
    """An example becomes its runner-up with probability min(1, c · exp(−margin / temperature)), c
    such that the mean over the whole margins file is ``rate``: what lies near or beyond the model's
    boundary goes first (cf. Chen et al. 2021, Beyond Class-Conditional Assumption, arXiv
    2012.05458; Xia et al. 2020, Part-dependent Label Noise, arXiv 2006.07836).

    Each probability grows with the rate and knows nothing of the subset, so the noise nests across
    rates and sizes. A subset's own mean differs from ``rate`` by chance.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "label"
    elsewhere: ClassVar[frozenset[str]] = frozenset({"margins"})
    rate: Rate
    margins: str
    """A path or fsspec URL of what ``write_margins`` wrote. What it holds is part of the identity,
    where it lies is not."""
    temperature: Annotated[float, Field(ge=1e-3)] = 0.2
    """The margin over which the probability falls by a factor e; small ones flip all but the
    boundary's neighbours last, large ones approach noise that is blind to the image."""
    label: str | None = None
    """How tables call it, before its rate; needed to tell two margins files of a study apart."""

    @property
    def name(self) -> str:
        return f"{self.label or 'instance-dependent'}-{self.rate:g}-t{self.temperature:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    @cached_property
    def content(self) -> str:
        """A digest of the margins file. Raises FileNotFoundError if there is none."""
        with _opened(self.margins) as file:
            return hashlib.file_digest(file, _hasher).hexdigest()

    def check(self) -> None:
        """Raises FileNotFoundError or ValueError, naming the file, if the margins are amiss."""
        _read(self.margins)

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Raises ValueError for ids that the margins file lacks, and for margins that were made
        with other classes or labels."""
        num_classes = count_classes(self, clean)
        margins = _read(self.margins)
        rows = _rows_of(clean.ids, margins)
        labelled = clean.labels >= 0
        if missing := np.count_nonzero(labelled & (rows < 0)):
            raise ValueError(
                f"{self.margins}: lacks {missing:,} of {np.count_nonzero(labelled):,} labelled "
                "examples; write the margins of the whole source"
            )
        runner_up = margins["runner_up"].to_numpy()[rows]
        amiss = (runner_up < 0) | (runner_up >= num_classes) | (runner_up == clean.labels)
        if (labelled & amiss).any():
            raise ValueError(
                f"{self.margins}: a runner_up is the example's own label, or not one of the "
                f"{num_classes} classes; the margins belong to other labels"
            )
        chances = flip_probabilities(margins["margin"].to_numpy(), self.rate, self.temperature)
        hit = hits(self, clean, np.where(rows >= 0, chances[rows], 0), seed)
        return replace(clean, labels=np.where(hit, runner_up, clean.labels))


def flip_probabilities(margins: Floats, rate: float, temperature: float) -> NDArray[np.float64]:
    """min(1, c · exp(−margin / temperature)), c such that the mean is ``rate``. (N,) → (N,)."""
    from scipy.optimize import brentq

    if rate == 0:
        return np.zeros(len(margins))
    depth = margins / temperature

    def chances(log_c: float) -> NDArray[np.float64]:
        return np.exp(np.minimum(0, log_c - depth))  # as logarithms, which cannot overflow

    def excess(log_c: Any) -> float:
        return float(chances(log_c).mean()) - rate

    # At the low end no probability exceeds the rate, at the high end none falls below it.
    low, high = (float(end(depth)) + np.log(rate) for end in (np.min, np.max))
    return chances(float(brentq(excess, low - 1, high + 1, xtol=1e-13)))  # pyright: ignore


def write_margins(path: str, ids: Sequence[str], logits: Floats, labels: Integers) -> None:
    """Write the margins file of a model with ``logits`` (N, C) for examples with ``labels`` (N,).

    Examples without a label (−1) are left out. ``logits`` may be mapped from a file: they are read
    once, in blocks. Raises ValueError for shapes or labels that do not match, and for logits that
    are not finite.
    """
    if logits.ndim != 2 or not len(ids) == len(labels) == len(logits):
        raise ValueError(
            f"{len(ids):,} ids, {len(labels):,} labels and logits of shape {logits.shape} "
            "do not match; logits are (examples, classes)"
        )
    if logits.shape[1] < 2 or (len(labels) and labels.max() >= logits.shape[1]):
        raise ValueError(f"logits of {logits.shape[1]} classes are too few for these labels")
    with fsspec.open(path, "wb") as file, pq.ParquetWriter(file, MARGINS) as writer:
        for start in range(0, len(labels), BLOCK):
            rows = start + np.flatnonzero(labels[start : start + BLOCK] >= 0)
            margin, runner_up = _margins(logits[rows], labels[rows])
            columns = [[ids[row] for row in rows.tolist()], margin, runner_up]
            writer.write_table(pa.table(columns, schema=MARGINS))


def _margins(logits: Floats, labels: Integers) -> tuple[Floats, Integers]:
    """Softmax margin and runner-up of each example. Shapes (N,)."""
    if not np.isfinite(logits).all():
        raise ValueError("some logits are not finite; so the model's probabilities are unknown")
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf)
    likely = np.exp(shifted)
    likely /= likely.sum(axis=1, keepdims=True)
    each = np.arange(len(labels))
    true = likely[each, labels]
    likely[each, labels] = -1
    runner_up = likely.argmax(axis=1)
    return true - likely[each, runner_up], runner_up


def _read(path: str) -> pa.Table:
    """The margins file, checked."""
    with _opened(path) as file:
        try:
            table = pq.read_table(file, columns=MARGINS.names).select(MARGINS.names).cast(MARGINS)
        except (pa.ArrowException, OSError, KeyError) as error:
            wanted = ", ".join(f"{field.name} ({field.type})" for field in MARGINS)
            raise ValueError(f"{path}: not parquet with columns {wanted}: {error}") from error
    if not len(table):
        raise ValueError(f"{path}: holds no examples")
    if any(column.null_count for column in table.columns):
        raise ValueError(f"{path}: some values are missing")
    if not (np.abs(table["margin"].to_numpy()) <= 1).all():
        raise ValueError(f"{path}: some margins are not differences of two probabilities")
    if repeated := len(table) - len(table["id"].unique()):
        raise ValueError(f"{path}: {repeated:,} ids are there more than once")
    return table


def _rows_of(ids: Sequence[str], margins: pa.Table) -> Integers:
    """Where each id is among the margins, or −1. Shape (N,)."""
    found = call_function("index_in", [pa.array(ids, pa.string())], SetLookupOptions(margins["id"]))
    return found.fill_null(-1).to_numpy().astype(np.int64)


@contextmanager
def _opened(path: str):
    try:
        file_system, place = fsspec.url_to_fs(path)
        opened: Any = file_system.open(place, "rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"InstanceDependent.margins: there is no file {path}; make it with "
            "raystudy.noise.instance_dependent.write_margins"
        ) from error
    with opened as file:
        yield file


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=10)
