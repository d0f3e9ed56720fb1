"""The command line's room for clusters: submit | jobs | cancel | doctor."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raystudy.experiment import load

if TYPE_CHECKING:
    from raystudy.cluster.placement import Placement
    from raystudy.preflight import Finding, Questions
    from raystudy.spec import Pretraining, Study

cluster = typer.Typer()
out = Console(highlight=False)

WITH_OPTIONS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
TUNNEL = "http://127.0.0.1:8265"
DashboardOption = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The cluster's dashboard; 'ray dashboard cluster.yaml' is a tunnel to it.",
    ),
]


@cluster.command(context_settings=WITH_OPTIONS)
def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An experiment, below the working folder.")],
    address: DashboardOption = TUNNEL,
    store: Annotated[
        str | None, typer.Option(help="Where results go; default: what the cluster says.")
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="An MLflow server; default: what the cluster says.")
    ] = None,
    working_dir: Annotated[
        Path,
        typer.Option(help="The folder that travels, less what .gitignore names, and results."),
    ] = Path(),
    detach: Annotated[bool, typer.Option(help="Do not wait for its end.")] = False,
) -> None:
    """Run a study as a job of a cluster, and follow it; again, it does what is missing.

    All further options are those of 'raystudy run' and of the experiment. Ctrl-C ends the
    following, not the job.
    """
    study = _checked(context, file, context.args)
    command = ["run", _relative(file, working_dir), *context.args]
    raise typer.Exit(_run(address, study, command, working_dir, store, tracking_uri, detach))


@cluster.command()
def jobs(address: DashboardOption = TUNNEL) -> None:
    """List the studies that a cluster runs and has run."""
    from raystudy.cluster import submit as room

    table = Table("job", "status", "started", "command", box=None, pad_edge=False)
    for job in room.jobs(room.connect(address)):
        started = time.strftime("%d %b %H:%M", time.localtime((job.start_time or 0) / 1000))
        status = str(getattr(job.status, "value", job.status)).lower()
        table.add_row(job.submission_id, status, started, escape(job.entrypoint))
    out.print(table)


@cluster.command()
def cancel(
    job: Annotated[str, typer.Argument(help="A job's id, or a study's name.")],
    address: DashboardOption = TUNNEL,
) -> None:
    """End a job. What it has finished stays, and the same study submitted again goes on from it."""
    from raystudy.cluster import submit as room

    out.print(f"ending {room.cancel(room.connect(address), job)}")


@cluster.command(context_settings=WITH_OPTIONS)
def doctor(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="An experiment, for its data and size.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(envvar="RAYSTUDY_STORE", help="Folder or URL of all results.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster, or the URL of its dashboard."),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="An MLflow server.")
    ] = None,
    workers: Annotated[str, typer.Option(help="That share a pre-training: 4, or 2-4.")] = "1",
    threads: Annotated[int, typer.Option(min=1, help="Torch threads of each worker.")] = 1,
    gpu: Annotated[bool, typer.Option(help="Workers with a GPU each.")] = False,
    loaders: Annotated[int, typer.Option(min=1, help="Loaders of each lane.")] = 1,
) -> None:
    """Find out beforehand whether a study can run: versions, store, data, disk, GPUs, room."""
    if address and address.startswith("http"):
        options = ["--workers", workers, "--threads", str(threads), "--loaders", str(loaders)]
        options += ["--gpu"] if gpu else []
        target = [_relative(file, Path())] if file else []
        command = ["doctor", *target, *context.args, *options]
        given = None if os.environ.get("RAYSTUDY_STORE") == store else store
        uri = None if os.environ.get("MLFLOW_TRACKING_URI") == tracking_uri else tracking_uri
        raise typer.Exit(_run(address, "doctor", command, Path(), given, uri, detach=False))
    from raystudy.cluster.placement import Placement, parse_workers
    from raystudy.preflight import questions

    study = load(file).study(context.args) if file else None
    placement = Placement(
        num_workers=parse_workers(workers),
        threads_per_worker=threads,
        use_gpu=gpu,
        num_loaders=loaders,
    )
    specs = _pretrainings(study) if study else []
    asked = questions(study, store or "runs", tracking_uri)
    found, what = _examine(asked, placement, specs, address)
    for finding in found:
        mark = "[red]fault:[/red]" if finding.fatal else "[yellow]doubt:[/yellow]"
        out.print(f"{mark} {escape(finding.line)}", soft_wrap=True)
    if any(finding.fatal for finding in found):
        raise typer.Exit(1)
    out.print(f"{what}: nothing stands in the way")


def _examine(
    asked: Questions, placement: Placement, specs: Sequence[Pretraining], address: str | None
) -> tuple[list[Finding], str]:
    """What is wrong, and how those that were asked are called."""
    if address is None:
        from raystudy.preflight import ask, judge, versions

        here = ask(asked, "this machine", int(placement.use_gpu))
        return judge([here], versions()), "this machine"
    from raystudy.cluster.preflight import check_address, examine
    from raystudy.cluster.site import RaySite
    from raystudy.store import Store

    check_address(address)
    with RaySite(Store(asked.store_url), placement, address):
        return examine(asked, placement, specs), f"the cluster at {address}"


def _run(
    address: str,
    study: str,
    command: Sequence[str],
    working_dir: Path,
    store: str | None,
    tracking_uri: str | None,
    detach: bool,
) -> int:
    from raystudy.cluster import submit as room
    from raystudy.public import public

    env = {"RAYSTUDY_STORE": store, "MLFLOW_TRACKING_URI": tracking_uri}
    given = {name: value for name, value in env.items() if value is not None}
    for name, value in given.items():
        if public(value) != value:
            raise ValueError(
                f"{name} holds a password, which everyone who sees the cluster's jobs could read; "
                "set it in the environment of its nodes"
            )
    client = room.connect(address)
    # As a module: then the code that travels is what runs, whatever is installed there.
    module = ["python", "-m", "raystudy.cli", *command]
    job, is_new = room.submit(client, room.Job(study, module, working_dir.resolve(), given))
    out.print(f"{'submitted' if is_new else 'runs already'}: {job}", soft_wrap=True)
    if detach:
        return 0
    try:
        return room.follow(client, job, _write)
    except KeyboardInterrupt:
        out.print(f"\n{job} goes on; follow it with the same command, or: raystudy cancel {job}")
        return room.STOPPED


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _checked(context: typer.Context, file: Path, arguments: Sequence[str]) -> str:
    """The study's name, once 'raystudy run' would understand the arguments: a mistake should not
    travel to a cluster to be found there."""
    run = context.find_root().command.commands["run"]  # pyright: ignore[reportAttributeAccessIssue]
    parsed = run.make_context("run", [str(file), *arguments])
    return load(file).study(parsed.args).name


def _relative(file: Path, working_dir: Path) -> str:
    root = working_dir.resolve()
    try:
        return file.resolve().relative_to(root).as_posix()
    except ValueError:
        raise ValueError(
            f"{file} does not lie below {root}, which is what travels; name another --working-dir"
        ) from None


def _pretrainings(study: Study) -> list[Pretraining]:
    from raystudy.spec import Pretraining

    found = {c.backbone.key: c.backbone for c in study.cells()}
    return [b for b in found.values() if isinstance(b, Pretraining)]
