"""Shared beginnings: which runs begin alike, in what order they train, and what that saves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.methods.supervised import Supervised
from raystudy.optimiser import scheduled_rate
from raystudy.order import step_rows
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Budget, Optimisation, Pretraining, Trunk
from raystudy.trunks import beginning, in_order, own_samples, shared_trunks

BRANCHED = Optimisation(schedule="wsd", warmup_steps=3)
IN_ORDER = Budget(order="sampled", batch_size=8, chunk_size=4)


def spec(size: int, seed: int = 0, **fields: object) -> Pretraining:
    values = {"optimisation": BRANCHED, "budget": IN_ORDER} | fields
    return Pretraining(
        method=Supervised(),
        architecture=Architecture(name="resnet18"),
        source=Glyphs(script="latin"),
        size=size,
        seed=seed,
        **values,  # pyright: ignore[reportArgumentType]
    )


@settings(deadline=None)
@given(st.integers(16, 500), st.integers(16, 500))
def test_a_run_sees_and_does_what_its_trunk_did(size: int, other: int) -> None:
    """Step for step the same rows and the same rate, for the run itself and for a larger one."""
    for run in (spec(size), spec(max(size, other))):
        trunk = spec(min(size, other)).trunk
        assert trunk
        if beginning(run, [trunk]) is None:
            assert trunk.num_steps > (run.trunk or trunk).num_steps
            continue
        for step in range(trunk.num_steps):
            rows = [step_rows(s.size, s.budget, 0, step).tolist() for s in (run, trunk)]
            assert rows[0] == rows[1]
            rates = [scheduled_rate(step, s.num_steps, s.optimisation) for s in (run, trunk)]
            assert rates[0] == rates[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"optimisation": Optimisation(warmup_steps=3)},
        {"optimisation": Optimisation(schedule="wsd")},
        {"budget": Budget(batch_size=8, chunk_size=4)},
        {"budget": IN_ORDER.model_copy(update={"epochs": 3.0})},
    ],
    ids=["cosine", "warm-up by fraction", "shuffled", "several epochs"],
)
def test_runs_that_begin_each_in_their_own_way_share_nothing(fields: dict) -> None:
    assert spec(400, **fields).trunk is None


def test_families_do_not_mix() -> None:
    trunks = [t for s in (0, 1) for n in (80, 160) if (t := spec(n, seed=s).trunk)]
    assert beginning(spec(400, seed=1), trunks) == spec(160, seed=1).trunk
    assert beginning(spec(160, seed=0), trunks) == spec(160, seed=0).trunk
    assert beginning(spec(80, seed=0), trunks[1:]) is None
    assert beginning(spec(400, seed=2), trunks) is None


def test_a_trunk_is_planned_where_two_sizes_need_it() -> None:
    assert shared_trunks([spec(80), spec(400, seed=1)]) == []
    assert [t.size for t in shared_trunks([spec(80), spec(400)])] == [64, 320]


@settings(deadline=None)
@given(st.permutations([80, 160, 320, 640]), st.integers(0, 3))
def test_every_trunk_comes_before_what_begins_with_it(sizes: list[int], seed: int) -> None:
    runs = [spec(n, seed=s) for n in sizes for s in (seed, seed + 1)]
    trunks = shared_trunks(runs)
    order = in_order([*runs, *trunks])
    assert sorted(s.key for s in order) == sorted(s.key for s in [*runs, *trunks])
    place = {s.key: i for i, s in enumerate(order)}
    for s in order:
        first = beginning(s, trunks)
        assert first is None or place[first.key] < place[s.key]
        assert isinstance(s, Trunk) or first == s.trunk


def test_what_is_saved() -> None:
    """By hand: 80, 160, 320 and 640 examples in steps of 8, of which the last fifth is own."""
    runs = [spec(n) for n in (80, 160, 320, 640)]
    trunks = shared_trunks(runs)
    shared = sum(own_samples(s, trunks) for s in [*runs, *trunks])
    assert sum(r.samples_seen for r in runs) == 1200
    assert shared == 512 + (16 + 32 + 64 + 128)
