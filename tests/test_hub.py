"""Names, files and identities of published models; the hub is a server of this test's own."""

import hashlib
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from huggingface_hub import constants
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from pydantic import ValidationError
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from timm.models import get_pretrained_cfg

from raystudy.hub.files import sha256
from raystudy.hub.offer import offer
from raystudy.spec import Preprocessing, Published
from raystudy.views import evaluation_view


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def picture(height: int, width: int) -> np.ndarray:
    """Edges, a gradient and noise."""
    rng = np.random.default_rng(height * width)
    image = np.add.outer(np.arange(height), np.arange(width))[..., None] % np.array([64, 97, 256])
    image[height // 3 :, width // 4 : width // 2] = (255, 0, 128)
    return (image + rng.integers(0, 40, image.shape)).clip(0, 255).astype(np.uint8)


def levels(preprocessing: Preprocessing, image: np.ndarray, oracle) -> np.ndarray:
    """How far our view is from the library's own, in grey levels of 0 to 255."""
    ours = evaluation_view(torch.from_numpy(image)[None], preprocessing)[0]
    theirs = oracle(Image.fromarray(image))
    assert ours.shape == theirs.shape
    deviation = torch.tensor(preprocessing.deviation).view(3, 1, 1)
    return ((ours - theirs) * deviation * 255).abs().numpy()


SHAPES = [(256, 256), (200, 300), (97, 180), (32, 32)]
# Pillow rounds to whole levels after each of its two passes; we never do.
MOST, MEAN = 1.25, 0.35


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name",
    [
        "resnet50.a1_in1k",  # the middle, bicubic
        "resnet50.tv_in1k",  # the middle, bilinear
        "vit_base_patch16_clip_384.laion2b_ft_in12k_in1k",  # squashed, a mean of its own
    ],
)
def test_images_are_prepared_as_timm_does(name: str, shape: tuple[int, int]) -> None:
    described = get_pretrained_cfg(name)
    assert described
    oracle = create_transform(**resolve_data_config({}, pretrained_cfg=described.to_dict()))
    found = Preprocessing(**offer(f"timm/{name}").preprocessing)
    error = levels(found, picture(*shape), oracle)
    assert error.max() <= MOST
    assert error.mean() <= MEAN


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "tag"), [("RN50", "openai"), ("ViT-B-16-SigLIP", "webli")])
def test_images_are_prepared_as_open_clip_does(name: str, tag: str, shape: tuple[int, int]) -> None:
    described = open_clip.pretrained.get_pretrained_cfg(name, tag)
    fields = {k: described[k] for k in ("mean", "std", "interpolation", "resize_mode")}
    oracle = image_transform_v2(PreprocessCfg(size=224, **fields), is_train=False)
    found = Preprocessing(**offer(f"open_clip/{name}/{tag}").preprocessing)
    error = levels(found, picture(*shape), oracle)
    assert error.max() <= MOST
    assert error.mean() <= MEAN


def test_every_model_of_both_libraries_is_described_or_refused_in_a_line() -> None:
    names = [f"timm/{n}" for n in timm.list_models(pretrained=True)]
    names += [f"open_clip/{n}/{tag}" for n, tag in open_clip.list_pretrained()]
    assert len(names) > 1000
    refused = {}
    for name in names:
        try:
            found = offer.__wrapped__(name)
        except ValueError as error:
            refused[name] = str(error)
        else:
            Preprocessing(**found.preprocessing)
            assert found.files, name
    assert all("which no Preprocessing can express" in line for line in refused.values())
    assert len(refused) < 0.02 * len(names)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("resnet50", "'resnet50' is no model's name; write timm/NAME.TAG"),
        ("hf-hub:resnet50", "is no model's name"),
        ("timm/a/b", "is no model's name"),
    ],
)
def test_a_name_of_no_form_is_refused_at_once(model: str, line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        Published(model=model)


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("timm/resnet5O.a1_in1k", r"timm/resnet50\.a1_in1k"),
        ("timm/resnet50.a1_in1", r"timm/resnet50\.a1_in1k"),
        ("open_clip/RN50/openal", "open_clip/RN50/openai"),
        ("open_clip/VitB32/openai", "open_clip/ViT-B-32/openai"),
        ("timm/resnet50", r"name a tag, such as timm/resnet50\.a1_in1k"),
        ("open_clip/RN50", "name a tag, such as open_clip/RN50/openai"),
    ],
)
def test_a_name_that_nobody_offers_has_near_ones(model: str, near: str) -> None:
    with pytest.raises(ValueError, match=near):
        _ = Published(model=model).key


