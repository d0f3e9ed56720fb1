"""Test accuracies of a ledger as an array, complete or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import polars as pl
from pydantic import Field

from raystudy.kinds import Claim, Floats

ShotsName = Annotated[str, Field(coerce_numbers_to_str=True)]
"""As the ledger writes them: "1", "5", …, "full"."""

NO_INTERVAL = ", which gives no interval"
"""Of a single seed or task."""
Tasks = str | tuple[str, ...]
"""One, or several that stand in for seeds (``replicated``)."""

SETTING = ("task", "adaptation", "method", "source", "shots", "architecture")
DISTINGUISHING = ("architecture", "noise_rate", "num_train", "backbone", "cell")


def accuracies(
    records: pl.DataFrame,
    fixed: Mapping[str, str | int | None],
    axes: Mapping[str, Sequence[str | int] | None],
) -> tuple[Floats, list[list]]:
    """Test accuracy in points (0 to 100) over ``axes``, and the levels of each axis.

    ``fixed`` names the value of the other columns, or None for whatever they hold. An axis given
    as None takes the levels that the fixed columns leave, sorted.

    Raises ValueError naming the cells that are missing, and where several records claim a place.
    """
    held = {"metric": "accuracy", "split": "test", **fixed}
    wanted = {k: [v] for k, v in held.items() if v is not None}
    wanted |= {k: list(v) for k, v in axes.items() if v is not None}
    rows = records.filter(pl.col(k).is_in(v) for k, v in wanted.items())
    asked = _text({k: v for k, v in fixed.items() if v is not None})
    if rows.is_empty():
        among = _text({k: v for k, v in axes.items() if v is not None})
        raise ValueError(f"no test accuracy for {', '.join(filter(None, (asked, among)))}")

    levels = [list(v or rows[k].unique().sort()) for k, v in axes.items()]
    places = [pl.Series(k, v) for k, v in zip(axes, levels, strict=True)]
    grid = places[0].to_frame()
    for place in places[1:]:
        grid = grid.join(place.to_frame(), how="cross")

    names = list(axes)
    if len(twice := rows.filter(rows.select(names).is_duplicated())):
        place = twice.row(0, named=True)
        same = twice.filter(pl.col(k) == place[k] for k in names)
        differ = [c for c in DISTINGUISHING if same[c].n_unique() > 1]
        raise ValueError(
            f"{len(same)} records of {_text({k: place[k] for k in names})} with {asked} differ in "
            f"{', '.join(differ) or 'nothing'}; name one in the claim, or judge the records of one"
        )
    missing = grid.join(rows, on=names, how="anti")
    if len(missing):
        shown = "; ".join(_text(cell) for cell in missing.head(5).iter_rows(named=True))
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(f"with {asked}, cells are missing: {shown}{more}; run them")
    values = grid.join(rows, on=names, how="left", maintain_order="left")["value"]
    return 100 * values.to_numpy().reshape([len(v) for v in levels]), levels


def clean_and_noisy(records: pl.DataFrame, claim: Claim, noise: str) -> tuple[Floats, list, list]:
    """``accuracies`` of clean data and of ``noise``, where all else is as the fields of ``claim``
    have it: (2, sizes, seeds), and the sizes and seeds."""
    fixed = claim.model_dump(include=set(SETTING))
    axes = {"noise": ["clean", noise], "size": None, "seed": None}
    found, (_, sizes, seeds) = accuracies(records, fixed, axes)
    return found, sizes, seeds


def replicated(
    records: pl.DataFrame,
    task: Tasks,
    fixed: Mapping[str, str | int | None],
    axes: Mapping[str, Sequence[str | int] | None],
) -> tuple[Floats, list[list], str]:
    """``accuracies`` over ``axes`` and then over what repeats them, the levels of ``axes``, and
    what repeats them in words.

    Of one task its seeds do. Of several tasks each is one repetition, the mean of its seeds: an
    interval is then of tasks like these, and of luck too, as far as luck differs between tasks.
    """
    if isinstance(task, str):
        found, (*levels, seeds) = accuracies(
            records, {**fixed, "task": task}, {**axes, "seed": None}
        )
        return found, levels, _counted(len(seeds), "seed")
    found, (*levels, _, seeds) = accuracies(
        records, fixed, {**axes, "task": list(task), "seed": None}
    )
    words = f"{_counted(len(task), 'task')}, {_counted(len(seeds), 'seed')} each"
    return found.mean(-1), levels, words


def accuracy_of(task: Tasks) -> str:
    """What a claim speaks of."""
    if isinstance(task, str):
        return f"{task} accuracy"
    return f"accuracy on {_counted(len(task), 'task')} ({', '.join(task)})"


def _counted(number: int, noun: str) -> str:
    return f"one {noun}" if number == 1 else f"{number} {noun}s"


def _text(place: Mapping) -> str:
    return ", ".join(f"{k} {v}" for k, v in place.items())
