"""The command line's room for MLflow: sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from raystudy.experiment import load

mlflow = typer.Typer(help="What MLflow holds of a study.", no_args_is_help=True)
out = Console(highlight=False)

WITH_OPTIONS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


@mlflow.command(context_settings=WITH_OPTIONS)
def sync(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An experiment.")],
    tracking_uri: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="The server to bring up to the store.")
    ],
    store: Annotated[
        str, typer.Option(envvar="RAYSTUDY_STORE", help="Folder or URL of all results.")
    ] = "runs",
) -> None:
    """Tell an MLflow server what a store holds of a study and the server lacks: of a study that ran
    elsewhere, or while the server was silent."""
    from raystudy.public import public
    from raystudy.run import sync as push
    from raystudy.store import Store

    finished, total = push(load(file).study(context.args), Store(store), tracking_uri)
    out.print(f"{public(tracking_uri)} holds {finished:,} of {total:,} cells", soft_wrap=True)


@mlflow.callback()
def _group() -> None:
    """Without it Typer would leave out the name of a single command."""
