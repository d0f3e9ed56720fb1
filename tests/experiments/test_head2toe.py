"""The study of Head2Toe, as it stands in ``experiments/``."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from raystudy.absent import expected
from raystudy.adapt.finetune import FineTune
from raystudy.experiment import load
from raystudy.plan import plan
from raystudy.spec import Initialisation, Published, Study
from raystudy.store import Store

ROOT = Path(__file__).parents[2]
FILE = "experiments/head2toe.py"


def study(*options: str) -> Study:
    return load(ROOT / FILE).study(options)


def pinned(whole: Study) -> Study:
    """With hashes in place of weights, which are not needed to plan."""
    grids = []
    for grid in whole.grids:
        backbones = (
            p.model_copy(update={"sha256": hashlib.sha256(p.model.encode()).hexdigest()})
            for p in grid.published
        )
        grids.append(grid.model_copy(update={"published": tuple(backbones)}))
    return whole.model_copy(update={"grids": tuple(grids)})


@pytest.mark.parametrize("scale", ["laptop", "tiny"])
def test_every_claim_has_its_cells(scale: str, tmp_path: Path) -> None:
    todo = plan(study("--scale", scale), Store(str(tmp_path)))
    asked = {
        tuple(c.axes()[k] for k in ("task", "method", "adaptation", "seed")) for c in todo.cells
    }
    for claim in todo.study.claims:
        for task in claim.tasks:  # pyright: ignore[reportAttributeAccessIssue]
            for seed in (0, 1):
                for adaptation in ("linear-probe", "head2toe", "fine-tune"):
                    assert (task, "supervised", adaptation, seed) in asked
                assert (task, "none", "fine-tune", seed) in asked


def test_the_laptop_has_the_protocol_of_vtab() -> None:
    tasks = {task.name: task for grid in study().grids for task in grid.tasks}
    assert len(tasks) == 9
    for task in tasks.values():
        assert (task.size.train, task.size.validation) == (800, 200)
    assert all(grid.shots == ("full",) for grid in study().grids)


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_scratch_is_tuned_as_much_as_what_was_pretrained(scale: str) -> None:
    tried: dict[str, list[tuple[int, int, int]]] = {}
    for grid in study("--scale", scale).grids:
        backbones = [*(p.axes()["architecture"] for p in grid.published)]
        for name in backbones or [a.title for a in grid.architectures]:
            tried.setdefault(name, []).extend(
                (len(a.learning_rates), a.num_steps, a.batch_size)
                for a in grid.adaptations
                if isinstance(a, FineTune)
            )
    assert all(len(budgets) == 2 and len(set(budgets)) == 1 for budgets in tried.values())


def test_the_papers_scale_can_be_planned_without_data_or_weights(tmp_path: Path) -> None:
    whole, absent = expected(pinned(study("--scale", "paper", "--data", str(tmp_path / "none"))))
    todo = plan(whole, Store(str(tmp_path / "store")))
    assert len(absent) == 19
    assert len(todo.cells) == 2 * 19 * 2 * 4
    kinds = {type(cell.backbone) for cell in todo.cells}
    assert kinds == {Published, Initialisation}
    untrained, published = (
        {c.backbone.axes()["architecture"] for c in todo.cells if isinstance(c.backbone, kind)}
        for kind in (Initialisation, Published)
    )
    assert untrained == published


def test_what_it_asks_differently_has_another_name() -> None:
    options = [(), ("--taps", "2048"), ("--solver", "adam"), ("--scale", "tiny")]
    assert len({study(*o).name for o in options}) == 4


def test_a_plan_loads_no_torch() -> None:
    script = (
        "import sys\n"
        "from raystudy.experiment import load\n"
        f"keys = [c.key for c in load({FILE!r}).study([]).cells()]\n"
        "print(len(set(keys)), sorted({'torch', 'ray', 'mlflow', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["72", "[]"]
