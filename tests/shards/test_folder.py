import io
import os
from pathlib import Path

import fsspec
import pytest
import xxhash
from PIL import Image

from raystudy.shards import folder, row
from raystudy.shards import probe as probing
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault


def image(seed: int = 0, format: str = "PNG", size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed, 2, 7)).save(buffer, format)
    return buffer.getvalue()


def test_one_example_a_file_in_order_of_names(tmp_path: Path) -> None:
    below = tmp_path / "train" / "n01440764"
    (below / "deeper").mkdir(parents=True)
    names = ["n01440764_10026.JPEG", "b.v2.png", "c.webp", "a.jpeg"]
    for n, name in enumerate(names):
        format = {"png": "PNG", "webp": "WEBP"}.get(name.rpartition(".")[2], "JPEG")
        (below / name).write_bytes(image(n, format, (3 + n, 9)))
    for name in (".hidden.jpg", "notes.txt", "deeper/x.jpg", "jpg"):
        (below / name).write_bytes(image())
    found = folder.index(Root(str(tmp_path)), "train/n01440764")
    assert found.table.schema == SCHEMA
    assert not found.faults
    rows = found.table.to_pylist()
    assert [r["path"] for r in rows] == [f"train/n01440764/{name}" for name in sorted(names)]
    for r in rows:
        data = (tmp_path / r["path"]).read_bytes()
        assert r["id"] == os.path.splitext(r["path"])[0]
        assert (r["offset"], r["size"]) == (0, len(data))
        assert r["digest"] == xxhash.xxh3_64(data).intdigest()
        assert (r["width"], r["height"]) == Image.open(io.BytesIO(data)).size
        assert (r["label"], r["caption"]) == (-1, "")


def test_the_root_itself_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(image())
    root = Root(str(tmp_path))
    assert folder.index(root, "").table["id"].to_pylist() == ["a"]
    assert folder.index(root, "empty").table.num_rows == 0


def test_what_is_left_out_is_counted_by_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (row, probing):
        monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 2000)
    for name, data in {
        "a.png": image(),
        "a.webp": image(1, "WEBP"),
        "empty.jpg": b"",
        "gif.jpg": b"GIF89a",
        "huge.jpg": bytes(2001),
    }.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone")
    found = folder.index(Root(str(tmp_path)), "")
    assert found.table["path"].to_pylist() == ["a.png"]
    assert found.named == {
        Fault.REPEATED_ID: ["a.webp"],
        Fault.EMPTY_IMAGE: ["empty.jpg"],
        Fault.NOT_AN_IMAGE: ["gif.jpg"],
        Fault.LARGE_FILE: ["huge.jpg"],
    }


def test_files_that_cannot_be_read_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image())
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    paths = ["a.png", "gone.jpg", "pipe.jpg", "folder.jpg", "../a.png", "/a.png", "a\0.png"]
    first, *others = folder.images(Root(str(tmp_path)), paths)
    assert isinstance(first, dict)
    assert others == [Fault.NO_IMAGE] + [Fault.UNREADABLE] * 5


def test_an_object_store_gives_the_same_rows(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for n in range(40):
        data = image(n) if n % 7 else b"broken"
        (tmp_path / f"{n:02d}.png").write_bytes(data)
        memory.pipe(f"/folder-test/{n:02d}.png", data)
    local = folder.index(Root(str(tmp_path)), "")
    remote = folder.index(Root("memory://folder-test"), "")
    assert remote == local
    assert local.faults == {Fault.NOT_AN_IMAGE: 6}
