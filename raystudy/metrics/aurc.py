"""The area under the risk–coverage curve."""

import numpy as np

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.probabilities import ranked


class AURC(JointMetric):
    """Mean over k of the error rate among the k most confident predictions, in [0, 1] (Geifman et
    al. 2019, arXiv 1805.08206): low where errors are rare and come with low confidence.

    Confidence is the largest softmax probability; ties count as on average over their orders.
    """

    @property
    def name(self) -> str:
        return "aurc"

    def of(self, scored: Scored) -> float:
        errors = np.cumsum(1 - scored.once(ranked).hit)
        return float(np.mean(errors / np.arange(1, len(errors) + 1)))
