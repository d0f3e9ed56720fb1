"""How many unknown examples pass for known where 95 % of the known do."""

from collections.abc import Mapping

import numpy as np

from raystudy.kinds import Floats, Integers, Metric, Scored
from raystudy.metrics.novelty import Score, judge_rows, judge_unknown, suffix
from raystudy.metrics.probabilities import Doubles


class OODFPR95(Metric):
    """The share of the split judged, whose classes are all unknown (labels −1), that scores no
    lower than the highest threshold which at least 95 % of the test split reaches. Of other splits
    it says nothing.

    ``compute`` takes examples of both kinds together.
    """

    score: Score = "msp"

    @property
    def name(self) -> str:
        return f"ood_fpr95{suffix(self.score)}"

    def compute(self, logits: Floats, labels: Integers) -> float:
        return judge_rows(_fpr95, self.score, logits, labels)

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        return judge_unknown(_fpr95, self.score, split, scored)


def _fpr95(known: Doubles, unknown: Doubles) -> float:
    if np.isnan(known).any() or np.isnan(unknown).any():
        return float("nan")
    num_rejected = len(known) * 5 // 100  # of whole numbers, so that 95 % of 20 is 19
    threshold = np.partition(known, num_rejected)[num_rejected]
    return float(np.mean(unknown >= threshold))
