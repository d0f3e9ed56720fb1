"""Brier score, calibration errors and areas under risk curves against their definitions."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.kinds import Metric, Scored
from raystudy.metrics.augrc import AUGRC
from raystudy.metrics.aurc import AURC
from raystudy.metrics.brier import Brier
from raystudy.metrics.classwise_ece import ClasswiseECE
from raystudy.metrics.ece import ECE
from raystudy.metrics.smooth_ece import SmoothECE

from . import oracles
from .logits import CASES, calibrated, random

METRICS: tuple[Metric, ...] = (
    Brier(),
    ECE(),
    ECE(bins=10),
    ECE(binning="mass"),
    ECE(debiased=True),
    ECE(binning="mass", debiased=True, bins=10),
    SmoothECE(),
    ClasswiseECE(),
    AURC(),
    AUGRC(),
)
ORACLES: list[tuple[Metric, Callable]] = [
    (Brier(), oracles.brier),
    (ECE(), lambda z, y: oracles.ece(z, y, 15)),
    (ECE(bins=10), lambda z, y: oracles.ece(z, y, 10)),
    (ECE(bins=1), lambda z, y: oracles.ece(z, y, 1)),
    (ClasswiseECE(), lambda z, y: oracles.classwise_ece(z, y, 15)),
    (ClasswiseECE(bins=4), lambda z, y: oracles.classwise_ece(z, y, 4)),
    (AURC(), oracles.aurc),
    (AUGRC(), oracles.augrc),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("metric", "oracle"), ORACLES, ids=lambda m: getattr(m, "name", ""))
def test_is_its_definition(metric: Metric, oracle: Callable, case: str) -> None:
    logits, labels = CASES[case]
    assert metric.compute(logits, labels) == pytest.approx(oracle(logits, labels), abs=1e-6)


@pytest.mark.parametrize("case", ["random", "calibrated", "two classes", "one example"])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_bins_of_equal_mass_are_as_numpy_splits(bins: int, case: str) -> None:
    logits, labels = CASES[case]
    expected = oracles.ece_mass(logits, labels, bins)
    assert ECE(bins=bins, binning="mass").compute(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize("case", ["random", "calibrated", "half precision", "ties"])
def test_smooth_error_is_a_sum_of_kernels(case: str) -> None:
    logits, labels = (a[:60] for a in CASES[case])
    expected = oracles.smooth_ece(logits, labels, 4001)
    assert SmoothECE().compute(logits, labels) == pytest.approx(expected, abs=1e-6)


def test_smooth_error_of_what_is_always_as_sure_is_the_gap() -> None:
    """All at one confidence: the kernel's mass is 1 wherever it lies, so smECE_σ is the gap."""
    p = 0.9
    logits = np.tile([np.log(p / (1 - p)), 0.0], (100, 1))
    labels = np.r_[np.zeros(60, int), np.ones(40, int)]
    assert SmoothECE().compute(logits, labels) == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
