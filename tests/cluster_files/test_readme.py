"""The ten lines of the README, followed as far as one can without a cloud."""

import re
import shlex
from typing import Any

import pytest

from .launcher import ROOT

SECTION = (ROOT / "README.md").read_text().partition("## On a cluster")[2].partition("\n## ")[0]
SCRIPT = SECTION.split("```")[1].strip()
LINES = [line.partition(" #")[0].strip(" &") for line in SCRIPT.splitlines()]


def parsed(line: str) -> dict[str, Any]:
    """The options of a line, as the command that it names reads them."""
    program, name, *arguments = shlex.split(line)
    if program == "ray":
        from ray.scripts.scripts import cli

        command: Any = cli.commands[name]
    else:
        from typer.main import get_command

        from raystudy.cli import app

        command = get_command(app).commands[name]  # pyright: ignore[reportAttributeAccessIssue]
    return command.make_context(name, arguments).params


def test_ten_lines() -> None:
    assert len(LINES) == 10


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("ray")])
def test_every_command_is_one(line: str) -> None:
    assert parsed(line)


def test_a_wrong_option_would_be_found() -> None:
    for line in ("ray up --yess cluster.yaml", "raystudy jobs --adress x"):
        with pytest.raises(Exception, match="No such option"):
            parsed(line)


def test_what_is_named_is_there() -> None:
    files = re.findall(r"\b[\w/]+\.(?:yaml|py|txt)\b", "\n".join(LINES))
    assert {"cluster.yaml", "clusters/aws_once.py", "constraints.txt"} <= set(files)
    assert all((ROOT / file).exists() for file in files)
    extras = re.findall(r"'\.\[(\w+)\]'", LINES[0])
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras)


def test_the_tunnel_is_where_commands_look() -> None:
    from raystudy.cli_cluster import TUNNEL

    assert all(parsed(line)["address"] == TUNNEL for line in LINES if "--address" in line)
    assert parsed("raystudy jobs")["address"] == TUNNEL
    port = parsed(next(line for line in LINES if line == "ray dashboard cluster.yaml"))["port"]
    assert TUNNEL.endswith(f":{port}")
