"""What a global step sees depends on (seed, size, budget) and never on the workers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.methods.supervised import Supervised
from raystudy.order import Parcel, Parcels, step_rows, worker_chunks
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Budget, Pretraining

BUDGETS = st.builds(
    lambda chunk, num_chunks, epochs, run: Budget(
        batch_size=chunk * num_chunks, chunk_size=chunk, epochs=epochs, run_length=run
    ),
    st.integers(1, 5),
    st.just(12),
    st.floats(0.5, 4),
    st.sampled_from([1, 2, 7, 32]),
)


def spec(size: int, budget: Budget, seed: int) -> Pretraining:
    return Pretraining(
        method=Supervised(),
        architecture=Architecture(name="resnet18"),
        source=Glyphs(script="latin"),
        size=size,
        budget=budget,
        seed=seed,
    )


def delivered(p: Pretraining, first: int, num_workers: int, per_parcel: int) -> dict[int, list]:
    """Step → chunk → rows, as the workers of a stream receive them."""
    seen: dict[int, list] = {}
    on_disk = np.arange(p.size)[::-1]
    for parcel in Parcels({0: first}, [p], num_workers, [per_parcel]):
        for step in range(parcel.first_step, parcel.first_step + parcel.num_steps):
            rows = step_rows(p.size, p.budget, p.seed, step, on_disk)
            for chunk in worker_chunks(p.budget, num_workers, parcel.worker):
                seen.setdefault(step, []).append((chunk, tuple(rows[chunk])))
    return {step: sorted(chunks) for step, chunks in seen.items()}


@given(st.integers(1, 300), BUDGETS, st.integers(0, 9), st.integers(1, 20), st.integers(1, 20))
def test_steps_are_the_same_for_any_number_of_workers(size, budget, seed, a, b) -> None:
    p = spec(size, budget, seed)
    one = delivered(p, 0, 1, a)
    assert sorted(one) == list(range(p.num_steps))
    for workers in (2, 3, 4):
        assert delivered(p, 0, workers, b) == one


@given(st.integers(1, 300), BUDGETS, st.integers(0, 9), st.data())
def test_a_resumed_stream_is_the_rest_of_the_stream(size, budget, seed, data) -> None:
    p = spec(size, budget, seed)
    first = data.draw(st.integers(0, p.num_steps - 1))
    whole = delivered(p, 0, 1, 7)
    assert delivered(p, first, 2, 5) == {s: c for s, c in whole.items() if s >= first}


@given(st.integers(1, 100), st.integers(1, 8), st.integers(0, 9), st.sampled_from([1, 3, 16, 200]))
def test_an_epoch_sees_every_example_once(size, chunk, seed, run) -> None:
    budget = Budget(batch_size=chunk, chunk_size=chunk, run_length=run)
    steps = -(-3 * size // chunk)
    order = np.concatenate([step_rows(size, budget, seed, s).ravel() for s in range(steps)])
    for epoch in range(3):
        assert sorted(order[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_neighbours_on_disk_stay_together() -> None:
    size, run = 1000, 25
    budget = Budget(batch_size=size, chunk_size=size, run_length=run)
    on_disk = np.random.default_rng(0).permutation(size)
    place = np.argsort(on_disk)
    for epoch in range(3):
        places = place[step_rows(size, budget, 0, epoch, on_disk).ravel()]
        jumps = np.flatnonzero(np.diff(places) != 1) + 1
        assert len(jumps) <= size / run + 1
        assert len(jumps) > size / run / 2, "the runs themselves are shuffled"
    firsts = [place[step_rows(size, budget, 0, e, on_disk).ravel()] % run for e in range(3)]
    assert len({tuple(f[:3]) for f in firsts}) > 1, "runs begin elsewhere in each epoch"


def test_epochs_and_seeds_differ() -> None:
    budget = Budget(batch_size=100, chunk_size=100)
    epochs = [step_rows(100, budget, 0, s).ravel().tolist() for s in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert step_rows(100, budget, 1, 0).ravel().tolist() != epochs[0]


def test_rows_of_the_stream_go_round_the_workers() -> None:
    p = spec(640, Budget(), 0)
    stream = list(Parcels({0: 0, 1: 4}, [p, p], 2, [8, 3]))
    assert [parcel.worker for parcel in stream] == [0, 1] * (len(stream) // 2)
    assert stream[-1] == Parcel(run=1, first_step=7, num_steps=3, worker=1)


def test_parcels_are_found_by_their_number() -> None:
    p = spec(640, Budget(), 0)
    stream = Parcels({0: 3, 1: 10, 2: 0}, [p, p, p], 2, [4, 3, 1])  # the second run is at its end
    in_turn = [
        Parcel(run, step, min(most, 10 - step), worker)
        for run, first, most in ((0, 3, 4), (2, 0, 1))
        for step in range(first, 10, most)
        for worker in range(2)
    ]
    assert list(stream) == in_turn
    assert [stream[i] for i in (5, 0, -1)] == [in_turn[i] for i in (5, 0, -1)]
    assert stream[1:9:3] == in_turn[1:9:3]
    assert len(stream) == len(in_turn)
    with pytest.raises(IndexError):
        stream[len(in_turn)]
    assert not Parcels({}, [], 2, [])


def test_workers_that_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="2 chunks a step cannot be shared evenly by 3 workers"):
        worker_chunks(Budget(), 3, 0)
