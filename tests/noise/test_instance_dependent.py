"""Labels flip where the model's margin is small, at a mean rate that is exact."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import spearmanr

from raystudy.kinds import Annotations, Integers
from raystudy.noise.instance_dependent import (
    BLOCK,
    InstanceDependent,
    flip_probabilities,
    write_margins,
)
from raystudy.noise.realised import realised_rate

from .conftest import C

many = st.lists(st.floats(-1, 1), min_size=1, max_size=50).map(np.array)
share = st.floats(1e-6, 1)
degrees = st.floats(1e-3, 10)


@given(many, share, degrees)
def test_the_mean_probability_is_the_rate(margins, rate: float, temperature: float) -> None:
    chances = flip_probabilities(margins, rate, temperature)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert chances.mean() == pytest.approx(rate, rel=1e-9)


@given(many, share, share, degrees)
def test_probabilities_grow_with_the_rate(margins, a: float, b: float, temperature: float) -> None:
    low, high = (flip_probabilities(margins, rate, temperature) for rate in sorted((a, b)))
    assert (low <= high + 1e-11).all()


@given(many, share, degrees)
def test_probabilities_fall_with_the_margin(margins, rate: float, temperature: float) -> None:
    chances = flip_probabilities(np.sort(margins), rate, temperature)
    assert (np.diff(chances) <= 0).all()


@given(many, share, st.floats(0.05, 10))
def test_probabilities_are_those_of_a_bisection(margins, rate: float, temperature: float) -> None:
    weights = [np.exp(-m / temperature) for m in margins.tolist()]
    low, high = 0.0, 1 / min(weights)
    for _ in range(200):
        middle = (low + high) / 2
        mean = sum(min(1.0, middle * w) for w in weights) / len(weights)
        low, high = (middle, high) if mean < rate else (low, middle)
    expected = [min(1.0, high * w) for w in weights]
    assert flip_probabilities(margins, rate, temperature) == pytest.approx(expected, rel=1e-6)


def test_flips_concentrate_at_small_margins(clean: Annotations, margins: Path) -> None:
    table = pq.read_table(margins)
    margin = dict(zip(table["id"].to_pylist(), table["margin"].to_pylist(), strict=True))
    labelled = np.flatnonzero(clean.labels >= 0)
    noise = InstanceDependent(rate=0.3, margins=str(margins))
    seeds = range(40)
    flips = sum((noise.corrupt(clean, s).labels != clean.labels)[labelled] for s in seeds)
    correlation, _ = spearmanr([margin[clean.ids[int(i)]] for i in labelled], flips)
    assert correlation < -0.9  # pyright: ignore[reportOperatorIssue]
    share = np.mean(flips) / len(seeds)
    assert share == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / len(labelled) / len(seeds)))


def test_a_flip_goes_to_the_runner_up(clean: Annotations, margins: Path) -> None:
    table = pq.read_table(margins)
    runner_up = dict(zip(table["id"].to_pylist(), table["runner_up"].to_pylist(), strict=True))
    noisy = InstanceDependent(rate=1, margins=str(margins)).corrupt(clean, 0).labels
    assert realised_rate(clean, replace(clean, labels=noisy), "label") == 1
    for id, before, after in zip(clean.ids, clean.labels, noisy, strict=True):
        assert after == (runner_up[id] if before >= 0 else -1)


def test_only_what_the_file_holds_is_identity(clean: Annotations, margins: Path, tmp_path) -> None:
    noise = InstanceDependent(rate=0.3, margins=str(margins))
    copy = tmp_path / "elsewhere.parquet"
    copy.write_bytes(margins.read_bytes())
    same = noise.model_copy(update={"margins": str(copy)})
    assert same.key == noise.key
    pq.write_table(pq.read_table(margins).slice(1), copy)
    assert noise.model_copy(update={"margins": str(copy)}).key != noise.key


class TestWriteMargins:
    def test_margins_are_softmax_differences(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        num = BLOCK + 7
        logits = rng.normal(size=(num, 5), scale=3).astype(np.float32)
        labels = rng.integers(-1, 5, num)
        ids = [f"i{k}" for k in range(num)]
        write_margins(str(tmp_path / "m"), ids, logits, labels)
        rows = {row["id"]: row for row in pq.read_table(tmp_path / "m").to_pylist()}
        assert list(rows) == [id for id, label in zip(ids, labels, strict=True) if label >= 0]
        likely = softmax(logits.astype(np.float64), axis=1)
        for k in [*range(50), num - 1, num - 2]:
            if labels[k] >= 0:
                others = {c: p for c, p in enumerate(likely[k]) if c != labels[k]}
                best = max(others, key=others.__getitem__)
                assert rows[ids[k]]["runner_up"] == best
                assert rows[ids[k]]["margin"] == pytest.approx(likely[k, labels[k]] - others[best])

    def test_large_logits_do_not_overflow(self, tmp_path: Path) -> None:
        write_margins(str(tmp_path / "m"), ["a"], np.array([[1e4, -1e4]]), np.array([1]))
        assert pq.read_table(tmp_path / "m").to_pylist() == [
            {"id": "a", "margin": -1.0, "runner_up": 0}
        ]

    @pytest.mark.parametrize(
        ("logits", "labels", "message"),
        [
            (np.zeros((3, 2)), np.zeros(2, int), "do not match"),
            (np.zeros(2), np.zeros(2, int), "do not match"),
            (np.zeros((2, 2)), np.array([0, 2]), "too few"),
            (np.zeros((2, 1)), np.zeros(2, int), "too few"),
            (np.array([[0, np.nan], [0, 0]]), np.zeros(2, int), "not finite"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, tmp_path: Path, logits, labels: Integers, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            write_margins(str(tmp_path / "m"), ["a", "b"], logits, labels)


class TestFaults:
    def noise(self, path: Path) -> InstanceDependent:
        return InstanceDependent(rate=0.3, margins=str(path))

    def test_no_file(self, tmp_path: Path) -> None:
        noise = self.noise(tmp_path / "none.parquet")
        for ask in (noise.check, lambda: noise.content, lambda: noise.key):
            with pytest.raises(
                FileNotFoundError, match=r"none\.parquet; make it with .*write_marg"
            ):
                ask()

    def test_missing_ids_are_counted(self, clean: Annotations, margins: Path, tmp_path) -> None:
        pq.write_table(pq.read_table(margins).slice(3), tmp_path / "m")
        with pytest.raises(ValueError, match="lacks 3 of"):
            self.noise(tmp_path / "m").corrupt(clean, 0)

    def test_margins_of_other_labels(self, clean: Annotations, margins: Path) -> None:
        moved = np.where(clean.labels < 0, -1, (clean.labels + 1) % C)
        with pytest.raises(ValueError, match="belong to other labels"):
            self.noise(margins).corrupt(replace(clean, labels=moved), 0)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"id": ["a", "b"], "margin": [0.1, 0.2]}, "not parquet with columns id"),
            ({"id": ["a", "b"], "margin": ["x", "y"], "runner_up": [0, 1]}, "not parquet with col"),
            ({"id": ["a", "a"], "margin": [0.1, 0.2], "runner_up": [0, 1]}, "1 ids are there more"),
            ({"id": ["a", "b"], "margin": [0.1, np.nan], "runner_up": [0, 1]}, "not differences"),
            ({"id": ["a", "b"], "margin": [0.1, 1.5], "runner_up": [0, 1]}, "not differences"),
            ({"id": ["a", "b"], "margin": [0.1, None], "runner_up": [0, 1]}, "values are missing"),
            (
                {"id": pa.array([], pa.string()), "margin": pa.array([], pa.float64())}
                | {"runner_up": pa.array([], pa.int64())},
                "no examples",
            ),
        ],
    )
    def test_a_bad_table(self, tmp_path: Path, columns: dict, message: str) -> None:
        pq.write_table(pa.table(columns), tmp_path / "m")
        with pytest.raises(ValueError, match=message):
            self.noise(tmp_path / "m").check()

    @pytest.mark.parametrize("data", [b"", b"id,margin\n", b"PAR1" + bytes(100) + b"PAR1"])
    def test_bytes_that_are_not_parquet(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(ValueError, match="not parquet"):
            self.noise(tmp_path / "m").check()

    def test_a_cut_file(self, tmp_path: Path, margins: Path) -> None:
        whole = margins.read_bytes()
        for length in (len(whole) // 2, len(whole) - 1):
            (tmp_path / "m").write_bytes(whole[:length])
            with pytest.raises(ValueError, match="not parquet"):
                self.noise(tmp_path / "m").check()
