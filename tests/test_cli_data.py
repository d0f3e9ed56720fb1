"""``raystudy data``: what it answers to people, and the exit codes that scripts read."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from raystudy import cli_data
from raystudy.shards import retried
from raystudy.shards.manifest import described

from .tasks.miniatures import tiny

RAYSTUDY = str(Path(sys.executable).parent / "raystudy")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retried, "FIRST_WAIT_S", 0.001)
    for console in (cli_data.out, cli_data.err):
        monkeypatch.setattr(console, "_width", 300)


def data(*arguments: str) -> Result:
    return CliRunner().invoke(cli_data.data, arguments, catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tars of three examples, the last of each no image."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "PNG")
    folder = tmp_path / "[my] data"
    folder.mkdir()
    for i in range(2):
        with tarfile.open(folder / f"{i}.tar", "w") as archive:
            for n in range(3):
                image = b"no image" if n == 2 else buffer.getvalue() + bytes([n, i])
                for suffix, content in (("png", image), ("cls", b"%d" % n)):
                    entry = tarfile.TarInfo(f"{i}{n}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    return folder


def test_index_says_what_there_is_and_what_is_damaged(folder: Path) -> None:
    result = data("index", str(folder), "--workers", "1")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["examples", "4"] in lines
    assert ["shards", "2"] in lines
    assert "not a JPEG, PNG or WebP image" in result.output
    assert "'0.tar/02'" in result.output
    assert described(str(folder / "_raystudy" / "webdataset"))["num_examples"] == 4


def test_index_elsewhere_and_by_another_layout(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in ("cat", "dog"):
        (images / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), "red").save(images / name / "1.jpg")
    out = tmp_path / "manifest"
    options = ("--index", str(out), "--workers", "1")
    for name in ("image_folder", "image-folder"):
        assert data("index", str(images), "--source", name, *options).exit_code == 0
    assert described(str(out))["class_names"] == ["cat", "dog"]
    assert sorted(os.listdir(images)) == ["cat", "dog"], "nothing is written there"
    summary = data("ls", str(out)).output
    assert "ImageFolder" in summary
    assert "nothing left out" in summary


def test_index_of_the_wrong_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"WebDataset\.path=.*: no "):
        data("index", str(tmp_path))


def test_check_follows_a_data_set_from_nothing_to_stale(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nothing = data("check", "webdataset", str(tmp_path / "empty"))
    assert nothing.exit_code == 1
    assert "missing: no *.tar below" in nothing.output
    assert "Tars of images" in nothing.output, "what the source is"

    fresh = data("check", "webdataset", str(folder))
    assert fresh.exit_code == 0
    assert f"2 shards below {folder}: 0.tar … 1.tar" in fresh.output
    assert "manifest: none yet; make it with: raystudy data index" in fresh.output
    assert not (folder / "_raystudy").exists(), "a check writes nothing"

    data("index", str(folder), "--workers", "1")
    assert (
        "manifest: current, 4 examples, 2 faults" in data("check", "webdataset", str(folder)).output
    )
    (folder / "1.tar").unlink()
    stale = data("check", "webdataset", str(folder))
    assert "manifest: stale (1 shard gone: 1.tar)" in stale.output
    assert stale.exit_code == 0


def test_sources_are_listed_with_what_they_are() -> None:
    listed = data("ls").output
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert {"webdataset", "image-folder", "laion400m", "imagenet", "mixture", "glyphs"} <= set(
        lines
    )
    first = "Tars of images with labels, captions or both, at path or one folder down"
    assert lines["webdataset"].split(maxsplit=2)[2].rstrip() == first
    assert " others " in lines["mixture"]
    assert not {"rows", "img2dataset", "ilsvrc"} & set(lines), "these files hold no source"


def test_tasks_are_listed_with_their_sizes() -> None:
    lines = {line.split()[0]: line.split() for line in data("ls").output.splitlines() if line}
    assert lines["dtd"][1:4] == ["disk", "47", "1,880"]
    assert lines["digits"][1:4] == ["itself", "10", "800"]
    assert {"domainnet-clipart", "vtab-kitti", "camera-traps-trans"} <= set(lines)
    assert {"pacs-photo", "domainnet-held-out-real", "imagenet1k", "camelyon17"} <= set(lines)
    assert lines["glyph-domains-printed"][1:4] == ["itself", "10", "3,600"]


def test_check_of_a_suite_of_domains_says_which_is_missing(tmp_path: Path) -> None:
    task, _ = tiny("pacs-art-painting", tmp_path)
    there = data("check", "pacs-photo", task.path)
    assert there.exit_code == 0
    assert "published: 6,659 and 1,662" in there.output
    shutil.rmtree(Path(task.path) / "sketch")
    gone = data("check", "pacs-photo", task.path)
    assert gone.exit_code == 1
    assert f"missing: no sketch below {task.path}" in gone.output


def test_check_of_a_task_says_what_is_missing_and_what_is_there(tmp_path: Path) -> None:
    nothing = data("check", "dtd", str(tmp_path))
    assert nothing.exit_code == 1
    assert "Textures named by adjectives" in nothing.output, "what the task is"
    assert "missing: no labels/train1.txt below" in nothing.output
    assert "missing: no images below" in nothing.output

    task, _ = tiny("dtd", tmp_path)
    assert f"it is in {task.path}: give that folder" in data("check", "dtd", str(tmp_path)).output
    there = data("check", "dtd", task.path)
    assert there.exit_code == 0
    assert f"there: 21 files below {task.path}" in there.output
    assert "6 training and 6 validation images; published: 1,880 and 1,880" in there.output

    (Path(task.path) / "images" / task.train().ids[0]).unlink()
    damaged = data("check", "dtd", task.path)
    assert damaged.exit_code == 1
    assert f"not below {task.path}: 1 of the images that labels/*.txt names" in damaged.output


def test_ls_of_a_data_set_without_a_manifest(folder: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="no manifest yet; make it with: raystudy data index"
    ):
        data("ls", str(folder))
    data("index", str(folder), "--workers", "1")
    own = folder / "_raystudy" / "webdataset"
    assert data("ls", str(folder)).output == data("ls", str(own)).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "webdatset", "."), "no source 'webdatset'; did you mean 'webdataset'?"),
        (("index", ".", "--source", "qqqqqq"), "no source 'qqqqqq'; there are: "),
        (("check", "glyphs", "."), "source 'glyphs' has no files of its own"),
        (("ls", "nowhere"), "no manifest yet"),
        (("check", "dtdd", "."), "no source 'dtdd'; did you mean 'dtd'?"),
        (("check", "digits", "."), "'digits' is a task, of which nothing is indexed"),
        (("index", ".", "--source", "dtd"), "'dtd' is a task, of which nothing is indexed"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        [RAYSTUDY, "data", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_index_in_several_processes_from_the_shell(folder: Path) -> None:
    command = [RAYSTUDY, "data", "index", str(folder), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2/2 shards" in done.stderr
    assert described(str(folder / "_raystudy" / "webdataset"))["num_examples"] == 4


def test_the_room_loads_nothing_heavy() -> None:
    code = "import sys, raystudy.cli_data; print(*({'torch', 'pyarrow', 'numpy'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
