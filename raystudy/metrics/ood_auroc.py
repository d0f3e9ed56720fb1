"""The area under the ROC curve of known against unknown classes."""

from collections.abc import Mapping

import numpy as np

from raystudy.kinds import Floats, Integers, Metric, Scored
from raystudy.metrics.novelty import Score, judge_rows, judge_unknown, suffix
from raystudy.metrics.probabilities import Doubles


class OODAUROC(Metric):
    """The chance that an example of the test split scores higher than one of the split judged,
    whose classes are all unknown (labels −1); ties count half. Of other splits it says nothing.

    ``compute`` takes examples of both kinds together.
    """

    score: Score = "msp"

    @property
    def name(self) -> str:
        return f"ood_auroc{suffix(self.score)}"

    def compute(self, logits: Floats, labels: Integers) -> float:
        return judge_rows(_auroc, self.score, logits, labels)

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        return judge_unknown(_auroc, self.score, split, scored)


def _auroc(known: Doubles, unknown: Doubles) -> float:
    if np.isnan(known).any() or np.isnan(unknown).any():
        return float("nan")
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(below.mean() / 2 / len(unknown))
