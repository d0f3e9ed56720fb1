"""The loss of a language model."""

import numpy as np

from raystudy.kinds import Floats, Integers, Metric


class TokenLoss(Metric):
    """Mean negative log-probability of a token, in nats, of predictions (N, 1) that hold its mean
    over each context: contexts are of one length, so every token counts alike."""

    @property
    def name(self) -> str:
        return "token-loss"

    def compute(self, logits: Floats, labels: Integers) -> float:
        """Raises ValueError for predictions of several classes."""
        if logits.shape[1] != 1:
            raise ValueError(f"token-loss: predictions of {logits.shape[1]} classes are no text's")
        return float(-np.mean(logits[:, 0], dtype=np.float64))
