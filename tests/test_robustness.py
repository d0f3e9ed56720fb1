"""Lines over accuracies: least squares by hand, published tables, and what cannot be fitted."""

import csv
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from raystudy.robustness import (
    Axis,
    Line,
    accuracy_line,
    agreement,
    agreement_line,
    effective_robustness,
)

from .published import folder

STRETCH = {
    "probit": stats.norm.ppf,
    "logit": lambda a: np.log(a / (1 - a)),
    "linear": lambda a: np.asarray(a),
}


def models(num_models: int, seed: int, scatter: float = 0.05):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 2, num_models)
    y = 0.8 * x - 0.5 + rng.normal(0, scatter, num_models)
    return stats.norm.cdf(x), stats.norm.cdf(y)


class TestLine:
    @pytest.mark.parametrize("axis", STRETCH)
    def test_is_ordinary_least_squares(self, axis: Any) -> None:
        x, y = models(40, 0, 0.3)
        line = accuracy_line(x, y, axis)
        expected: Any = stats.linregress(STRETCH[axis](x), STRETCH[axis](y))
        assert line.slope == pytest.approx(expected.slope, rel=1e-9)
        assert line.intercept == pytest.approx(expected.intercept, rel=1e-9)
        assert line.r2 == pytest.approx(expected.rvalue**2, rel=1e-9)

    def test_intervals_are_of_resampled_models(self) -> None:
        """Against a loop over resamples of its own; percentiles of 1,000 scatter a little."""
        x, y = models(25, 1, 0.4)
        line = accuracy_line(x, y)
        rng = np.random.default_rng(5)
        fits: list[Any] = []
        for _ in range(3000):
            rows = rng.integers(25, size=25)
            fits.append(stats.linregress(stats.norm.ppf(x[rows]), stats.norm.ppf(y[rows])))
        slopes = np.percentile([f.slope for f in fits], [2.5, 97.5])
        r2 = np.percentile([f.rvalue**2 for f in fits], [2.5, 97.5])
        assert line.slope_interval == pytest.approx(slopes, abs=0.03)
        assert line.r2_interval == pytest.approx(r2, abs=0.04)

    @pytest.mark.slow
    def test_the_interval_covers_the_truth(self) -> None:
        covers = 0
        for seed in range(200):
            low, high = accuracy_line(*models(60, seed), seed=seed).slope_interval
            covers += low <= 0.8 <= high
        assert covers / 200 > 0.88

    @pytest.mark.parametrize("axis", STRETCH)
    def test_predicts_on_its_own_line(self, axis) -> None:
        x = np.linspace(0.3, 0.9, 7)
        stretched = 0.7 * STRETCH[axis](x) - 0.1
        y = {"probit": stats.norm.cdf, "logit": lambda v: 1 / (1 + np.exp(-v))}.get(axis, np.array)(
            stretched
        )
        line = accuracy_line(x, y, axis)
        assert line.predict(x) == pytest.approx(y, abs=1e-12)
        assert line.r2 == pytest.approx(1)

    def test_0_and_1_are_left_out_on_every_axis(self) -> None:
        x, y = models(20, 2)
        axes: tuple[Axis, ...] = ("probit", "logit", "linear")
        whole: dict[Axis, Line] = {axis: accuracy_line(x, y, axis) for axis in axes}
        more_x, more_y = np.r_[x, 0.4, 1.0], np.r_[y, 0.0, 0.9]
        for axis, line in whole.items():
            found = accuracy_line(more_x, more_y, axis)
            assert found.slope == pytest.approx(line.slope)
            assert (found.num_points, found.num_left_out) == (20, 2)

    def test_or_kept_at_half_an_example_from_the_end(self) -> None:
        x, y = models(20, 2)
        more = accuracy_line(np.r_[x, 1.0], np.r_[y, 0.0], num_examples=(1000, 500))
        moved = accuracy_line(np.r_[x, 1 - 1 / 2000], np.r_[y, 1 / 1000])
        assert more.slope == pytest.approx(moved.slope)
        assert more.num_left_out == 0

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            ([0.1, 0.2], [0.1, 0.2], "3 points"),
            ([0.5, 0.5, 0.5], [0.1, 0.2, 0.3], "same ID accuracy"),
            ([0.0, 0.2, 0.3], [0.1, 0.2, 0.3], "1 left out"),
            ([50, 60, 70], [10, 20, 30], "not percent"),
            ([0.1, 0.2, np.nan], [0.1, 0.2, 0.3], "finite"),
            ([0.1, 0.2, 0.3], [0.1, 0.2], "one entry a model"),
        ],
    )
    def test_what_has_no_line_is_refused(self, x, y, message) -> None:
        with pytest.raises(ValueError, match=message):
            accuracy_line(x, y)

    def test_equal_ood_accuracies_have_a_flat_line_without_r2(self) -> None:
        line = accuracy_line([0.2, 0.4, 0.6], [0.5, 0.5, 0.5])
        assert line.slope == pytest.approx(0, abs=1e-12)
        assert np.isnan(line.r2)


