"""The command line's room for data: data index | check | ls."""

from __future__ import annotations

import difflib
import inspect
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from raystudy.kinds import OnDisk, Source, TaskOnDisk
    from raystudy.kinds import Task as DownstreamTask
    from raystudy.shards.manifest import Manifest

data = typer.Typer(
    help="Data sets on disk: what there is, what is missing, what is damaged.",
    no_args_is_help=True,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

NUM_PLACES = 3
"""Faulty examples that are named, of each reason."""
Index = Annotated[
    str | None, typer.Option("--index", help="Where the manifest lies; default: in PATH/_raystudy.")
]


@data.command()
def index(
    path: Annotated[str, typer.Argument(help="A folder or URL (s3://bucket/prefix).")],
    source: Annotated[
        str, typer.Option(help="Which data set it is: a name from 'raystudy data ls'.")
    ] = "webdataset",
    index: Index = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: as many as cores.")] = 0,
) -> None:
    """Find out what a data set holds. Interrupted or repeated, it does only what is missing."""
    _print_manifest(build_manifest(_on_disk(source, path, index), workers))


@data.command()
def check(
    source: Annotated[str, typer.Argument(help="A source or task from 'raystudy data ls'.")],
    path: Annotated[str, typer.Argument(help="A folder or URL (s3://bucket/prefix).")],
    index: Index = None,
) -> None:
    """Compare a folder with the official layout of a data set, and with its manifest."""
    from raystudy.shards.root import Root

    if task := _task(source, path):
        _check_task(task)
        return
    spec = _on_disk(source, path, index)
    root = Root(spec.path)
    out.print(inspect.getdoc(type(spec)) or "", markup=False, soft_wrap=True, end="\n\n")
    if lines := spec.missing(root):
        for line in lines:
            out.print(f"[red]missing:[/red] {escape(line)}", soft_wrap=True)
        raise typer.Exit(1)
    shards = sorted(spec.shards(root))
    span = f"{shards[0]} … {shards[-1]}" if len(shards) > 1 else "".join(shards)
    out.print(f"there: {len(shards):,} shards below {root.url}: {span}", **_PLAIN)
    out.print(f"manifest: {_state(spec, source)}", **_PLAIN)


@data.command("ls")
def list_(
    path: Annotated[
        str | None, typer.Argument(help="A data set with a manifest, or the manifest's own folder.")
    ] = None,
) -> None:
    """List the sources and tasks there are, or show what a manifest says of a data set."""
    if path:
        for manifest in _manifests_at(path):
            _print_manifest(manifest)
        return
    from raystudy.kinds import Derived, OnDisk

    table = Table("source", "from", "what", box=None, pad_edge=False)
    for name, cls in _sources().items():
        kind = "disk" if issubclass(cls, OnDisk) else "others" if issubclass(cls, Derived) else ""
        table.add_row(name, kind or "itself", escape(_first_sentence(cls)))
    out.print(table, end="\n\n")
    _print_tasks()


def build_manifest(source: OnDisk, workers: int = 0) -> Manifest:
    """Bring the manifest of ``source`` up to date, with a progress bar. ``workers`` are processes;
    0: as many as there are cores.

    Raises FileNotFoundError if its layout is not there, and as ``raystudy.shards.manifest.build``.
    """
    from raystudy.shards.manifest import build
    from raystudy.shards.root import Root

    if lines := source.missing(Root(source.path)):
        name = _name_of(type(source))
        check = shlex.join(["raystudy", "data", "check", name, source.path])
        more = f" (and {len(lines) - 1} more: {check})"
        raise FileNotFoundError(
            f"{type(source).__name__}.path={source.path}: {lines[0]}{more if lines[1:] else ''}"
        )
    columns = (
        TextColumn("indexing [bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards"),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=err) as progress:

        def advance(done: int, total: int) -> None:
            if not progress.tasks:  # what was done before says nothing of the rate
                progress.add_task(escape(source.name), completed=done, total=total)
            progress.update(progress.tasks[0].id, completed=done)

        return build(source, workers=workers or min(16, os.cpu_count() or 1), advance=advance)


_PLAIN: dict[str, Any] = {"markup": False, "soft_wrap": True}


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "")


def _sources() -> dict[str, type[Source]]:
    """Every source of the package by the name of its file, dashes for underscores."""
    import pkgutil
    from importlib import import_module

    from raystudy import sources
    from raystudy.kinds import Source

    found = {}
    for info in pkgutil.iter_modules(sources.__path__):
        module = import_module(f"raystudy.sources.{info.name}")
        for cls in vars(module).values():
            is_source = inspect.isclass(cls) and issubclass(cls, Source)
            if is_source and cls.__module__ == module.__name__ and not inspect.isabstract(cls):
                found[info.name.replace("_", "-")] = cls
    return found


def _tasks() -> dict[str, DownstreamTask]:
    """Every task of the package by its name, its data nowhere."""
    from raystudy.tasks.table import every_task

    return every_task()


