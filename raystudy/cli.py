"""The command line: plan | run | status | report | import | metrics | ui, and its other rooms.

Heavy rooms are imported inside the command that needs them, so that help and plans come at once.
"""

import logging
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raystudy.cli_cluster import cluster as cluster_commands
from raystudy.cli_data import data
from raystudy.cli_fit import fit
from raystudy.cli_import import import_table
from raystudy.cli_mlflow import mlflow
from raystudy.experiment import Experiment, ExperimentError, load, one_line
from raystudy.kinds import OnDisk
from raystudy.public import public
from raystudy.spec import Study
from raystudy.store import Store

app = typer.Typer(
    help="Transfer-learning scaling studies: which pre-training data is worth it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data, name="data")
app.add_typer(cluster_commands)
app.add_typer(mlflow, name="mlflow")
app.command()(fit)
metrics = typer.Typer(help="Metrics of finished cells.", no_args_is_help=True)
app.add_typer(metrics, name="metrics")
app.command("import")(import_table)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

WITH_OPTIONS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
File = Annotated[
    Path, typer.Argument(help="An experiment: a Python file with study(...) -> Study.")
]
StoreOption = Annotated[
    str, typer.Option("--store", envvar="RAYSTUDY_STORE", help="Folder or URL of all results.")
]
OptionsOption = Annotated[
    bool, typer.Option("--options", help="List the options of the experiment and stop.")
]


@app.command(context_settings=WITH_OPTIONS)
def plan(
    context: typer.Context,
    file: File,
    store: StoreOption = "runs",
    options: OptionsOption = False,
    device: Annotated[
        str | None, typer.Option(help="What to estimate for: v100, a100, h100 or cpu-core.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A cluster.yaml: wall time and price on its nodes.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="With --cluster: how many share a pre-training.")
    ] = 1,
    next: Annotated[
        int, typer.Option("--next", min=0, help="List this many pre-trainings to run first.")
    ] = 0,
    wanted: Annotated[
        str,
        typer.Option(
            "--for",
            help="What --next is for: multiplier, alpha:latin, error@100000, claim:1, transfer",
        ),
    ] = "multiplier",
    decided: Annotated[
        bool, typer.Option("--decided", help="Which missing cells can change no verdict, and why.")
    ] = False,
) -> None:
    """Show what a study would run, what is done already, and what the rest may cost. Data sets that
    are not here yet are named."""
    from raystudy.absent import expected
    from raystudy.cli_plan import print_estimate, print_plan
    from raystudy.plan import plan as make_plan
    from raystudy.price import read_cluster

    if cluster and device:
        raise ValueError("--device and --cluster: the devices are those of the cluster's file")
    if workers > 1 and not cluster:
        raise ValueError("--workers: an estimate needs to know of what nodes; give --cluster, too")
    there, nodes = Store(store), read_cluster(cluster) if cluster else None
    study, absent = expected(_study(file, context, options))
    todo = make_plan(study, there)
    print_plan(todo, absent)
    print_estimate(todo, there, device, nodes, workers)
    if next or decided or todo.skipped_cells:
        from raystudy.cli_next import print_decided, print_next, print_skipped

        print_skipped(todo)
        if decided:
            print_decided(todo, there)
        if next:
            print_next(todo, there, wanted, next, device)


@app.command(context_settings=WITH_OPTIONS)
def run(
    context: typer.Context,
    file: File,
    store: StoreOption = "runs",
    options: OptionsOption = False,
    workers: Annotated[
        str, typer.Option(help="That share a pre-training: 4; or 2-4, for as many as there are.")
    ] = "1",
    lanes: Annotated[int, typer.Option(min=0, help="Pre-trainings side by side; 0: as fits.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Torch threads of each worker.")] = 1,
    gpu: Annotated[bool, typer.Option(help="Give each pre-training worker a GPU.")] = False,
    shard: Annotated[
        bool, typer.Option(help="Split the weights over the workers (FSDP2): for large models.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile backbones for pre-training.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster; default: this machine.")
    ] = None,
    in_process: Annotated[bool, typer.Option(help="Without Ray, for a debugger.")] = False,
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between checkpoints.")] = 15.0,
    loaders: Annotated[
        int, typer.Option(min=1, help="Processes that read and decode, for each lane.")
    ] = 1,
    max_bad_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of damaged examples that is tolerated.")
    ] = 0.1,
    tracking_uri: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="An MLflow server.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try cells again that failed before.")
    ] = False,
    skip_decided: Annotated[
        bool,
        typer.Option(
            "--skip-decided", help="Seed by seed, without what can no longer change a verdict."
        ),
    ] = False,
) -> None:
    """Run what is missing of a study, fit its laws, draw its report."""
    from raystudy.cli_data import build_manifest
    from raystudy.cli_plan import duration, print_estimate, print_plan
    from raystudy.live import LiveTable
    from raystudy.plan import plan as make_plan

    study, there = _study(file, context, options), Store(store)
    for source in _unindexed(study):
        build_manifest(source)
    todo = make_plan(study, there, retry_failed=retry_failed)
    print_plan(todo)
    if todo.missing_cells:
        _check_architectures(study)
    print_estimate(todo, there)

    from raystudy.run import run as run_study

    runs_at = _tracking_uri(there, tracking_uri)

    def open_site() -> Any:
        if in_process:
            from raystudy.stages.site import InProcess

            return nullcontext(InProcess(there, checkpoint_every, max_bad_rate))
        from raystudy.cluster.placement import Placement, parse_workers
        from raystudy.cluster.preflight import check_address
        from raystudy.cluster.site import RaySite
        from raystudy.preflight import questions

        if address:
            check_address(address)
        placement = Placement(
            num_workers=parse_workers(workers),
            num_lanes=lanes or None,
            threads_per_worker=threads,
            use_gpu=gpu,
            checkpoint_interval_s=checkpoint_every,
            max_bad_rate=max_bad_rate,
            num_loaders=loaders,
            sharded=shard,
            compiled=compiled,
        )
        asked = questions(study, there.url, tracking_uri) if address else None
        return RaySite(there, placement, address, asked)

    with LiveTable(out) as table:
        outcome = run_study(
            study,
            there,
            open_site,
            table,
            runs_at,
            retry_failed=retry_failed,
            skip_decided=skip_decided,
        )
    if not outcome.is_mirrored:
        again = f"once it answers: raystudy mlflow sync {file} --store {public(store)}"
        err.print(f"[yellow]MLflow lacks some of it; {again}[/yellow]", soft_wrap=True)
    if skip_decided:
        from raystudy.cli_next import print_skipped

        print_skipped(make_plan(study, there))
    out.print(f"Done in {duration(outcome.seconds)}.", end=" ")
    if outcome.report:
        out.print(f"Report: {outcome.report}", soft_wrap=True)
    is_server = runs_at.startswith("http")
    out.print(f"MLflow: {public(runs_at) if is_server else f'raystudy ui --store {store}'}")
    if outcome.failures or outcome.plan.failed_cells:
        said = f"{len(outcome.failures)} failed" if outcome.failures else "some failed before"
        err.print(
            f"[red]{said}: the same command tries pre-trainings again, and with --retry-failed "
            "cells too.[/red]"
        )
        raise typer.Exit(1)


