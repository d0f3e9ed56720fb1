"""Top-1 accuracy."""

import numpy as np

from raystudy.kinds import Floats, Integers, Metric


class Accuracy(Metric):
    """The share of examples whose largest logit is the label's, in [0, 1]."""

    @property
    def name(self) -> str:
        return "accuracy"

    def compute(self, logits: Floats, labels: Integers) -> float:
        return float(np.mean(logits.argmax(1) == labels))