class TestEdges:
    @pytest.mark.parametrize("case", CASES)
    def test_is_in_range(self, metric: Metric, case: str) -> None:
        value = metric.compute(*CASES[case])
        low = -1.0 if "debiased" in metric.name else 0.0
        assert low <= value <= (2.0 if metric.name == "brier" else 1.0)

    def test_is_0_of_what_is_surely_right(self, metric: Metric) -> None:
        value = metric.compute(*CASES["confidence of 1, all right"])
        assert value == pytest.approx(0, abs=1e-9)

    def test_one_class_is_never_wrong(self, metric: Metric) -> None:
        assert metric.compute(*CASES["one class"]) == pytest.approx(0, abs=1e-9)

    @pytest.mark.parametrize("case", ["ties", "confidence of 1, one in three right", "all alike"])
    def test_does_not_depend_on_the_order_of_examples(self, metric: Metric, case: str) -> None:
        logits, labels = CASES[case]
        straight = metric.compute(logits, labels)
        for seed in range(3):
            rows = np.random.default_rng(seed).permutation(len(labels))
            assert metric.compute(logits[rows], labels[rows]) == pytest.approx(straight, abs=1e-12)

    def test_a_constant_added_to_a_row_changes_nothing(self, metric: Metric) -> None:
        logits, labels = CASES["random"]
        moved = logits + np.arange(len(labels))[:, None] * 16.0 - 1e3
        straight = metric.compute(logits, labels)
        assert metric.compute(moved, labels) == pytest.approx(straight, abs=1e-9)

    def test_no_example_is_an_error_that_names_the_split(self, metric: Metric) -> None:
        empty = Scored(np.zeros((0, 3)), np.zeros(0, np.int64))
        with pytest.raises(ValueError, match="'test-blur'"):
            metric.judge("test-blur", {"test-blur": empty})
        with pytest.raises(ValueError, match=r"N, C ≥ 1"):
            metric.compute(empty.logits, empty.labels)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_logit_that_is_no_number_makes_none(self, metric: Metric, bad: float) -> None:
        logits, labels = CASES["random"]
        broken = logits.copy()
        broken[7, 2] = bad
        assert np.isnan(metric.compute(broken, labels))

    def test_says_nothing_of_unknown_classes(self, metric: Metric) -> None:
        logits, labels = CASES["random"]
        scored = {"test": Scored(logits, np.where(np.arange(len(labels)) == 3, -1, labels))}
        assert metric.judge("test", scored) is None

    def test_judges_a_split_as_it_computes(self, metric: Metric) -> None:
        logits, labels = CASES["random"]
        scored = {"test": Scored(logits, labels)}
        assert metric.judge("test", scored) == metric.compute(logits, labels)


class TestBins:
    def test_an_edge_belongs_to_the_bin_below(self) -> None:
        """Of 4 bins, ½ is in the second: with one hit above it in the third, gaps do not cancel."""
        logits = np.log([[0.5, 0.5], [0.6, 0.4]])
        labels = np.array([1, 0])
        assert ECE(bins=4).compute(logits, labels) == pytest.approx((0.5 + 0.4) / 2)
        assert ECE(bins=3).compute(logits, labels) == pytest.approx((0.5 - 0.4) / 2)

    def test_confidence_of_1_shares_the_last_bin(self) -> None:
        """With 0.95 beside it: 0.95 − 0 and 1 − 1 in one bin, not in two."""
        logits = np.array([[np.log(19.0), 0.0], [1e4, 0.0], [1e4, 0.0]])
        labels = np.array([1, 0, 1])
        assert ECE(bins=10).compute(logits, labels) == pytest.approx((0.95 + 1) / 3)

    def test_names_tell_the_variant(self) -> None:
        names = {m.name for m in METRICS}
        assert len(names) == len(METRICS)
        assert {"ece", "ece_10", "ece_mass", "ece_debiased", "ece_mass_debiased_10"} <= names
        assert ClasswiseECE(bins=10).name == "classwise_ece_10"


class TestRisk:
    def test_augrc_is_made_of_auroc_and_accuracy(self) -> None:
        """Equation 7 of Traub et al. 2024."""
        from sklearn.metrics import roc_auc_score

        logits, labels = CASES["calibrated"]
        pairs = oracles.confidences(logits, labels)
        hits = np.array([hit for _, hit in pairs])
        auroc = roc_auc_score(hits, [p for p, _ in pairs])
        accuracy = hits.mean()
        expected = (1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
        assert AUGRC().compute(logits, labels) == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize("metric", [AURC(), AUGRC()], ids=lambda m: m.name)
    def test_ties_count_as_on_average_over_orders(self, metric: Metric) -> None:
        rng = np.random.default_rng(0)
        logits, labels = random(40, 3, 8)
        ranks = np.round(np.sort(rng.normal(size=40)), 0)  # a few levels of confidence
        logits = np.stack([np.abs(ranks), np.zeros(40), np.zeros(40)], 1)
        broken = [
            metric.compute(logits + rng.uniform(0, 1e-9, (40, 1)) * [[1, 0, 0]], labels)
            for _ in range(4000)
        ]
        assert metric.compute(logits, labels) == pytest.approx(np.mean(broken), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 10**6), st.floats(0.01, 1e4))
