"""Artifacts appear whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raystudy.noise.symmetric import Symmetric
from raystudy.store import Store

SPEC = Symmetric(rate=0.5)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{tmp_path.name}")


def test_an_artifact_is_done_when_its_body_ends(store: Store) -> None:
    with store.writing("things", SPEC, colour="blue") as (folder, facts):
        (folder / "a.txt").write_text("A")
        (folder / "sub").mkdir()
        (folder / "sub" / "b.txt").write_text("B")
        facts["count"] = 2
        assert not store.done("things", SPEC.key)
    assert store.done("things", SPEC.key)
    assert store.done_keys("things") == {SPEC.key}
    found = store.local("things", SPEC.key)
    assert (found / "a.txt").read_text() == "A"
    assert (found / "sub" / "b.txt").read_text() == "B"
    facts = store.provenance("things", SPEC.key)
    assert (facts["colour"], facts["count"], facts["spec"]) == ("blue", 2, SPEC.describe())


def test_a_failing_body_leaves_nothing(store: Store) -> None:
    def broken() -> None:
        with store.writing("things", SPEC) as (folder, _):
            (folder / "a.txt").write_text("A")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert not store.done("things", SPEC.key)
    assert store.done_keys("things") == set()


def test_files_are_replaced_whole(store: Store) -> None:
    store.write(b"one", "room", "file.bin")
    store.write(b"two", "room", "file.bin")
    assert store.read("room", "file.bin") == b"two"
    assert store.read("room", "other.bin") is None
    store.remove("room", "file.bin")
    assert store.read("room", "file.bin") is None


def test_a_killed_writer_leaves_nothing_done(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from raystudy.noise.symmetric import Symmetric\n"
        "from raystudy.store import Store\n"
        "with Store(sys.argv[1]).writing('things', Symmetric(rate=0.5)) as (folder, _):\n"
        "    (folder / 'a.txt').write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not Store(tmp_path).done("things", SPEC.key)
    with Store(tmp_path).writing("things", SPEC) as (folder, _):
        (folder / "a.txt").write_text("whole")
    assert (Store(tmp_path).local("things", SPEC.key) / "a.txt").read_text() == "whole"


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        store = Store(tmp_path)
        store.write(b"good", "checkpoints", "x.pt")
        with pytest.raises(OSError, match="No space left"):
            store.write(b"0" * (2 << 20), "checkpoints", "x.pt")
        assert store.read("checkpoints", "x.pt") == b"good"
    finally:
        time.sleep(0.1)
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_bad_address_is_refused() -> None:
    with pytest.raises(ValueError, match="give a folder or an fsspec URL"):
        Store("nonsense://bucket")


def test_the_marker_is_plain_json(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("things", SPEC):
        pass
    marker = json.loads((tmp_path / "things" / SPEC.key / "_done.json").read_text())
    assert marker["key"] == SPEC.key


def test_two_stores_with_the_same_key_are_not_mixed_up(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Store(f"memory://{tmp_path.name}/{name}").writing("things", SPEC) as (folder, _):
            (folder / "a.txt").write_text(name)
    for name in ("one", "two"):
        found = Store(f"memory://{tmp_path.name}/{name}").local("things", SPEC.key)
        assert (found / "a.txt").read_text() == name


def test_a_copy_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}")
    with store.writing("things", SPEC) as (folder, _):
        (folder / "a.txt").write_text("A")
    copy = store.local("things", SPEC.key)
    for left in ("_done.json", "a.txt"):
        (copy / left).unlink()
        if left == "_done.json":  # a cleaner took the marker alone
            assert (store.local("things", SPEC.key) / "a.txt").read_text() == "A"
    assert [p.name for p in copy.parent.iterdir()] == [SPEC.key], "no part stays behind"


def test_no_password_of_an_address_is_shown() -> None:
    with pytest.raises(ValueError, match="give a folder or an fsspec URL") as raised:
        Store("nonsense://me:word@bucket")
    assert "word" not in str(raised.value)
