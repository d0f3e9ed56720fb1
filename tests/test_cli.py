"""The command line: quick answers, and one clear line for each mistake, before anything runs."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from raystudy.ledger import Ledger
from raystudy.metrics.ece import ECE
from raystudy.store import Store

ROOT = Path(__file__).parents[1]
RAYSTUDY = str(Path(sys.executable).parent / "raystudy")
QUICKSTART = "experiments/quickstart.py"
SMALL = "tests/experiments/small.py"


def raystudy(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RAYSTUDY, *arguments], cwd=cwd, capture_output=True, text=True)


def test_help_and_plan_come_at_once(tmp_path: Path) -> None:
    raystudy("--help")  # bytecode and disk caches
    started = time.monotonic()
    assert raystudy("--help").returncode == 0
    assert raystudy("plan", QUICKSTART, "--store", str(tmp_path)).returncode == 0
    assert time.monotonic() - started < 15  # seconds even on a machine that is busy


def test_a_plan_says_what_will_run(tmp_path: Path) -> None:
    plan = raystudy("plan", SMALL, "--store", str(tmp_path), "--seeds", "2")
    assert "small: " in plan.stdout
    assert "on 12 pre-trainings of 1 sources" in plan.stdout
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


PREAMBLE = (ROOT / SMALL).read_text()


def wrong(old: str, new: str) -> str:
    assert old in PREAMBLE
    return PREAMBLE.replace(old, new)


WEB = wrong(
    'Glyphs(script="latin", num_examples=300, image_size=16)', "WebDataset(path='nope')"
).replace("import Glyphs", "import Glyphs\nfrom raystudy.sources.webdataset import WebDataset")


def test_a_plan_needs_no_data(tmp_path: Path) -> None:
    file = tmp_path / "experiment.py"
    file.write_text(WEB)
    plan = raystudy("plan", str(file), "--store", str(tmp_path / "runs"), cwd=tmp_path)
    assert plan.returncode == 0
    assert "on 6 pre-trainings of 1 sources" in plan.stdout
    assert "not here yet: nope (WebDataset), expected in nope" in plan.stdout
    assert "samples to be seen" in plan.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_plan_is_for_a_device(tmp_path: Path) -> None:
    plan = raystudy("plan", SMALL, "--store", str(tmp_path), "--device", "A100")
    assert "device-hours of a100" in plan.stdout
    assert "storage: weights" in plan.stdout
    assert "an estimate, from counted operations" in plan.stdout


def test_options_are_listed() -> None:
    listed = raystudy("plan", SMALL, "--options").stdout
    assert "--seeds" in listed
    assert "int" in listed


MISTAKES = {
    "unknown field": (
        wrong("sizes=sizes,", "sizes=sizes, shotz=(1,),"),
        "Grid has no field 'shotz'; did you mean 'shots'?",
    ),
    "misspelt class in an import": (
        wrong("import LinearProbe", "import LinerProbe"),
        "did you mean 'LinearProbe'?",
    ),
    "misspelt class in the study": (
        wrong("adaptations=(LinearProbe()", "adaptations=(LinearProb()"),
        "did you mean: 'LinearProbe'?",
    ),
    "missing shard folder": (WEB, "WebDataset.path=nope: no *.tar below"),
    "too many shots": (
        wrong('shots=(1, 5, "full")', "shots=(1, 500)"),
        "Grid.shots=500: class 'digit zero' of task 'digits' has only 80 training examples",
    ),
    "an impossible size": (
        wrong("num_examples=300", "num_examples=100"),
        "Pretraining.size",
    ),
    "noise that a method never reads": (
        wrong("methods=(Supervised(),)", "methods=(SimCLR(),)"),
        "which SimCLR never reads",
    ),
    "a negative rate": (wrong("rate=0.5", "rate=-0.5"), "Symmetric.rate"),
    "batches of broken chunks": (
        wrong("chunk_size=8", "chunk_size=7"),
        "Budget.batch_size=16 is not a multiple of chunk_size=7",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(mistake: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[mistake]
    file = tmp_path / "experiment.py"
    file.write_text(text)
    result = raystudy("run", str(file), "--store", str(tmp_path / "runs"), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "runs" / "sources").exists(), "nothing ran"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.py"], "nowhere.py: no such file"),
        (["plan", QUICKSTART, "--sedes", "5"], "no option --sedes; did you mean --seeds?"),
        (["plan", QUICKSTART, "--seeds", "many"], "--seeds='many'"),
        (["plan", QUICKSTART, "--scale", "galaxy"], "--scale='galaxy'"),
        (["plan", QUICKSTART, "--seeds"], "--seeds needs a value"),
        (["plan", QUICKSTART, "--seeds", "0"], "Grid.seeds is empty"),
        (["plan", QUICKSTART, "--store", "nonsense://x"], "give a folder or an fsspec URL"),
        (["plan", QUICKSTART, "--device", "abacus"], "known: v100, a100, h100, cpu-core"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(arguments: list[str], expected: str) -> None:
    result = raystudy(*arguments)
    assert result.returncode == 2
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


CALIBRATED = """
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.metrics.ece import ECE
from raystudy.spec import Architecture, Grid, Preprocessing, Study
from raystudy.tasks.digits import Digits


def study(calibrated: bool = False) -> Study:
    seen = Preprocessing(image_size=16, grayscale=True, standardise="image")
    small = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    architecture = Architecture(name="resnet18", args=small, preprocessing=seen)
    grid = Grid(
        architectures=(architecture,),
        tasks=(Digits(),),
        adaptations=(LinearProbe(),),
        shots=(5, "full"),
        seeds=(0,),
    )
    return Study(name="untrained", grids=(grid,), metrics=(ECE(),) if calibrated else ())
"""


@pytest.mark.slow
def test_a_metric_is_added_to_a_finished_study(tmp_path: Path) -> None:
    """With nothing left in the store but its ledger: no model is opened."""
    (tmp_path / "experiment.py").write_text(CALIBRATED)
    store = tmp_path / "runs"
    run = raystudy("run", "experiment.py", "--in-process", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    for room in store.iterdir():
        if room.is_dir() and room.name != "ledger":
            shutil.rmtree(room)
    asked = ("metrics", "recompute", "experiment.py", "--calibrated", "true")
    first, again = raystudy(*asked, cwd=tmp_path), raystudy(*asked, cwd=tmp_path)
    assert "2 cells scored; metrics: ece" in first.stdout, first.stderr
    assert "0 cells scored; metrics: ece" in again.stdout, again.stderr
    ledger = Ledger(Store(store))
    for row in ledger.read(metrics=[ECE()]).filter(metric="ece").iter_rows(named=True):
        own = ledger.predictions([row["cell"]]).filter(split=row["split"])
        logits, labels = np.array(own["logits"].to_list()), own["label"].to_numpy()
        assert row["value"] == ECE().compute(logits, labels)
