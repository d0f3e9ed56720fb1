"""Estimates rest on the nearest evidence, and say which."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raystudy.cost import cost
from raystudy.estimate import CPU_CORE, SPEEDS, Estimate, estimate
from raystudy.methods.simclr import SimCLR
from raystudy.plan import plan
from raystudy.spec import Architecture, Budget, Optimisation, Pretraining, Study
from raystudy.store import Store

ROOT = Path(__file__).parents[1]


def varied(study: Study, **changes: object) -> Study:
    grids = [g.model_copy(update=changes) if g.methods else g for g in study.grids]
    return study.model_copy(update={"grids": grids})


@pytest.fixture
def finish(store: Store) -> Callable[..., None]:
    """Marks a pre-training as done, with what it cost."""

    def finish(spec: Pretraining, **facts: object) -> None:
        own = {"samples_seen": spec.samples_seen, "num_workers": 1, "device": "cpu"}
        with store.writing(spec.room, spec, **(own | facts)):
            pass

    return finish


def of(study: Study, store: Store, device: str | None = None) -> Estimate:
    return estimate(plan(study, store), store, device)


def test_small_networks_are_guessed_without_counting(study: Study, store: Store) -> None:
    guess = of(study, store)
    seen = sum(p.samples_seen for p in plan(study, store).pretrainings)
    assert guess.device == CPU_CORE
    assert guess.pretrain_s == pytest.approx(seen / 1_500)
    assert guess.flops is None
    assert "a guess" in guess.basis[0]


def test_two_views_take_twice_as_long(study: Study, store: Store) -> None:
    views = varied(study, methods=(SimCLR(),), noises=(None,))
    seen = sum(p.samples_seen for p in plan(views, store).pretrainings)
    assert of(views, store).pretrain_s == pytest.approx(2 * seen / 1_500)


def test_measured_rates_come_first(study: Study, store: Store, finish) -> None:
    first, *others = plan(study, store).pretrainings
    finish(first, spent_s=4.0, samples_per_s=first.samples_seen / 4)
    guess = of(study, store)
    left = sum(p.samples_seen for p in others)
    assert guess.pretrain_s == pytest.approx(4 * left / first.samples_seen)
    assert guess.basis == ("rates measured in this store",)


def test_runs_made_before_rates_were_recorded_count_too(study: Study, store: Store, finish) -> None:
    first, *others = plan(study, store).pretrainings
    finish(first, spent_s=4.0)
    left = sum(p.samples_seen for p in others)
    assert of(study, store).pretrain_s == pytest.approx(4 * left / first.samples_seen)


def test_workers_that_share_a_run_are_all_paid(study: Study, store: Store, finish) -> None:
    first, *others = plan(study, store).pretrainings
    finish(first, spent_s=4.0, samples_per_s=first.samples_seen / 4, num_workers=3)
    left = sum(p.samples_seen for p in others)
    assert of(study, store).pretrain_s == pytest.approx(3 * 4 * left / first.samples_seen)


def test_a_published_speed_divides_what_was_counted(study: Study, store: Store) -> None:
    guess = of(study, store, "a100")
    runs = plan(study, store).pretrainings
    flops = sum(p.samples_seen * cost(p).flops_per_sample for p in runs)
    assert guess.flops == flops
    assert guess.pretrain_s == pytest.approx(flops / SPEEDS["a100"].single)
    assert "DeepLearningExamples" in guess.basis[0]
    half = varied(study, optimisation=Optimisation(precision="bfloat16"))
    assert of(half, store, "a100").pretrain_s == pytest.approx(flops / SPEEDS["a100"].half)


def test_a_device_that_ran_something_is_estimated_by_what_it_reached(
    study: Study, store: Store, finish
) -> None:
    """Another method has no rate yet: its operations are taken at the speed that was reached."""
    first = plan(study, store).pretrainings[0]
    facts = {"spent_s": 2.0, "samples_per_s": 100.0, "flops_per_sample": 5e6}
    finish(first, device="NVIDIA Z9 80GB", **facts)
    both = study.model_copy(
        update={
            "grids": (*study.grids, varied(study, methods=(SimCLR(),), noises=(None,)).grids[0])
        }
    )
    todo = plan(both, store)
    by_rate = sum(
        p.samples_seen / 100 for p in todo.missing_pretrainings if p.method.num_views == 1
    )
    by_count = sum(
        p.samples_seen * cost(p).flops_per_sample / 5e8
        for p in todo.missing_pretrainings
        if p.method.num_views == 2
    )
    for device in ("z9", None):  # it also ran most of this study
        guess = estimate(todo, store, device)
        assert "z9" in guess.device
        assert guess.pretrain_s == pytest.approx(by_rate + by_count)
    assert len(guess.basis) == 2


def test_a_cpu_is_no_evidence_for_a_gpu(study: Study, store: Store, finish) -> None:
    before = of(study, store, "h100").pretrain_s
    first, *_ = plan(study, store).pretrainings
    finish(first, spent_s=1e6, samples_per_s=1e-3)
    assert of(study, store, "h100").pretrain_s < before


def test_an_unknown_device_is_refused_with_those_known(study: Study, store: Store) -> None:
    with pytest.raises(ValueError, match=r"--device abacus: .* known: v100, a100, h100, cpu-core"):
        of(study, store, "abacus")


def test_large_networks_are_counted_even_for_a_core(study: Study, store: Store) -> None:
    (architecture,) = study.grids[0].architectures
    assert isinstance(architecture, Architecture)
    large = architecture.preprocessing.model_copy(update={"image_size": 96})
    wide = architecture.model_copy(update={"preprocessing": large})
    guess = of(varied(study, architectures=(wide,)), store)
    runs = plan(varied(study, architectures=(wide,)), store).pretrainings
    assert guess.pretrain_s == pytest.approx(
        sum(p.samples_seen * cost(p).flops_per_sample for p in runs) / SPEEDS[CPU_CORE].single
    )
    assert guess.adapt_s is None
    assert guess.weights_bytes == sum(cost(p).weights_bytes for p in runs)


def test_selections_that_are_shared_are_stored_once(study: Study, store: Store) -> None:
    views = varied(study, noises=(None,))
    both = varied(study, noises=(None,), methods=(SimCLR(), *study.grids[0].methods))
    assert len(plan(both, store).pretrainings) == 2 * len(plan(views, store).pretrainings)
    assert of(both, store).selections_bytes == of(views, store).selections_bytes


def test_a_shared_trunk_is_paid_once(study: Study, store: Store) -> None:
    stable = Optimisation(schedule="wsd", warmup_steps=1)
    budget = Budget(batch_size=16, chunk_size=8, order="sampled")
    todo = plan(
        varied(study, noises=(None,), optimisation=stable, budget=budget, sizes=(128, 256)), store
    )
    assert todo.missing_trunks
    alone = sum(p.samples_seen for p in todo.missing_pretrainings)
    assert estimate(todo, store).pretrain_s == pytest.approx(todo.samples_to_train / 1_500)
    assert todo.samples_to_train < alone
    guess = estimate(todo, store, "a100")
    assert guess.trunks_bytes
    assert guess.flops == pytest.approx(
        todo.samples_to_train * cost(todo.pretrainings[0]).flops_per_sample
    )


def test_a_plan_of_a_small_study_loads_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from raystudy.absent import expected\n"
        "from raystudy.cli_plan import print_estimate, print_plan\n"
        "from raystudy.experiment import load\n"
        "from raystudy.plan import plan\n"
        "from raystudy.store import Store\n"
        "study, absent = expected(load('experiments/role_of_pretraining_data.py').study([]))\n"
        f"store = Store({str(tmp_path)!r})\n"
        "todo = plan(study, store)\n"
        "print_plan(todo, absent); print_estimate(todo, store)\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'sklearn', 'timm'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "114 pre-trainings of 7 sources" in done.stdout
