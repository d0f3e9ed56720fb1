"""Published backbones in a study: a cell from a file, end to end, and what its records say."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import timm
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform

from raystudy import seal
from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.zero_shot import ZeroShot
from raystudy.ledger import Ledger
from raystudy.plan import plan
from raystudy.run import run
from raystudy.spec import Architecture, Cell, Grid, Initialisation, Preprocessing, Published, Study
from raystudy.stages.extract import Features, StoredEncoder
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tasks.digits import Digits
from raystudy.tracking import default_uri

SMALL: dict[str, Any] = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
SEEN = {"image_size": 16, "crop_share": 0.875}
TINY = Architecture(name="resnet18", args=SMALL, preprocessing=Preprocessing(image_size=16))


class Silent:
    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None: ...

    def refresh(self) -> None: ...


@pytest.fixture
def published(tmp_path: Path) -> Published:
    torch.manual_seed(7)
    model = timm.create_model("resnet18", num_classes=5, **SMALL)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    file = str(tmp_path / "weights.safetensors")
    return Published(model="timm/resnet18.a1_in1k", weights=file, args=SMALL, preprocessing=SEEN)


def grid(*backbones: Published, **fields) -> Grid:
    common = {
        "published": backbones,
        "tasks": (Digits(),),
        "adaptations": (LinearProbe(), ZeroShot()),
        "shots": (5, "full"),
        "seeds": (0, 1),
    }
    return Grid(**common | fields)


def drive(study: Study, store: Store):
    return run(
        study,
        store,
        lambda: nullcontext(InProcess(store)),
        Silent(),
        default_uri(Path(store.root)),
    )


def test_a_study_of_a_published_backbone_alone(published: Published, store: Store) -> None:
    study = Study(name="zoo", grids=(grid(published),))
    todo = plan(study, store)
    assert not todo.pretrainings
    assert len(todo.cells) == 6  # of two seeds: two shots, and zero-shot
    outcome = drive(study, store)
    assert not outcome.failures
    assert outcome.report
    page = Path(outcome.report).read_text()
    assert "a1_in1k" in page

    records = Ledger(store).read()
    rows = records.filter(pl.col("metric") == "accuracy", pl.col("split") == "test")
    assert set(rows["method"]) == {"published"}
    assert set(rows["source"]) == {"a1_in1k"}
    assert set(rows["architecture"]) == {"resnet18"}
    assert set(rows["size"]) == {0}
    assert rows.filter(shots="full")["value"].mean() > 0.2  # type: ignore[operator]
    unsupported = records.filter(pl.col("metric") == "unsupported")
    assert set(unsupported["adaptation"]) == {"zero-shot"}  # not what digits are called
    assert store.done_keys("features") == {Features(backbone=published, task=Digits()).key}

    again = run(
        study, store, lambda: pytest.fail("computed again"), Silent(), default_uri(Path(store.root))
    )
    assert again.report == outcome.report


@pytest.mark.slow
def test_the_features_kept_are_those_of_timm(published: Published, store: Store) -> None:
    """And what a plain logistic regression makes of them is about what the probe does."""
    drive(Study(name="zoo", grids=(grid(published, seeds=(0,)),)), store)
    folder = store.local("features", Features(backbone=published, task=Digits()).key)
    kept = np.load(folder / "train.npy")
    oracle: Any = timm.create_model("resnet18.a1_in1k", num_classes=0, **SMALL).eval()
    oracle.load_state_dict(load_file(str(published.weights)), strict=False)
    seen = {"input_size": 16, "crop_pct": 0.875}
    transform: Any = create_transform(**resolve_data_config({}, model=oracle) | seen)
    with seal.opened():
        train, test = Digits().train(), Digits().sealed()

    def features(images: np.ndarray) -> np.ndarray:
        views = [transform(Image.fromarray(i)) for i in images]
        with torch.inference_mode():
            return oracle(torch.stack(views)).numpy()

    expected = features(train.array)
    # Pillow rounds what it resizes to whole grey levels; nothing else differs.
    assert np.linalg.norm(kept - expected) < 0.01 * np.linalg.norm(expected)
    mean, deviation = expected.mean(0), expected.std(0) + 1e-9
    head = LogisticRegression(max_iter=500).fit((expected - mean) / deviation, train.labels)
    score = head.score((features(test.array) - mean) / deviation, test.labels)
    probe = Ledger(store).read().filter(metric="accuracy", split="test", shots="full")["value"]
    assert probe.to_list() == [pytest.approx(score, abs=0.03)]


@pytest.mark.slow
def test_two_published_backbones_are_compared_by_tag(
    published: Published, store: Store, tmp_path: Path
) -> None:
    weights = {
        n: t * 1.1 for n, t in load_file(str(published.weights)).items() if t.is_floating_point()
    }
    save_file(load_file(str(published.weights)) | weights, tmp_path / "other.safetensors")
    moved = {"weights": str(tmp_path / "other.safetensors")}
    with pytest.raises(ValueError, match="look the same in every table but differ in backbone"):
        plan(Study(name="zoo", grids=(grid(published, published.model_copy(update=moved)),)), store)
    other = published.model_copy(update=moved | {"label": "scaled"})
    baseline = Grid(
        architectures=(TINY,),
        tasks=(Digits(),),
        adaptations=(LinearProbe(),),
        shots=(5,),
        seeds=(0, 1),
    )
    outcome = drive(Study(name="zoo", grids=(grid(published, other), baseline)), store)
    assert not outcome.failures
    assert outcome.report
    page = Path(outcome.report).read_text()
    for words in ("a1_in1k", "scaled", "random features"):
        assert words in page


def test_fine_tuning_moves_a_copy(published: Published, store: Store) -> None:
    encoder = StoredEncoder(published, store)
    before = {n: t.clone() for n, t in encoder.frozen.state_dict().items()}
    train = Digits().train().take(np.arange(20))
    tuned = FineTune(num_steps=2, learning_rates=(0.1,)).adapt(
        train, train, encoder, Digits().prompts(), 0
    )
    assert tuned
    assert tuned.predict(train.array).shape == (20, 10)
    for name, tensor in encoder.frozen.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_weights_that_vanish_after_planning_fail_their_cells_alone(
    published: Published, store: Store
) -> None:
    study = Study(name="zoo", grids=(grid(published, seeds=(0,)),))
    assert plan(study, store).missing_cells
    Path(str(published.weights)).unlink()
    outcome = drive(study, store)  # the key is known, the file is gone
    (line,) = outcome.failures.values()
    assert "no such file" in line
    assert "a1_in1k" in line


def test_a_grid_needs_no_architecture_for_published_backbones_only(published: Published) -> None:
    assert list(grid(published).backbones()) == [published]
    with pytest.raises(ValidationError, match=r"Grid\.architectures is empty"):
        grid()
    both = grid(published, architectures=(Architecture(name="resnet18"),))
    assert not any(isinstance(b, Initialisation) for b in both.backbones())


def test_a_published_cell_survives_json(published: Published) -> None:
    cell = Cell(backbone=published, task=Digits(), adaptation=LinearProbe(), shots=5)
    form = json.loads(json.dumps(cell.describe()))
    fields = form["fields"]["backbone"]["fields"]
    assert "weights" not in fields
    assert fields["content"] == published.content
