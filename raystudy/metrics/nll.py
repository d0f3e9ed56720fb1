"""Negative log-likelihood."""

import numpy as np

from raystudy.kinds import Floats, Integers, Metric


class NegativeLogLikelihood(Metric):
    """Mean −log softmax probability of the label, in nats."""

    @property
    def name(self) -> str:
        return "nll"

    def compute(self, logits: Floats, labels: Integers) -> float:
        logits = logits.astype(np.float64)
        top = logits.max(1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(1))
        return float(np.mean(log_sum - logits[np.arange(len(labels)), labels]))
