"""Faults that are found before a study begins, each in one line that says what to do."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raystudy.preflight import (
    Facts,
    Finding,
    PreflightError,
    Questions,
    answers,
    ask,
    judge,
    put_token,
    questions,
    refuse,
    take_token,
    versions,
)
from raystudy.public import public
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import Study
from raystudy.store import Store

GIB = 1 << 30
GOOD = Facts("10.0.0.1", {"ray": "2.60.0"}, "/tmp", 100 * GIB, 10 * GIB, 1, 1)
DRIVER = {"ray": "2.60.0"}


def but(**changes: Any) -> Facts:
    from dataclasses import replace

    return replace(GOOD, **changes)


def lines(*facts: Facts, object_store: int = 0) -> list[str]:
    return [finding.line for finding in judge(facts, DRIVER, object_store)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, full."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        (folder / "filler").write_bytes(bytes(1 << 20))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write to."""
    folder = tmp_path / "store"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_good_machine_has_no_fault(store: Store) -> None:
    token = put_token(store)
    facts = ask(Questions(store.url, token=token), "here")
    take_token(store, token)
    assert facts.faults == ()
    assert facts.free_disk_bytes == pytest.approx(shutil.disk_usage(facts.scratch).free, rel=0.2)
    assert store.names("preflight") == [], "nothing is left behind"
    assert all(f.line.find("free in") > 0 for f in judge([facts], versions()))


def test_a_store_that_cannot_be_written(read_only: Path) -> None:
    (fault,) = ask(Questions(str(read_only)), "here").faults
    assert fault.startswith(f"store {read_only}: OSError")
    assert "Read-only" in fault
    assert fault.endswith("give the nodes access to it, or --store another place")
    with pytest.raises(PreflightError, match=r"the driver cannot write .*Read-only"):
        put_token(Store(read_only))


def test_a_store_that_is_full(small_disk: Path) -> None:
    (fault,) = ask(Questions(str(small_disk)), "here").faults
    assert "No space left" in fault
    assert {p.name for p in small_disk.rglob("*") if p.is_file()} == {"filler"}


def test_a_folder_that_only_bears_the_same_name(tmp_path: Path) -> None:
    """Each machine has its own /data: what one writes there no other finds."""
    token = put_token(Store(tmp_path / "of the driver"))
    own = tmp_path / "of the node"
    (fault,) = ask(Questions(str(own), token=token), "here").faults
    assert "not the store that the driver sees; give --store a folder that all nodes" in fault
    assert not own.exists(), "looking made nothing"


def test_a_store_that_does_not_exist() -> None:
    (fault,) = ask(Questions("nonsense://x"), "here").faults
    assert "nonsense" in fault


def test_mlflow_behind_a_closed_port(store: Store) -> None:
    uri = f"http://somebody:secret@127.0.0.1:{closed_port()}"
    (fault,) = ask(Questions(store.url, tracking_uri=uri), "here").faults
    assert fault.startswith("no MLflow server answers at http://127.0.0.1:")
    assert "secret" not in fault
    assert len(fault.splitlines()) == 1


def test_a_database_in_a_file_is_the_drivers_alone(store: Store) -> None:
    assert ask(Questions(store.url, tracking_uri="sqlite:///mlflow.db"), "here").faults == ()


def test_data_that_is_not_there(store: Store, tmp_path: Path) -> None:
    asked = Questions(store.url, data=((str(tmp_path), None), (str(tmp_path / "nope"), None)))
    (fault,) = ask(asked, "here").faults
    assert fault.startswith(f"data {tmp_path / 'nope'}: FileNotFoundError: nothing there; mount it")


def test_a_study_says_what_it_reads(study: Study) -> None:
    web = WebDataset(path="s3://bucket/shards")
    grids = [g.model_copy(update={"sources": (web,)}) for g in study.grids]
    asked = questions(study.model_copy(update={"grids": grids}), "runs", None)
    assert asked.data == ((web.path, web.manifest_path),)
    assert questions(study, "runs", None).data == ()


def test_nothing_to_say_of_good_nodes() -> None:
    assert lines(GOOD, but(node="10.0.0.2"), object_store=GIB) == []


def test_versions_that_differ() -> None:
    (line,) = lines(GOOD, but(node="10.0.0.2", versions={"ray": "2.59.0"}))
    assert line == (
        "10.0.0.2: ray is 2.59.0, the driver's is 2.60.0; install both from constraints.txt, or "
        "start that node anew"
    )
    assert "ray is missing" in lines(but(versions={}))[0]


def test_a_fault_of_all_is_said_once() -> None:
    broken = [but(node=f"10.0.0.{i}", faults=("store s3://b: denied; do this",)) for i in range(9)]
    assert lines(*broken) == ["all 9 nodes: store s3://b: denied; do this"]
    (line,) = lines(*broken, GOOD)
    assert line.startswith("10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 4 more: store")


@pytest.mark.parametrize(("free", "fatal"), [(GIB, [True]), (10 * GIB, [False]), (30 * GIB, [])])
def test_little_disk(free: int, fatal: list[bool]) -> None:
    found = judge([but(free_disk_bytes=free)], DRIVER)
    assert [f.fatal for f in found] == fatal
    assert all("or set TMPDIR to a larger disk" in f.line for f in found)


def test_a_small_object_store_is_a_doubt() -> None:
    """Ray spills to disk, which is slow and works."""
    (found,) = judge([but(object_store_bytes=GIB // 2)], DRIVER, GIB)
    assert not found.fatal
    assert "an object store of 0.5 GiB" in found.line


def test_gpus_that_torch_does_not_see() -> None:
    (line,) = lines(but(gpus_promised=8, gpus_seen=0))
    assert "Ray offers 8 GPUs, torch sees 0; check nvidia-smi" in line


def test_refused_with_every_reason(caplog: pytest.LogCaptureFixture) -> None:
    doubts = [Finding("small", fatal=False)]
    refuse(doubts)
    assert "small" in caplog.text
    with pytest.raises(PreflightError, match=r"^first\nsecond$"):
        refuse([Finding("first"), *doubts, Finding("second")])


def test_who_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert answers(f"127.0.0.1:{server.getsockname()[1]}") is None
    assert answers(f"127.0.0.1:{closed_port()}") == "Connection refused"
    assert answers("auto") is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:word@host/db", "postgresql://host/db"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/data/runs", "/data/runs"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert public(address) == shown


def test_versions_are_of_this_process() -> None:
    import platform

    import raystudy

    found = versions()
    assert found["python"] == platform.python_version()
    assert found["raystudy"] == raystudy.__version__
    assert found["ray"].count(".") == 2
