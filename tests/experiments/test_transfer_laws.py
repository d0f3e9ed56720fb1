"""The study of transfer, as it stands in ``experiments/``."""

import subprocess
import sys
from pathlib import Path

import pytest

from raystudy.absent import expected
from raystudy.decoder import Decoder
from raystudy.experiment import ExperimentError, load
from raystudy.laws.effective_data import EffectiveData
from raystudy.plan import plan
from raystudy.spec import Initialisation, Pretraining, Study
from raystudy.store import Store

ROOT = Path(__file__).parents[2]
FILE = "experiments/transfer_laws.py"


MODALITIES = pytest.mark.parametrize("modality", ["text", "image"])


def study(modality: str, *options: str) -> Study:
    return load(ROOT / FILE).study(["--modality", modality, *options])


@MODALITIES
@pytest.mark.parametrize("scale", ["laptop", "tiny"])
def test_both_arms_are_tuned_alike(modality: str, scale: str) -> None:
    cells = study(modality, "--scale", scale).cells()
    assert len({cell.adaptation.key for cell in cells}) == 1
    kinds = {type(cell.backbone) for cell in cells}
    assert kinds == {Initialisation, Pretraining}


@MODALITIES
@pytest.mark.parametrize("scale", ["laptop", "tiny"])
def test_scratch_has_more_and_larger_amounts_of_data(modality: str, scale: str) -> None:
    shots: dict[type, set[int]] = {Initialisation: set(), Pretraining: set()}
    for cell in study(modality, "--scale", scale).cells():
        assert isinstance(cell.shots, int)
        shots[type(cell.backbone)].add(cell.shots)
    assert min(shots[Initialisation]) <= min(shots[Pretraining])
    assert max(shots[Initialisation]) >= 3 * max(shots[Pretraining])


@MODALITIES
def test_every_claim_is_about_sources_that_are_there(modality: str) -> None:
    whole = study(modality)
    names = {source.name for grid in whole.grids for source in grid.sources}
    assert isinstance(whole.law, EffectiveData)
    assert len(whole.claims) == 3
    for claim in whole.claims:
        asked = claim.model_dump(include={"near", "far", "source"})
        assert set(asked.values()) <= names


def test_more_points_from_scratch_leave_the_others_as_they_are() -> None:
    before, after = (
        {c.key for c in study("image", *o).cells()} for o in ((), ("--more-scratch", "30,60"))
    )
    assert before < after
    assert len(after) - len(before) == 2 * 3 * 4  # two more, for three models and four seeds


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ExperimentError, match="paper"):
        study("image", "--scale", "paper")
    with pytest.raises(ExperimentError, match="more_scratch"):
        study("image", "--more-scratch", "many")


def test_the_published_grid_is_planned_without_its_data(tmp_path: Path) -> None:
    whole, absent = expected(study("text", "--scale", "paper"))
    todo = plan(whole, Store(tmp_path))
    assert len(todo.missing_pretrainings) == 6 * 2 * 3  # models, sources, seeds
    assert len(todo.missing_cells) == 6 * 3 * (8 + 2 * 6)  # from scratch, and of two sources
    assert sorted(one.name for one in absent) == ["code", "python", "text"]
    networks = [p.architecture for p in todo.pretrainings]
    sizes = [network.num_parameters for network in networks if isinstance(network, Decoder)]
    assert 1e5 < min(sizes) < 1e6
    assert 1e9 < max(sizes) < 2e9


@pytest.mark.parametrize(("modality", "num_cells"), [("image", 192), ("text", 108)])
def test_a_plan_loads_no_torch(modality: str, num_cells: int) -> None:
    script = (
        "import sys\n"
        "from raystudy.experiment import load\n"
        f"cells = load({FILE!r}).study(['--modality', {modality!r}]).cells()\n"
        "print(len({c.key for c in cells}), "
        "sorted({'torch', 'ray', 'mlflow', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(num_cells), "[]"]


@pytest.mark.slow
@MODALITIES
def test_the_smallest_runs_and_is_reported(modality: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raystudy.cli", "run", FILE, "--modality", modality]
    command += ["--scale", "tiny", "--seeds", "2", "--in-process", "--store", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "studies" / f"transfer-laws-{modality}-tiny"
    assert (folder / "transfer-losses.pdf").exists()
    assert len((folder / "transfer-data.csv").read_text().splitlines()) == 1 + 2 * 2 * 2
    assert len((folder / "claims.csv").read_text().splitlines()) == 1 + 3