def test_effective_robustness_is_what_lies_above_the_baseline() -> None:
    x, y = models(30, 3, scatter=1e-9)
    line = accuracy_line(x, y)
    assert effective_robustness(x, y + 0.07, line) == pytest.approx(np.full(30, 0.07), abs=1e-6)


def predictions(num_models: int, num_examples: int, shift: float, seed: int, noise):
    """Models that are right where their skill beats an example's difficulty and luck of their own;
    wrong answers are spread over 9 classes."""
    rng = np.random.default_rng(seed)
    skill = np.linspace(-0.5, 1.5, num_models)[:, None]
    luck = rng.normal(size=(num_models, num_examples)) * noise
    right = skill - shift + luck > rng.normal(size=num_examples)
    wrong = rng.integers(1, 10, (num_models, num_examples))
    return np.where(right, 0, wrong), right.mean(1)


class TestAgreement:
    def test_counts_equal_predictions(self) -> None:
        p = np.array([[0, 1, 2, 3], [0, 1, 1, 1], [3, 1, 2, 3]])
        expected = [[1, 0.5, 0.75], [0.5, 1, 0.25], [0.75, 0.25, 1]]
        assert agreement(p).tolist() == expected

    def test_is_a_line_over_pairs(self) -> None:
        before, _ = predictions(9, 400, 0.0, 0, 0.5)
        after, _ = predictions(9, 300, 0.8, 1, 0.5)
        x, y = [], []
        for i in range(9):
            for j in range(i):
                x.append(np.mean(before[i] == before[j]))
                y.append(np.mean(after[i] == after[j]))
        expected: Any = stats.linregress(stats.norm.ppf(x), stats.norm.ppf(y))
        line = agreement_line(before, after)
        assert (line.slope, line.intercept) == pytest.approx((expected.slope, expected.intercept))
        assert line.r2 == pytest.approx(expected.rvalue**2)
        assert line.num_points == 36

    def test_resamples_models_not_pairs(self) -> None:
        before, _ = predictions(8, 300, 0.0, 0, 0.5)
        after, _ = predictions(8, 300, 0.8, 1, 0.5)
        line = agreement_line(before, after)
        rng = np.random.default_rng(2)
        x, y = (stats.norm.ppf(np.minimum(agreement(p), 0.999)) for p in (before, after))
        slopes = []
        for _ in range(3000):
            drawn = rng.integers(8, size=8)
            pairs = [(i, j) for n, i in enumerate(drawn) for j in drawn[:n] if i != j]
            a, b = np.transpose([(x[i, j], y[i, j]) for i, j in pairs])
            if np.ptp(a) > 0:
                fit: Any = stats.linregress(a, b)
                slopes.append(fit.slope)
        assert line.slope_interval == pytest.approx(np.percentile(slopes, [2.5, 97.5]), rel=0.15)

    def test_many_models_take_little_memory(self) -> None:
        """300 models make 44,850 pairs, whose 1,000 resamples would fill 360 MB."""
        import tracemalloc

        rng = np.random.default_rng(0)
        before, after = rng.integers(3, size=(2, 300, 50))
        tracemalloc.start()
        agreement_line(before, after)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60e6

    def test_models_that_always_agree_are_refused(self) -> None:
        with pytest.raises(ValueError, match="same ID accuracy"):
            agreement_line(np.zeros((4, 10)), np.eye(4, 10))


