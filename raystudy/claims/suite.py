"""Accuracies of several adaptations over a suite of tasks, complete or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from raystudy.claims.accuracies import accuracies
from raystudy.kinds import Floats

Backbone = Mapping[str, str | int | None]
"""The ledger's columns that name one: method, source, size, noise, architecture; None for whatever
they hold."""


def over_suite(
    records: pl.DataFrame,
    tasks: Sequence[str],
    adaptations: Sequence[str],
    shots: str,
    backbone: Backbone,
) -> tuple[Floats, list[int]]:
    """Test accuracies in points (A adaptations, T tasks, S seeds) on one backbone, and the seeds.

    Raises ValueError naming the cells that are missing.
    """
    axes = {"adaptation": list(adaptations), "task": list(tasks), "seed": None}
    found, (_, _, seeds) = accuracies(records, {"shots": shots, **backbone}, axes)
    return found, seeds


def from_scratch(
    records: pl.DataFrame,
    tasks: Sequence[str],
    fine_tuning: str,
    shots: str,
    architecture: str | None,
    seeds: Sequence[int],
) -> Floats:
    """Test accuracies in points (T, S) of ``fine_tuning`` an untrained backbone.

    Raises ValueError naming the cells that are missing.
    """
    untrained = {
        "method": "none",
        "architecture": architecture,
        "adaptation": fine_tuning,
        "shots": shots,
    }
    return accuracies(records, untrained, {"task": list(tasks), "seed": list(seeds)})[0]
