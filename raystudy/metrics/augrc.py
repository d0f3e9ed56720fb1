"""The area under the generalised risk–coverage curve."""

import numpy as np

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.probabilities import ranked


class AUGRC(JointMetric):
    """Area under the share of all examples that are accepted and wrong, over the share that is
    accepted, in [0, ½] (Traub et al. 2024, arXiv 2407.01032): the risk of an undetected error,
    which unlike AURC does not weigh the first few predictions most.

    By the trapezoidal rule from (0, 0), so that it equals (1 − AUROC of confidence for hits) ·
    accuracy · error + error²/2. Confidence is the largest softmax probability; ties count as on
    average over their orders.
    """

    @property
    def name(self) -> str:
        return "augrc"

    def of(self, scored: Scored) -> float:
        wrong = 1 - scored.once(ranked).hit
        accepted_wrong = np.cumsum(wrong) - wrong / 2
        return float(np.mean(accepted_wrong) / len(wrong))
