"""How pre-trainings are laid out over a cluster: workers, lanes, and what is refused at once."""

import pytest

from raystudy.cluster.lane import families, lanes
from raystudy.cluster.placement import Placement, check_room, parse_workers, slots, workers_of
from raystudy.spec import Budget, Optimisation, Pretraining, Study, Trunk
from raystudy.store import Store
from raystudy.trunks import in_order, shared_trunks

URL = "memory://lanes"


def specs(study: Study, **changes) -> list[Pretraining]:
    found = [b for b in study.grids[0].backbones() if isinstance(b, Pretraining)]
    return [s.model_copy(update=changes) for s in found]


def budget(chunks: int, accumulation: int = 1) -> Budget:
    return Budget(batch_size=4 * chunks, chunk_size=4, accumulation=accumulation)


def test_workers_are_read_from_the_command_line() -> None:
    assert parse_workers("3") == 3
    assert parse_workers("2-3") == (2, 3)
    for wrong in ("0", "3-2", "two", "1-", "-2"):
        with pytest.raises(ValueError, match="give a number, or a range"):
            parse_workers(wrong)


def test_a_run_gets_no_more_workers_than_chunks(study: Study) -> None:
    spec = specs(study, budget=budget(2))[0]
    assert workers_of(spec, 1) == (1, 1)
    assert workers_of(spec, 8) == (2, 2)
    assert workers_of(spec, (1, 8)) == (1, 2)
    parts = specs(study, budget=budget(4, accumulation=2))[0]
    assert workers_of(parts, 8) == (2, 2), "each part of a step is shared by all workers"


@pytest.mark.parametrize(("chunks", "workers"), [(4, 3), (4, (2, 3)), (6, (3, 4))])
def test_numbers_that_do_not_divide_a_step_are_refused(
    study: Study, chunks: int, workers: int | tuple[int, int]
) -> None:
    spec = specs(study, budget=budget(chunks))[0]
    with pytest.raises(ValueError, match=rf"{chunks} chunks a step .* smaller Budget\.chunk_size"):
        workers_of(spec, workers)
    assert workers_of(specs(study, budget=budget(12))[0], (2, 4)) == (2, 4)


def test_room_is_counted_node_by_node(study: Study) -> None:
    some = specs(study, budget=budget(4))
    halves = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 0.25, "GPU": 3.0}]
    with pytest.raises(ValueError, match=r"2 workers need 0.5 CPU \+ 1 GPU each.*room for 1"):
        check_room(some, Placement(num_workers=2, use_gpu=True), halves)
    check_room(some, Placement(num_workers=(1, 2), use_gpu=True), halves)
    with pytest.raises(ValueError, match=r"2 workers and 3 loaders need 1\.75 CPU"):
        check_room(some, Placement(num_workers=2, num_loaders=3), [{"CPU": 1.0}])
    with pytest.raises(ValueError, match="room for 0"):
        check_room(some, Placement(), [])
    check_room([], Placement(num_workers=9), [])


def test_lanes_are_opened_while_there_are_slots(study: Study) -> None:
    some = [s for seed in range(3) for s in specs(study, seed=seed, budget=budget(4))]
    nodes = [{"CPU": 4.0}, {"CPU": 4.0}]
    for workers, num_lanes, expected in [(2, None, 4), (4, None, 2), (2, 3, 3), (16, None, 2)]:
        placement = Placement(num_workers=workers, num_lanes=num_lanes)
        laid = lanes(some, placement, slots(placement, nodes), URL)
        assert len(laid) == expected
        keys = [s.key for lane in laid for s in lane.specs]
        assert sorted(keys) == sorted(s.key for s in some)


def test_a_lane_has_one_number_of_workers_and_the_longest_first(study: Study) -> None:
    wide, narrow = specs(study, budget=budget(8)), specs(study, budget=budget(2))
    laid = lanes([*narrow, *wide], Placement(num_workers=8), 8, URL)
    assert {lane.num_workers for lane in laid} == {(8, 8), (2, 2)}
    for lane in laid:
        assert {workers_of(s, 8) for s in lane.specs} == {lane.num_workers}
        seen = [s.samples_seen for s in lane.specs]
        assert seen == sorted(seen, reverse=True)


@pytest.fixture
def family(study: Study) -> list[Pretraining]:
    base = specs(study, noise=None)[0]
    changes = {
        "budget": Budget(batch_size=4, chunk_size=2, order="sampled"),
        "optimisation": Optimisation(schedule="wsd", warmup_steps=2),
    }
    sizes = [base.model_copy(update=changes | {"size": n}) for n in (40, 80, 160)]
    return in_order([*shared_trunks(sizes), *sizes])


def test_a_family_stays_in_one_lane_trunks_first(study: Study, family: list[Pretraining]) -> None:
    others = [s.model_copy(update={"seed": n}) for n in range(4) for s in specs(study)]
    laid = lanes([*family, *others], Placement(), 4, URL)
    (home,) = [lane for lane in laid if lane.trunks]
    kept = [s for s in home.specs if s.key in {m.key for m in family}]
    assert kept == family
    assert families(family) == [family]
    for i, spec in enumerate(kept):
        if not isinstance(spec, Trunk) and spec.trunk:
            assert spec.trunk.key in {s.key for s in kept[:i]}


def test_what_begins_with_a_failed_trunk_is_lost_and_nothing_else(
    study: Study, family: list[Pretraining]
) -> None:
    (lane,) = lanes([*family, specs(study)[0]], Placement(), 1, URL)
    first, middle, _ = lane.trunks
    lost = {s.key for s in lane.lost_with({middle.key})}
    smallest = next(s for s in family if s.trunk == first and s.key != first.key)
    spared = {first.key, smallest.key, specs(study)[0].key, middle.key}
    assert lost == {s.key for s in lane.specs} - spared
    assert lane.lost_with(set()) == []
    rest = lane.without(lost | {middle.key})
    assert {s.key for s in rest.missing(Store(URL))} == spared - {middle.key}
