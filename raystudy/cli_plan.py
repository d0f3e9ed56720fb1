"""What ``raystudy plan`` prints: how much there is to do, and what it may cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import ByteSize
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raystudy.absent import Absent, NotHere
from raystudy.estimate import CPU_CORE, Estimate, estimate
from raystudy.plan import Plan
from raystudy.price import START_S, Cluster, price, shares
from raystudy.spec import Pretraining
from raystudy.store import Store

out = Console(highlight=False)


def print_plan(todo: Plan, absent: Sequence[Absent] = ()) -> None:
    """``absent`` are data sets that could not be asked what they hold."""
    twice = todo.num_requested - len(todo.cells)
    sources = [source for source in absent if isinstance(source, NotHere)]
    if not todo.study.grids:
        out.print(f"[bold]{todo.study.name}[/bold]: nothing to run")
        _print_imported(todo)
        return
    out.print(
        f"[bold]{todo.study.name}[/bold]: {len(todo.cells):,} cells on "
        f"{len(todo.pretrainings):,} pre-trainings of {len(todo.sources) + len(sources)} sources"
        + (f" ({twice:,} cells asked for twice, computed once)" if twice else "")
    )
    table = Table("stage", box=None, pad_edge=False)
    for column in ("asked for", "distinct", "done already", "to do"):
        table.add_column(column, justify="right")
    for stage, requested, all_, missing in (
        ("sources", None, [*todo.sources, *sources], [*todo.missing_sources, *sources]),
        ("trunks", None, todo.trunks, todo.missing_trunks),
        ("pre-trainings", _num_asked(todo), todo.pretrainings, todo.missing_pretrainings),
        ("cells", todo.num_requested, todo.cells, todo.missing_cells),
    ):
        if stage != "trunks" or all_:
            left = len(missing) + (len(todo.failed_cells) if stage == "cells" else 0)
            numbers = (requested, len(all_), len(all_) - left, len(missing))
            table.add_row(stage, *("" if n is None else f"{n:,}" for n in numbers))
    out.print(table)
    for one in todo.imported:
        out.print(
            f"imported: {len(one.cells):,} cells from {escape(one.spec.path)}", soft_wrap=True
        )
    for data in absent:
        place = f"{escape(data.name)} ({data.of}), expected in {escape(data.place)}"
        out.print(f"[yellow]not here yet:[/yellow] {place}", soft_wrap=True)
    print_failed(todo)


def print_failed(todo: Plan) -> None:
    """Cells that are left alone, by reason."""
    for reason, number in Counter(todo.failed_cells.values()).most_common():
        out.print(
            f"[red]failed before:[/red] {number:,} cells, {escape(reason)}; --retry-failed tries "
            "them again",
            soft_wrap=True,
        )


def print_estimate(
    todo: Plan,
    store: Store,
    device: str | None = None,
    cluster: Cluster | None = None,
    num_workers: int = 1,
) -> None:
    """What is missing may cost, on ``cluster`` in time and money, too.

    Raises ValueError for a device whose speed is not known."""
    guess = estimate(todo, store, cluster.device if cluster else device)
    if not todo.missing_cells:
        return
    if todo.work:
        samples = f"{todo.samples_to_train:,} samples to be seen"
        counted = f", {guess.flops:.3g} operations" if guess.flops else ""
        out.print(f"pre-training: {_device_time(guess)}; {samples}{counted}", soft_wrap=True)
    if guess.adapt_s is None:
        out.print("adaptation: not known before some of it has run in this store")
    else:
        out.print(f"adaptation: {duration(guess.adapt_s)} of one core")
    out.print(f"storage: {_storage(guess)}", soft_wrap=True)
    for line in guess.basis:
        out.print(f"[dim]an estimate, from {escape(line)}[/dim]", soft_wrap=True)
    if cluster:
        _print_price(cluster, guess, todo, num_workers)


def _print_price(cluster: Cluster, guess: Estimate, todo: Plan, num_workers: int) -> None:
    found = price(cluster, guess.pretrain_s, guess.adapt_s, shares(todo), num_workers)
    prices = cluster.prices
    table = Table("nodes", box=None, pad_edge=False)
    for column in ("pre-training", "adaptation", "wall time", prices.currency):
        table.add_column(column, justify="right")
    for one in found:
        adapt = "not known" if one.adapt_s is None else duration(one.adapt_s)
        numbers = duration(one.pretrain_s), adapt, duration(one.wall_s), f"{one.amount:,.2f}"
        table.add_row(f"{one.num_nodes} × {escape(one.node)}", *numbers)
    out.print(table)
    others = "; the first as long as it is to be had" if len(found) > 1 else ""
    out.print(
        f"[dim]an estimate, from the prices in {escape(cluster.path)}, as of {prices.as_of}"
        f"{others}; head, ingest nodes and {duration(START_S)} of starting are in it[/dim]",
        soft_wrap=True,
    )


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _print_imported(todo: Plan) -> None:
    for one in todo.imported:
        out.print(
            f"imported: {len(one.cells):,} cells from {escape(one.spec.path)}", soft_wrap=True
        )


def _num_asked(todo: Plan) -> int:
    """Pre-trainings before those asked for twice were merged."""
    backbones = (b for grid in todo.study.grids for b in grid.backbones())
    return sum(isinstance(b, Pretraining) for b in backbones)


def _device_time(guess: Estimate) -> str:
    if guess.device == CPU_CORE:
        return f"{duration(guess.pretrain_s)} of one core"
    return f"{guess.pretrain_s / 3600:,.1f} device-hours of {guess.device}"


def _storage(guess: Estimate) -> str:
    parts = {
        "weights": guess.weights_bytes,
        "trunks": guess.trunks_bytes,
        "selections": guess.selections_bytes,
    }
    words = [f"{name} {_size(size)}" for name, size in parts.items() if size]
    if guess.checkpoints_bytes:
        words.append(f"checkpoints {_size(guess.checkpoints_bytes)} of each run at work")
    return ", ".join(words) or "predictions only"


def _size(num_bytes: int) -> str:
    return ByteSize(num_bytes).human_readable(decimal=True, separator=" ")