def test_any_finite_logits_have_a_number(n: int, c: int, seed: int, scale: float) -> None:
    logits, labels = random(n, c, seed, scale)
    for metric in METRICS:
        assert np.isfinite(metric.compute(logits.astype(np.float32), labels))


class TestDebiased:
    """The error of a model whose confidences are true is 0, and its plain estimate is not."""

    @pytest.mark.parametrize("binning", ["width", "mass"])
    @pytest.mark.parametrize(
        ("num_examples", "num_draws", "within", "plain"),
        [(200, 1000, 0.002, 0.06), (2000, 150, 0.0015, 0.02), (50_000, 12, 0.001, 0.003)],
    )
    def test_a_calibrated_model_has_none_on_average(
        self, binning, num_examples: int, num_draws: int, within: float, plain: float
    ) -> None:
        metric, biased = ECE(binning=binning, debiased=True), ECE(binning=binning)
        draws = [Scored(*calibrated(num_examples, seed, 5)) for seed in range(num_draws)]
        assert abs(np.mean([metric.of(d) for d in draws])) < within
        assert np.mean([biased.of(d) for d in draws]) > plain

    @pytest.mark.parametrize(
        ("num_examples", "num_draws", "within"), [(200, 300, 0.1), (2000, 40, 0.03)]
    )
    def test_what_is_far_off_is_not_flattered(
        self, num_examples: int, num_draws: int, within: float
    ) -> None:
        """Logits times 3. To subtract all that a calibrated model would show is to take more."""
        truth = ECE().compute(*_sharpened(300_000, 0))
        plain, found, subtracted = [], [], []
        for seed in range(num_draws):
            logits, labels = _sharpened(num_examples, seed + 1)
            plain.append(ECE().compute(logits, labels))
            found.append(ECE(debiased=True).compute(logits, labels))
            p = np.array([max(oracles.probabilities(row)) for row in logits])
            at = np.ceil(p * 15).astype(int)
            noise = [np.sum((p * (1 - p))[at == b]) ** 0.5 for b in range(16)]
            subtracted.append(plain[-1] - np.sum(noise) * (2 / np.pi) ** 0.5 / num_examples)
        assert np.mean(found) == pytest.approx(truth, rel=within)
        assert abs(np.mean(found) - truth) < abs(np.mean(subtracted) - truth)

    def test_is_the_mean_of_halves(self) -> None:
        """One bin: the sign from one half, the gap from the other, over random halves."""
        logits, labels = calibrated(4000, 1, 2, spread=1.0)
        pairs = np.array(oracles.confidences(logits, labels))
        residual = pairs[:, 0] - pairs[:, 1]
        rng = np.random.default_rng(0)
        products = []
        for _ in range(4000):
            first = rng.permutation(len(residual)) < len(residual) // 2
            products.append(2 * residual[first].sum() * np.sign(residual[~first].sum()))
        expected = np.mean(products) / len(residual)
        error = np.std(products) / len(residual) / len(products) ** 0.5
        found = ECE(bins=1, debiased=True).compute(logits, labels)
        assert found == pytest.approx(expected, abs=4 * error + 1e-4)


def _sharpened(num_examples: int, seed: int):
    logits, labels = calibrated(num_examples, seed, 5)
    return logits * 3, labels


def test_smooth_error_costs_no_more_than_linearly() -> None:
    """Ten million pairs of 200,000 examples would take minutes; sums over points do not."""
    logits, labels = calibrated(200_000, 0, 2)
    assert SmoothECE().compute(logits, labels) < 0.01


@pytest.mark.slow  # its import alone takes seconds
@pytest.mark.parametrize("normalised", [True, False])
def test_torchmetrics_agrees_where_it_can(normalised: bool) -> None:
    torchmetrics = pytest.importorskip("torchmetrics", reason="an oracle where it is installed")
    import torch

    logits, labels = CASES["random"]
    logits = logits * (1 if normalised else 3)
    expected = torchmetrics.functional.calibration_error(
        torch.tensor(logits).softmax(1),
        torch.tensor(labels),
        task="multiclass",
        num_classes=7,
        n_bins=15,
    )
    assert ECE().compute(logits, labels) == pytest.approx(float(expected), abs=1e-5)
