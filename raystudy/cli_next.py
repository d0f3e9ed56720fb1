"""What ``raystudy plan --next`` and ``--decided`` print."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raystudy.decided import decide, skippable
from raystudy.ledger import Ledger
from raystudy.next_best import advise, text
from raystudy.plan import Plan
from raystudy.store import Store

out = Console(highlight=False)


def print_next(todo: Plan, store: Store, wanted: str, number: int, device: str | None) -> None:
    """What to run first for ``wanted``. Raises ValueError as ``raystudy.next_best.advise``."""
    advice = advise(todo, store, wanted, number, device)
    out.print(f"\n[bold]{escape(advice.quantity)}[/bold]", soft_wrap=True)
    if advice.value == advice.value:
        out.print(f"now {text(advice.value, advice.interval, advice.unit)}")
    if advice.refusal:
        out.print(f"[yellow]no advice:[/yellow] {escape(advice.refusal)}", soft_wrap=True)
    if advice.steps:
        table = Table("", box=None, pad_edge=False)
        table.add_column("run next", no_wrap=True)
        table.add_column("interval, expected", no_wrap=True)
        table.add_column("device-hours", justify="right")
        table.add_column("narrower, an hour", justify="right")
        for i, step in enumerate(advice.steps, 1):
            low, high = step.after
            ends = f"{low:.3g} to {high:.3g}"
            hours, gain = (
                f"{step.hours:.3g}",
                f"{100 * step.gain:,.3g} %" if step.gain < 1 else f"{100 * step.gain:,.0f} %",
            )
            table.add_row(str(i), escape(step.what), ends, hours, gain)
        out.print(table)
        out.print(
            f"[dim]95 % intervals and hours of {escape(advice.device)}; each line counts on those "
            "above it[/dim]",
            soft_wrap=True,
        )
    for note in advice.notes:
        out.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def print_decided(todo: Plan, store: Store) -> None:
    """What no more seeds can change, and which missing cells ``run --skip-decided`` leaves out."""
    decisions = decide(todo.study, todo.cells, Ledger(store).read(c.key for c in todo.cells))
    if not decisions:
        out.print("nothing is decided: no claim and no pair of arms has a finished cell")
    for one in decisions:
        verdict = f"[green]{escape(one.verdict)}[/green]" if one.verdict else "not decided"
        out.print(f"{escape(one.statement)} {verdict}", soft_wrap=True)
        out.print(f"  [dim]{escape(one.reason)}[/dim]", soft_wrap=True)
    left_out = skippable(todo.missing_cells, decisions)
    out.print(
        f"{len(left_out):,} of {len(todo.missing_cells):,} missing cells can change none of it"
        + ("; raystudy run --skip-decided leaves them out" if left_out else "")
    )


def print_skipped(todo: Plan) -> None:
    """Cells that a run left out, by reason."""
    for reason, number in Counter(todo.skipped_cells.values()).most_common():
        out.print(
            f"[yellow]skipped:[/yellow] {number:,} cells, decided: {escape(reason)} (a run without "
            "--skip-decided runs them)",
            soft_wrap=True,
        )