def _task(name: str, path: str) -> TaskOnDisk | None:
    """None if no task on disk has that name."""
    from raystudy.kinds import TaskOnDisk

    task = _tasks().get(name)
    return task.model_copy(update={"path": path}) if isinstance(task, TaskOnDisk) else None


def _check_task(task: TaskOnDisk) -> None:
    out.print(inspect.getdoc(type(task)) or "", **_PLAIN, end="\n\n")
    root = Path(task.path)
    if lines := task.missing(root):
        for line in lines:
            out.print(f"[red]missing:[/red] {escape(line)}", soft_wrap=True)
        raise typer.Exit(1)
    # The test split stays under seal: that its files are there is all there is to know.
    found, published = (sum(task.num_train()), len(task.validation())), task.size
    out.print(f"there: {len(set(task.files(root))):,} files below {root}", **_PLAIN)
    counts = f"{found[0]:,} training and {found[1]:,} validation images"
    if found == (published.train, published.validation):
        out.print(f"{counts}, as published", **_PLAIN)
    else:
        whole = f"{published.train:,} and {published.validation:,}"
        out.print(f"[yellow]{counts}[/yellow]; published: {whole}", soft_wrap=True)


def _print_tasks() -> None:
    from raystudy.kinds import TaskOnDisk

    table = Table("task", "from", "classes", "train", "what", box=None, pad_edge=False)
    for name, task in sorted(_tasks().items()):
        where = "disk" if isinstance(task, TaskOnDisk) else "itself"
        numbers = (f"{len(task.class_names):,}", f"{task.size.train:,}")
        table.add_row(name, where, *numbers, escape(_first_sentence(type(task))))
    out.print(table)


def _name_of(cls: type[Source]) -> str:
    return cls.__module__.rpartition(".")[2].replace("_", "-")


def _first_sentence(cls: type[Source] | type[DownstreamTask]) -> str:
    paragraph = (inspect.getdoc(cls) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).partition(". ")[0].rstrip(".:").replace("``", "")


def _on_disk(name: str, path: str, index: str | None) -> OnDisk:
    """Raises ValueError for a name that is no source on disk."""
    from raystudy.kinds import OnDisk

    sources = _sources()
    cls = sources.get(name.replace("_", "-"))
    names = [name for name, cls in sources.items() if issubclass(cls, OnDisk)]
    if cls is None:
        tasks = _tasks()
        if name in tasks:
            raise ValueError(f"'{name}' is a task, of which nothing is indexed")
        near = difflib.get_close_matches(name, [*names, *tasks], 1, 0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}"
        raise ValueError(f"no source '{name}'; {hint}")
    if not issubclass(cls, OnDisk):
        raise ValueError(
            f"source '{name}' has no files of its own; those that have: {', '.join(names)}"
        )
    return cls(path=path, index=index)


def _state(source: OnDisk, name: str) -> str:
    from raystudy.shards.manifest import described, stale

    words = ["raystudy", "data", "index", source.path, "--source", name]
    command = shlex.join(words + (["--index", source.index] if source.index else []))
    try:
        about = described(source.manifest_path)
        lines = stale(source)
    except FileNotFoundError:
        return f"none yet; make it with: {command}"
    if lines:
        return f"stale ({'; '.join(lines)}); bring it up to date with: {command}"
    return f"current, {about['num_examples']:,} examples, {sum(about['faults'].values()):,} faults"


def _manifests_at(path: str) -> list[Manifest]:
    """That in a folder itself, else those beside the data there. Raises FileNotFoundError."""
    from raystudy.shards.manifest import Manifest
    from raystudy.shards.root import MANIFEST_FOLDER, Root

    folder = Root(path)
    if folder.exists("manifest.json"):
        return [Manifest.open(path)]
    beside = Root(folder.full(MANIFEST_FOLDER))
    names = [name for name in beside.folders() if beside.exists(f"{name}/manifest.json")]
    if not names:
        raise FileNotFoundError(
            f"{folder.url}: no manifest yet; make it with: raystudy data index {folder.url}"
        )
    return [Manifest.open(beside.full(name)) for name in names]


def _print_manifest(manifest: Manifest) -> None:
    about = manifest.about
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in (
        ("source", about["source"]),
        ("examples", f"{manifest.num_examples:,}"),
        ("shards", f"{about['num_shards']:,}"),
        ("images", _size(about["image_bytes"])),
        ("classes", f"{len(manifest.class_names):,}" if manifest.class_names else "unnamed"),
        ("content", manifest.content),
    ):
        table.add_row(name, value)
    out.print(table)
    if not manifest.faults:
        out.print("nothing left out")
        return
    named = manifest.named(NUM_PLACES)
    faults = Table("left out", "count", "first", box=None, pad_edge=False)
    for reason, count in manifest.faults.items():
        faults.add_row(reason, f"{count:,}", escape("\n".join(map(repr, named[reason]))))
    out.print(faults)


def _size(num_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} TB"
