"""Whether numbers that others made may be compared: how each arm was tuned, and on what network.

A study of this house is refused if its arms are not tuned alike; a table is as it is. What is told
here is told by counting, so that a reader need not find it out.
"""

from __future__ import annotations

import polars as pl

from raystudy.report.tables import Table
from raystudy.report.view import BASELINE, in_order
from raystudy.report.words import listing, plural, shots_phrase
from raystudy.spec import SELECTED, Study

TITLE = "How far the numbers can be compared"
ARM = ["method", "source", "size", "noise"]
SETTING = ["task", "architecture", "adaptation", "shots"]
"""Numbers are compared within it."""
MOST_NAMED = 4


def sentences(study: Study, records: pl.DataFrame) -> list[str]:
    """What a reader must know before comparing; of a study with tables of others."""
    rows = records.filter(metric="accuracy", split="test")
    if not study.tables or rows.is_empty():
        return []
    return [*_selection(rows), *_tuning(rows), *_seeds(rows), *_architectures(rows)]


def items(records: pl.DataFrame) -> list[tuple[str, Table]]:
    """What a page shows beside the sentences."""
    rows = records.filter(metric="accuracy", split="test")
    return [("table", tuning_table(rows))] if _uneven(rows) else []


def tuning_table(rows: pl.DataFrame) -> Table:
    """Settings tried for each arm and task, fewest to most over shots."""
    arm = [*ARM[:3], "architecture", "adaptation"]
    few, most = pl.col("num_tried").min(), pl.col("num_tried").max()
    numbers = rows.group_by(*arm, "task", maintain_order=True).agg(
        few.alias("fewest"), most.alias("most")
    )
    tasks = rows["task"].unique(maintain_order=True).to_list()
    lines = []
    for place, part in numbers.group_by(arm, maintain_order=True):
        tried = {r["task"]: _range(r["fewest"], r["most"]) for r in part.iter_rows(named=True)}
        method, source, size, architecture, adaptation = map(str, place)
        name = "untrained" if method == BASELINE else f"{method} {source}"
        lines.append(
            (
                f"{name} {int(size):,}" if int(size) else name,
                architecture,
                adaptation.removesuffix(SELECTED["test"]),
                *(tried.get(task, "—") for task in tasks),
            )
        )
    return Table(
        "tuning",
        "Settings tried for each number",
        "Of how many settings the best was kept. What is tuned more looks better, and more so "
        "where the best was chosen on the test examples that it is judged by.",
        ("arm", "architecture", "adaptation", *tasks),
        lines,
        in_order(numbers, task=tasks),
    )


def _selection(rows: pl.DataFrame) -> list[str]:
    chosen = rows.filter(pl.col("adaptation").str.ends_with(SELECTED["test"]))
    if chosen.is_empty():
        return []
    share = "All" if len(chosen) == len(rows) else f"{len(chosen):,} of {len(rows):,}"
    return [
        f"{share} accuracies were selected on the test examples they are reported on, so they are "
        "too high by an amount that nobody knows."
    ]


def _uneven(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    """Settings of which not every arm chose among as many."""
    known = rows.filter(pl.col("num_tried").is_not_null(), pl.col("method") != BASELINE)
    tried = known.group_by(SETTING, maintain_order=True).agg(pl.col("num_tried").n_unique())
    return tried.filter(pl.col("num_tried") > 1).select(SETTING).rows()


def _tuning(rows: pl.DataFrame) -> list[str]:
    uneven = _uneven(rows)
    if not uneven:
        return []
    arms = rows.filter(pl.col("method") != BASELINE).select(*SETTING, *ARM).unique()
    number = int((arms.group_by(SETTING).len()["len"] > 1).sum())
    trained = rows.filter(pl.col("method") != BASELINE).join(
        pl.DataFrame(uneven, SETTING, orient="row"), on=SETTING
    )
    ratio = (
        trained.group_by(SETTING, maintain_order=True)
        .agg(pl.col("num_tried").max() / pl.col("num_tried").min())
        .sort("num_tried", descending=True, maintain_order=True)
    )
    worst = ratio.row(0, named=True)
    arms = trained.filter(pl.col(name) == worst[name] for name in SETTING).sort(
        "num_tried", maintain_order=True
    )
    least, most = arms.row(0, named=True), arms.row(-1, named=True)
    place = f"{worst['task']} at {shots_phrase(worst['shots'])}"
    return [
        f"Arms were not tuned alike: in {len(uneven):,} of {plural(number, 'comparison', 0)} they "
        f"chose among different numbers of settings, on {place} {_arm(least)} among "
        f"{least['num_tried']} and {_arm(most)} among {most['num_tried']}."
    ]


def _seeds(rows: pl.DataFrame) -> list[str]:
    if rows["seed"].n_unique() > 1:
        return []
    return [
        "There is one run of each arm: no number here has an interval, and no difference between "
        "two arms can be told from luck."
    ]


def _architectures(rows: pl.DataFrame) -> list[str]:
    """Curves over sizes that change the network on the way, and arms of other ones than most."""
    places = (
        rows.filter(pl.col("method") != BASELINE)
        .group_by("method", "source", "size", maintain_order=True)
        .agg(pl.col("architecture").unique().sort())
    )
    usual = listing(places["architecture"].mode().to_list()[0]) if len(places) else ""
    found = []
    for (method, source), part in places.group_by("method", "source", maintain_order=True):
        networks = [listing(names) for names in part.sort("size")["architecture"].to_list()]
        if len(set(networks)) > 1:
            sizes = part.sort("size")["size"]
            each = [f"{name} at {size:,}" for name, size in zip(networks, sizes, strict=True)]
            found.append(f"{method} {source} changes with its size ({', '.join(each)})")
        elif networks[0] != usual:
            found.append(f"{method} {source} stands under {networks[0]}")
    if not found:
        return []
    more = [f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return [
        f"Most arms are {usual}, but {listing([*found[:MOST_NAMED], *more])}: their differences "
        "are of networks too."
    ]


def _arm(row: dict) -> str:
    size = f" {row['size']:,}" if row["size"] else ""
    return f"{row['method']} {row['source']}{size}"


def _range(fewest: int | None, most: int | None) -> str:
    if fewest is None:
        return "—"
    return str(fewest) if fewest == most else f"{fewest}–{most}"
