"""One live table: stage, done of total, rate, time left. Each error once."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

PLAIN_EVERY_S = 15.0


class LiveTable:
    """Follows a run on ``console``; where that is no terminal, a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=28),
            _Amount(),
            _Rate(),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=console,
            auto_refresh=False,
        )
        self._tasks: dict[str, Task] = {}
        self._told: set[str] = set()
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, stage: str, total: int, unit: str) -> None:
        task_id = self._progress.add_task(stage, total=total, unit=unit)
        self._tasks[stage] = self._progress.tasks[self._progress.task_ids.index(task_id)]
        self._line(stage)

    def advance(self, stage: str, amount: float = 1.0) -> None:
        task = self._tasks[stage]
        before = task.finished
        self._progress.advance(task.id, amount)
        if task.finished and not before:
            self._line(stage)
        self.refresh()

    def error(self, what: str, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._console.print(f"[red]failed:[/red] {escape(what)}: {escape(message)}")

    def refresh(self) -> None:
        if self._console.is_terminal:
            self._progress.refresh()
        elif self._tasks and time.monotonic() - self._last_line > PLAIN_EVERY_S:
            for stage in [name for name, task in self._tasks.items() if not task.finished]:
                self._line(stage)

    def _line(self, stage: str) -> None:
        self._last_line = time.monotonic()
        if not self._console.is_terminal:
            task = self._tasks[stage]
            self._console.print(
                f"{stage}: {amount(task)}, {rate(task)}, {time_left(task)}", soft_wrap=True
            )


def amount(task: Task) -> str:
    return f"{task.completed:,.0f}/{task.total or 0:,.0f} {task.fields['unit']}"


def rate(task: Task) -> str:
    speed = task.completed / task.elapsed if task.elapsed else 0
    return f"{speed:,.1f}/s" if speed else "–/s"


def time_left(task: Task) -> str:
    if task.finished:
        return "done"
    if not task.completed or not task.elapsed:
        return "starting"
    seconds = (task.remaining or 0) * task.elapsed / task.completed
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} left"


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(amount(task), justify="right")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(rate(task), style="cyan")


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(time_left(task), style="dim")
