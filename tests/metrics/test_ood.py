"""Known against unknown classes."""

from typing import Any

import numpy as np
import pytest

from raystudy.kinds import Metric, Scored
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.ece import ECE
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.metrics.ood_auroc import OODAUROC
from raystudy.metrics.ood_fpr95 import OODFPR95

from .logits import random
from .oracles import probabilities

SCORES = ("msp", "energy", "max_logit")


def score(name: str, row) -> float:
    row = np.asarray(row, np.float64)
    if name == "msp":
        return max(probabilities(row))
    return (
        float(row.max() + np.log(np.exp(row - row.max()).sum())) if name == "energy" else max(row)
    )


@pytest.fixture
def scored() -> dict[str, Scored]:
    known, labels = random(300, 6, 0, scale=4.0)
    unknown, _ = random(211, 6, 1, scale=2.0)
    return {
        "validation": Scored(*random(50, 6, 2)),
        "test": Scored(np.round(known, 1), labels),
        "test-novel": Scored(np.round(unknown, 1), np.full(211, -1)),
        "test-mixed": Scored(unknown, np.where(np.arange(211) < 5, 0, -1)),
    }


@pytest.mark.parametrize("name", SCORES)
class TestSeparation:
    def test_auroc_counts_pairs(self, name, scored) -> None:
        known = [score(name, row) for row in scored["test"].logits]
        unknown = [score(name, row) for row in scored["test-novel"].logits]
        wins = [(k > u) + (k == u) / 2 for k in known for u in unknown]
        found = OODAUROC(score=name).judge("test-novel", scored)
        assert found == pytest.approx(np.mean(wins), abs=1e-6)

    def test_auroc_is_sklearns(self, name, scored) -> None:
        from sklearn.metrics import roc_auc_score

        values = [score(name, r) for s in ("test", "test-novel") for r in scored[s].logits]
        expected = roc_auc_score(np.arange(511) < 300, values)
        found = OODAUROC(score=name).judge("test-novel", scored)
        assert found == pytest.approx(expected, abs=1e-6)

    def test_fpr_is_read_off_the_roc_curve(self, name, scored) -> None:
        from sklearn.metrics import roc_curve

        values = [score(name, r) for s in ("test", "test-novel") for r in scored[s].logits]
        fpr, tpr, _ = roc_curve(np.arange(511) < 300, values, drop_intermediate=False)
        expected = fpr[np.argmax(tpr >= 0.95)]
        found = OODFPR95(score=name).judge("test-novel", scored)
        assert found == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize("metric", [OODAUROC, OODFPR95])
    def test_rows_together_are_splits_apart(self, metric, name, scored) -> None:
        logits = np.concatenate([scored["test"].logits, scored["test-novel"].logits])
        labels = np.concatenate([scored["test"].labels, scored["test-novel"].labels])
        apart = metric(score=name).judge("test-novel", scored)
        assert metric(score=name).compute(logits, labels) == pytest.approx(apart, abs=1e-12)

    @pytest.mark.parametrize("metric", [OODAUROC, OODFPR95])
    def test_names_tell_the_score(self, metric, name) -> None:
        assert metric(score=name).name.endswith("" if name == "msp" else name)


@pytest.mark.parametrize("metric", [OODAUROC(), OODFPR95()], ids=lambda m: m.name)
class TestWhatIsJudged:
    @pytest.mark.parametrize("split", ["validation", "test", "test-mixed"])
    def test_only_what_is_unknown_throughout(self, metric: Metric, split: str, scored) -> None:
        assert metric.judge(split, scored) is None

    def test_nothing_without_known_examples_to_compare(self, metric: Metric, scored) -> None:
        del scored["test"]
        with pytest.raises(ValueError, match="'test'"):
            metric.judge("test-novel", scored)

    @pytest.mark.parametrize("label", [0, -1])
    def test_one_kind_of_rows_is_an_error(self, metric: Metric, label: int) -> None:
        with pytest.raises(ValueError, match="both −1 and classes"):
            metric.compute(np.zeros((4, 3)), np.full(4, label))

    def test_what_is_no_number_gives_none(self, metric: Metric, scored) -> None:
        scored["test"].logits[3, 1] = np.nan
        assert np.isnan(metric.judge("test-novel", scored) or 0.0)


def test_the_whole_of_a_perfect_separation() -> None:
    known: Any = np.array([[9.0, 0]] * 20, np.float16)
    unknown: Any = np.array([[1.0, 0]] * 7, np.float16)
    scored = {
        "test": Scored(known, np.zeros(20, np.int64)),
        "test-novel": Scored(unknown, np.full(7, -1)),
    }
    assert OODAUROC().judge("test-novel", scored) == 1
    assert OODFPR95().judge("test-novel", scored) == 0


def test_one_in_twenty_known_may_be_lost() -> None:
    """95 % of 20 is 19: the lowest known score sets no threshold; of 19 it does."""
    known = np.array([[float(k), -1e4] for k in range(20)])
    unknown = np.array([[0.5, -1e4]])
    for n, expected in ((20, 0.0), (19, 1.0)):
        scored = {
            "test": Scored(known[:n], np.zeros(n, np.int64)),
            "test-novel": Scored(unknown, np.full(1, -1)),
        }
        assert OODFPR95(score="max_logit").judge("test-novel", scored) == expected


@pytest.mark.parametrize("metric", [Accuracy(), NegativeLogLikelihood(), ECE()])
def test_metrics_of_labels_say_nothing_of_unknown_classes(metric: Metric, scored) -> None:
    assert metric.judge("test-novel", scored) is None
    assert metric.judge("test-mixed", scored) is None
    assert metric.judge("test", scored) is not None
