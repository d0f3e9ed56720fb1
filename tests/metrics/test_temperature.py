"""Temperature scaling: the right number, from validation alone, once a cell."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from raystudy.kinds import Scored
from raystudy.metrics import temperature as room
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.ece import ECE
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.metrics.ood_auroc import OODAUROC
from raystudy.metrics.temperature import temperature
from raystudy.metrics.temperature_scaled import TemperatureScaled

from .logits import CASES, calibrated, random
from .oracles import nll


def sharpened(num_examples: int, seed: int, factor: float):
    logits, labels = calibrated(num_examples, seed)
    return logits * factor, labels


class TestTemperature:
    @pytest.mark.parametrize("case", ["calibrated", "half precision of a calibrated model"])
    @pytest.mark.parametrize("factor", [0.01, 0.5, 1.0, 30.0])
    def test_minimises_the_loss(self, factor: float, case: str) -> None:
        logits, labels = sharpened(200, 0, factor)
        logits = logits.astype(np.float16 if "half" in case else np.float64)
        best: Any = minimize_scalar(
            lambda log_t: nll(logits, labels, np.exp(log_t)),
            bounds=(np.log(factor) - 3, np.log(factor) + 3),
            method="bounded",
            options={"xatol": 1e-9},
        )
        found = temperature(logits, labels)
        assert nll(logits, labels, found) <= best.fun + 1e-12
        assert found == pytest.approx(np.exp(best.x), rel=1e-5)

    @pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
    def test_undoes_what_made_a_model_too_sure(self, factor: float) -> None:
        assert temperature(*sharpened(20_000, 1, factor)) == pytest.approx(factor, rel=0.03)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6), st.floats(1e-3, 1e4))
    def test_no_other_temperature_is_better(self, n: int, c: int, seed: int, scale: float) -> None:
        logits, labels = random(n, c, seed, scale)
        found = temperature(logits, labels)
        least = nll(logits, labels, found)
        spread = np.sqrt(np.mean((logits - logits.mean(1, keepdims=True)) ** 2))
        for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0):
            if spread / 1000 < found * factor < spread * 1000:
                assert nll(logits, labels, found * factor) >= least - 1e-9 * (1 + abs(least))

    @pytest.mark.parametrize("factor", [1e-3, 1e3])
    @pytest.mark.parametrize("case", ["calibrated", "confidence of 1, all right", "random"])
    def test_scales_with_the_logits(self, case: str, factor: float) -> None:
        logits, labels = CASES[case]
        scaled = temperature(logits * factor, labels)
        assert scaled == pytest.approx(temperature(logits, labels) * factor, rel=1e-6)

    def test_all_right_is_as_hard_as_allowed(self) -> None:
        logits, labels = CASES["confidence of 1, all right"]
        spread = np.sqrt(np.mean((logits - logits.mean(1, keepdims=True)) ** 2))
        assert temperature(logits, labels) == pytest.approx(spread / 1000)

    def test_worse_than_chance_is_as_soft_as_allowed(self) -> None:
        logits, labels = CASES["confidence of 1, all wrong"]
        spread = np.sqrt(np.mean((logits - logits.mean(1, keepdims=True)) ** 2))
        assert temperature(logits, labels) == pytest.approx(spread * 1000)

    @pytest.mark.parametrize("case", ["all alike", "one class"])
    def test_what_no_temperature_changes_keeps_its_own(self, case: str) -> None:
        assert temperature(*CASES[case]) == 1.0

    def test_no_example_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"N, C ≥ 1"):
            temperature(np.zeros((0, 3)), np.zeros(0, np.int64))

    def test_an_unknown_class_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="known classes"):
            temperature(np.eye(3), np.array([0, 1, -1]))

    def test_what_is_no_number_gives_none(self) -> None:
        assert np.isnan(temperature(np.array([[1.0, np.nan], [0, 1]]), np.array([0, 1])))


@pytest.fixture
def scored() -> dict[str, Scored]:
    return {
        "validation": Scored(*sharpened(3000, 0, 4.0)),
        "test": Scored(*sharpened(3000, 1, 4.0)),
        "test-novel": Scored(random(500, 10, 3, 6.0)[0], np.full(500, -1)),
    }


class TestScaled:
    def test_is_the_metric_of_divided_logits(self, scored) -> None:
        T = temperature(scored["validation"].logits, scored["validation"].labels)
        test = scored["test"]
        for metric in (NegativeLogLikelihood(), ECE(), ECE(binning="mass", bins=10), Accuracy()):
            found = TemperatureScaled(metric=metric).judge("test", scored)
            assert found == pytest.approx(metric.compute(test.logits / T, test.labels), abs=1e-12)

    def test_mends_calibration(self, scored) -> None:
        assert (ECE().judge("test", scored) or 0) > 0.15
        assert (TemperatureScaled(metric=ECE(debiased=True)).judge("test", scored) or 1) < 0.02

    def test_sees_no_label_of_the_split_it_judges(self, scored) -> None:
        """Other test labels change the metric, and not what it is taken at."""
        metric = TemperatureScaled(metric=NegativeLogLikelihood())
        metric.judge("test", scored)
        before = scored["validation"].once(room.fitted)
        test = scored["test"]
        others = {**scored, "validation": Scored(*sharpened(3000, 0, 4.0))}
        others["test"] = Scored(test.logits, (test.labels + 1) % 10)
        metric.judge("test", others)
        assert others["validation"].once(room.fitted) == before

    def test_fits_a_cell_once(self, scored, monkeypatch) -> None:
        fits = []
        solve = room._root
        monkeypatch.setattr(room, "_root", lambda *a: fits.append(1) or solve(*a))
        for metric in (ECE(), NegativeLogLikelihood()):
            for split in ("validation", "test"):
                TemperatureScaled(metric=metric).judge(split, scored)
        assert len(fits) == 1

    def test_unknown_classes_are_scaled_alike(self, scored) -> None:
        metric = TemperatureScaled(metric=OODAUROC())
        T = temperature(scored["validation"].logits, scored["validation"].labels)
        divided = {k: Scored(s.logits / T, s.labels) for k, s in scored.items()}
        assert metric.judge("test-novel", scored) == OODAUROC().judge("test-novel", divided)
        assert TemperatureScaled(metric=ECE()).judge("test-novel", scored) is None

    def test_needs_validation(self, scored) -> None:
        metric = TemperatureScaled(metric=ECE())
        with pytest.raises(ValueError, match="'validation'"):
            metric.judge("test", {"test": scored["test"]})
        with pytest.raises(ValueError, match="nothing to fit on"):
            metric.judge("test", scored | {"validation": scored["test-novel"]})
        with pytest.raises(ValueError, match="call judge"):
            metric.compute(scored["test"].logits, scored["test"].labels)

    def test_its_name_tells(self) -> None:
        assert TemperatureScaled(metric=ECE(bins=10)).name == "ece_10_scaled"
