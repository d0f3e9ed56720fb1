"""What to run next, for which number: said plainly, also where there is nothing to say."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from raystudy.asked import ALIKE
from raystudy.estimate import estimate, seconds_by_backbone
from raystudy.experiment import load
from raystudy.next_best import advise
from raystudy.plan import plan
from raystudy.spec import Study
from raystudy.store import Store

from .invented import finish, noisy

ROOT = Path(__file__).parents[1]
TINY = ["--seeds", "4", "--scale", "tiny"]
SIZES = (128, 256, 512, 600)


@pytest.fixture(scope="module")
def quickstart() -> Study:
    study = load("experiments/quickstart.py").study(TINY)
    sized = {"sizes": SIZES, "shots": (1, 10, "full")}
    return study.model_copy(update={"grids": [g.model_copy(update=sized) for g in study.grids[:2]]})


@pytest.fixture(scope="module")
def half(quickstart, tmp_path_factory) -> Store:
    """Three of four seeds have run."""
    store = Store(tmp_path_factory.mktemp("half"))
    finish(store, [c for c in quickstart.cells() if c.seed < 3], noisy(0.004))
    return store


def test_steps_narrow_the_multiplier_one_after_the_other(quickstart, half):
    advice = advise(plan(quickstart, half), half, "multiplier:latin/greek", 5)
    assert advice.unit == ALIKE
    assert advice.interval[0] < 2 < advice.interval[1]
    assert advice.quantity == "multiplier of latin over greek"
    assert len(advice.steps) == 5
    ends = [advice.interval, *(step.after for step in advice.steps)]
    assert all(a[0] < b[0] < b[1] < a[1] for a, b in itertools.pairwise(ends))
    assert all("seed 3" in step.what and step.hours > 0 for step in advice.steps)
    assert {step.what.split(",")[0] for step in advice.steps} <= {"latin", "greek"}
    assert [step.before for step in advice.steps[1:]] == [s.after for s in advice.steps[:-1]]


def test_the_same_ledger_gives_the_same_advice(quickstart, half):
    todo = plan(quickstart, half)
    assert advise(todo, half, "multiplier", 3) == advise(todo, half, "multiplier", 3)


def test_without_arms_the_least_certain_comes_first(quickstart, half):
    advice = advise(plan(quickstart, half), half, "exponent", 1)
    assert advice.quantity.startswith("alpha of ")
    assert sum(note.startswith("alpha of") for note in advice.notes) == 3
    error = advise(plan(quickstart, half), half, "error@50000:symbols", 2)
    assert error.unit == "points"
    assert error.quantity == "error of symbols at 50,000"
    assert all(step.what.startswith("symbols, size") for step in error.steps)


def test_a_claim_is_for_whole_seeds(quickstart, half):
    advice = advise(plan(quickstart, half), half, "claim:1", 5)
    (step,) = advice.steps
    assert step.what == "seed 3, the 3 backbones that it lacks"
    before, after = (end[1] - end[0] for end in (step.before, step.after))
    # Student's: 4.303/√3 for three seeds, 3.182/√4 for four.
    assert after / before == pytest.approx((3.1824 / 2) / (4.3027 / 3**0.5), rel=1e-3)
    named = advise(plan(quickstart, half), half, "claim:SourceSpreadShrinks", 5)
    assert named == advice


def test_hours_are_those_of_the_estimate(quickstart, half):
    todo = plan(quickstart, half)
    name, seconds = seconds_by_backbone(todo, half)
    guess = estimate(todo, half)
    assert name == guess.device
    assert sum(seconds.values()) == pytest.approx(guess.pretrain_s + (guess.adapt_s or 0))


def test_nothing_missing_is_said_so(quickstart, tmp_path):
    store = Store(tmp_path / "all")
    finish(store, quickstart.cells(), noisy())
    todo = plan(quickstart, store)
    advice = advise(todo, store, "multiplier:latin/greek", 5)
    assert not advice.steps
    assert "nothing of latin and greek is missing in this study" in advice.refusal
    assert advice.interval[0] < advice.value < advice.interval[1]
    assert "nothing that it depends on is missing" in advise(todo, store, "claim:1", 5).refusal


def test_what_is_not_identified_says_what_would_do_it(quickstart, tmp_path):
    store = Store(tmp_path / "few")
    few = [c for c in quickstart.cells() if c.seed < 3 and c.axes()["size"] in SIZES[:2]]
    finish(store, few, noisy())
    todo = plan(quickstart, store)
    advice = advise(todo, store, "multiplier:latin/greek", 5)
    assert not advice.steps
    assert "latin has run at 2 sizes, and a curve takes 3" in advice.refusal
    assert "it takes latin at 512, 600 and greek at 512, 600" in advice.refusal


def test_a_multiplier_out_of_reach_asks_for_sizes_beyond(quickstart, tmp_path):
    """symbols' data is worth a third of latin's: its curve never gets that low."""
    store = Store(tmp_path / "reach")
    cells = [c for c in quickstart.cells() if c.seed < 3]
    own = {"symbols": SIZES[:3], "latin": SIZES}
    finish(
        store, [c for c in cells if c.axes()["size"] in own.get(c.axes()["source"], ())], noisy()
    )
    advice = advise(plan(quickstart, store), store, "multiplier:symbols/latin", 5)
    assert "out of reach of the sizes" in advice.refusal
    assert "it takes symbols at 600" in advice.refusal
    nothing = advise(plan(quickstart, store), store, "claim:1", 5)
    assert "not judged yet" in nothing.refusal or "lacks" in nothing.steps[0].what


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("multiplier:latin/french", "no arm 'french'; arms: latin, greek, symbols, latin symm"),
        ("multiplier:latin", "takes two arms"),
        ("beta", "no such parameter; there are multiplier, E, A, alpha"),
        ("error@none", "a size is a positive number"),
        ("claim:7", r"its claims: 1 \(SourceSpreadShrinks\), 2"),
    ],
)
def test_what_the_study_has_not_is_one_clear_line(quickstart, half, wanted, message):
    with pytest.raises(ValueError, match=message):
        advise(plan(quickstart, half), half, wanted, 5)


def test_the_command_line_lists_them(tmp_path):
    study = load("experiments/quickstart.py").study(TINY)
    store = Store(tmp_path / "s")
    finish(store, [c for c in study.cells() if c.seed < 3], noisy())
    command = ["raystudy.cli", "plan", "experiments/quickstart.py", *TINY, "--store", store.root]
    asked = ["--next", "3", "--for", "multiplier:latin/greek", "--decided"]
    done = subprocess.run(
        [sys.executable, "-m", *command, *asked], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "multiplier of latin over greek" in done.stdout
    assert "device-hours" in done.stdout
    assert ", seed 3" in done.stdout
    assert "data of latin against greek:" in done.stdout
    assert "missing cells can change none of it" in done.stdout