@app.command(context_settings=WITH_OPTIONS)
def status(
    context: typer.Context, file: File, store: StoreOption = "runs", options: OptionsOption = False
) -> None:
    """Show how much of a study is done, stage by stage."""
    from raystudy.cli_plan import print_failed
    from raystudy.plan import plan as make_plan

    study = _study(file, context, options)
    todo = make_plan(study, Store(store))
    table = Table("stage", "done", "total", box=None, pad_edge=False)
    for stage, missing, total in (
        ("sources", todo.missing_sources, todo.sources),
        ("pre-trainings", todo.missing_pretrainings, todo.pretrainings),
        ("cells", todo.missing_cells, todo.cells),
    ):
        left = len(missing) + (len(todo.failed_cells) if stage == "cells" else 0)
        table.add_row(stage, f"{len(total) - left:,}", f"{len(total):,}")
    if imported := sum(len(one.cells) for one in todo.imported):
        table.add_row("imported", f"{imported:,}", f"{imported:,}")
    out.print(table)
    print_failed(todo)


@app.command(context_settings=WITH_OPTIONS)
def report(
    context: typer.Context, file: File, store: StoreOption = "runs", options: OptionsOption = False
) -> None:
    """Draw the report anew from the ledger, without computing a cell."""
    from raystudy.drawn import report as draw
    from raystudy.live import LiveTable

    study = _study(file, context, options)
    with LiveTable(out) as table:
        page = draw(study, Store(store), table, force=True)
    if page is None:
        raise ExperimentError(f"{store}: no record of study '{study.name}' yet; run it first")
    out.print(f"Report: {page}", soft_wrap=True)