def test_what_is_not_here_is_asked_for_in_one_line() -> None:
    with pytest.raises(FileNotFoundError) as error:
        _ = Published(model="timm/resnet50.a1_in1k").key
    line = str(error.value)
    assert "\n" not in line
    for part in (
        "timm/resnet50.a1_in1k",
        "timm/resnet50.a1_in1k/model.safetensors",
        "HF_HUB_OFFLINE",
        ".weights",
    ):
        assert part in line
    with pytest.raises(FileNotFoundError, match=r"its description is not .*open_clip_config\.json"):
        _ = Published(model="hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K").key
    with pytest.raises(FileNotFoundError, match="no such file"):
        _ = Published(model="timm/resnet18", weights="nowhere.safetensors").key


def test_weights_are_their_content_wherever_they_lie(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("b.safetensors", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)

    def published(name: str, **fields) -> Published:
        return Published(model="timm/resnet18", weights=str(tmp_path / name), **fields)

    assert published("a.pt").key == published("b.safetensors").key
    assert published("a.pt").key != published("c.pt").key
    assert published("a.pt").key != published("a.pt", preprocessing={"image_size": 64}).key
    assert published("a.pt").key != published("a.pt", args={"drop_rate": 0.1}).key
    other = Published(model="timm/resnet34", weights=str(tmp_path / "a.pt"))
    assert published("a.pt").key != other.key
    (tmp_path / "a.pt").write_bytes(b"three, by now")
    assert published("a.pt").key != published("b.safetensors").key


def test_a_pinned_hash_stands_for_weights_that_are_not_here(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    there = Published(model="timm/resnet18", weights=str(file))
    pinned = Published(model="timm/resnet18", sha256=hashlib.sha256(b"weights").hexdigest())
    assert pinned.key == there.key


def test_identity_travels_with_a_spec(tmp_path: Path) -> None:
    """A worker holds what the study was planned with, not what lies at the path by then."""
    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    spec = Published(model="timm/resnet18", weights=str(file))
    content = spec.content
    sent = pickle.dumps(spec)
    file.write_bytes(b"others")
    assert pickle.loads(sent).content == content


CONTENT = {
    "/owner/model/resolve/main/model.safetensors": b"weights " * 4096,
    "/owner/model/resolve/main/config.json": b'{"architecture": "resnet18", "num_features": 512, '
    b'"input_size": [3, 96, 96], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}',
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download needs."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        content = CONTENT.get(self.path)
        known = self.path.startswith("/owner/model/")
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            content = b""
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_downloaded_once_then_found_without_a_connection(hub: str, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from raystudy.hub.files import sha256
        from raystudy.hub.offer import offer
        from raystudy.spec import Published
        spec = Published(model="hf-hub:owner/model")
        print(spec.key, sha256(spec.weights_file()), offer(spec.model).preprocessing["image_size"])
        try:
            Published(model="hf-hub:nobody/model").key
        except FileNotFoundError as error:
            print(error)
        """
    )

    def run(endpoint: str) -> list[str]:
        environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "PATH": ""}
        return subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    first, missing = run(hub)
    digest = hashlib.sha256(CONTENT["/owner/model/resolve/main/model.safetensors"]).hexdigest()
    assert first.split()[1:] == [digest, "96"]
    assert "no repository 'nobody/model'" in missing
    again, unreachable = run("http://127.0.0.1:9")  # nobody listens there
    assert again == first
    assert "not on this machine (no download:" in unreachable
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(CONTENT["/owner/model/resolve/main/model.safetensors"])
    assert sha256(copy) == digest


def test_planning_without_published_models_loads_neither_library() -> None:
    script = (
        "import sys, raystudy.spec, raystudy.plan\n"
        "from raystudy.spec import Published\n"
        "Published(model='timm/resnet50.a1_in1k', sha256='0' * 64)\n"
        "print(sorted({'torch', 'timm', 'open_clip', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