def tables(name: str) -> list[dict[str, str]]:
    with (folder("15_accuracy_on_the_line") / name).open() as file:
        return list(csv.DictReader(file))


def is_measured(accuracy: float) -> bool:
    """The reference fits leave out what is within 0.2 % of the ends."""
    return 0.002 < accuracy < 0.998


TESTBED = [
    "greyscale",
    "imagenet-a",
    "imagenet-r",
    "imagenet-sketch",
    "imagenet-vid-robust_pm0",
    "imagenet-vid-robust_pm10",
    "imagenetv2-matched-frequency",
    "imagenetv2-matched-frequency-format-val",
    "imagenetv2-matched-frequency-format-val_subsampled_class_1_8",
    "imagenetv2-threshold-0.7-format-val",
    "imagenetv2-threshold0.7",
    "imagenetv2-top-images-format-val",
    "imagenetv2-topimages",
    "objectnet-1.0-beta",
    "stylized_imagenet",
    "val-on-imagenet-a-classes",
    "val-on-imagenet-r-classes",
    "val-on-objectnet-classes",
    "val-on-vid-robust-classes",
    "val-on-ytbb-robust-classes",
    "val_subsampled_class_1_8",
    "ytbb-robust_pm0",
    "ytbb-robust_pm10",
]


@pytest.mark.parametrize("shift", TESTBED)
def test_published_accuracies_give_the_reference_lines(shift: str) -> None:
    """The testbed of Taori et al. 2020, refitted by others."""
    points = [
        (float(row["val"]) / 100, float(row[shift]) / 100)
        for row in tables("imagenet_testbed_robustness_top1s.csv")
        if row["val"] and row[shift]
    ]
    points = [p for p in points if all(map(is_measured, p))]
    found, expected = fitted(*np.transpose(points)), reference("imagenet-testbed", shift)
    assert found.num_points == expected.num_points
    assert found.lines == pytest.approx(expected.lines, rel=1e-5)
    assert found.r2 == pytest.approx(expected.r2, abs=1e-6)


@pytest.mark.parametrize("shift", ["imagenetv2-matched-frequency", "imagenet-r"])
def test_timms_results_give_the_reference_lines(shift: str) -> None:
    """Clean accuracy is of the shift's own classes, and of several image sizes the best counts."""
    best: dict[str, tuple[float, float]] = {}
    for row in tables(f"timm_results-{shift}.csv"):
        shifted, lost = float(row["top1"]) / 100, -float(row["top1_diff"]) / 100
        x, y = best.get(row["model"], (0.0, 0.0))
        best[row["model"]] = max(x, shifted + lost), max(y, shifted)
    found = fitted(*np.transpose(list(best.values())))
    expected = reference("timm", shift)
    assert found.num_points == expected.num_points
    assert found.lines == pytest.approx(expected.lines, rel=1e-5)
    assert found.r2 == pytest.approx(expected.r2, abs=1e-6)


class Fits(NamedTuple):
    """Slope and intercept on probit axes and slope on linear ones; R² of both."""

    num_points: int
    lines: tuple[float, ...]
    r2: tuple[float, ...]


def fitted(x: np.ndarray, y: np.ndarray) -> Fits:
    probit = accuracy_line(x, y, num_resamples=50)
    linear = accuracy_line(x, y, "linear", num_resamples=50)
    lines = (probit.slope, probit.intercept, linear.slope)
    return Fits(probit.num_points, lines, (probit.r2, linear.r2))


def reference(testbed: str, shift: str) -> Fits:
    (row,) = (
        row
        for row in tables("reference_probit_fits.csv")
        if (row["testbed"], row["shift"]) == (testbed, shift)
    )
    lines = (row["probit_slope"], row["probit_intercept"], row["linear_slope"])
    r2 = (row["R2_probit"], row["R2_linear"])
    return Fits(int(row["n"]), tuple(map(float, lines)), tuple(map(float, r2)))