@metrics.command(context_settings=WITH_OPTIONS)
def recompute(
    context: typer.Context, file: File, store: StoreOption = "runs", options: OptionsOption = False
) -> None:
    """Compute the metrics that a study's file asks for and its finished cells lack, from the
    predictions that are kept: no model is opened."""
    from raystudy.live import LiveTable
    from raystudy.run import score_study

    study = _study(file, context, options)
    with LiveTable(out) as table:
        num_cells = score_study(study, Store(store), table)
    names = ", ".join(metric.name for metric in study.metrics) or "none asked for"
    out.print(f"{num_cells:,} cells scored; metrics: {names}")


@app.command()
def ui(
    store: StoreOption = "runs",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    host: Annotated[
        str, typer.Option(help="Loopback only, unless you say otherwise.")
    ] = "127.0.0.1",
) -> None:
    """Open the MLflow pages of a store."""
    from raystudy.mlflow_ui import ui as serve
    from raystudy.tracking import default_artifact_root

    uri = _tracking_uri(Store(store), None)
    out.print(f"MLflow at http://{host}:{port} (Ctrl-C ends it)")
    serve(uri, default_artifact_root(uri), host=host, port=port)


def main() -> None:
    """Entry point: expected errors are one line on stderr and exit code 2."""
    logging.basicConfig(level=os.environ.get("RAYSTUDY_LOG", "WARNING"), format="%(message)s")
    try:
        app(standalone_mode=True)
    except ValidationError as error:
        _fail(one_line(error))
    except (ValueError, FileNotFoundError, RuntimeError, ConnectionError) as error:
        if os.environ.get("RAYSTUDY_DEBUG"):
            raise
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    err.print(f"[red]error:[/red] {escape(message)}", soft_wrap=True)
    sys.exit(2)


def _study(file: Path, context: typer.Context, show_options: bool) -> Study:
    experiment = load(file)
    if show_options:
        _print_options(experiment)
        raise typer.Exit
    return experiment.study(context.args)


def _unindexed(study: Study) -> list[OnDisk]:
    """Data sets on disk that nobody has indexed yet: without it they have no identity."""
    from raystudy.stages.index import leaves

    found: list[OnDisk] = []
    for source in (s for grid in study.grids for s in grid.sources):
        for leaf in leaves(source):
            if isinstance(leaf, OnDisk) and leaf.known_size() is None and leaf not in found:
                found.append(leaf)
    return found


def _print_options(experiment: Experiment) -> None:
    table = Table("option", "type", "default", box=None, pad_edge=False)
    for option in experiment.options:
        table.add_row(option.flag, escape(option.type_name), str(option.default))
    out.print(table)


def _check_architectures(study: Study) -> None:
    from raystudy.backbone import check_architecture

    for architecture in {a.key: a for g in study.grids for a in g.architectures}.values():
        check_architecture(architecture)


def _tracking_uri(store: Store, given: str | None) -> str:
    from raystudy.tracking import default_uri

    if given:
        return given
    if not store.is_local:
        raise ValueError("a remote store has no place for MLflow; set MLFLOW_TRACKING_URI")
    return default_uri(Path(store.root))


if __name__ == "__main__":
    main()
