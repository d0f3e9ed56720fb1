"""Accuracy, each class weighing as much as any other."""

import numpy as np

from raystudy.kinds import Floats, Integers, Metric


class MeanPerClass(Metric):
    """Share of correct top-1 predictions of each class that has examples, averaged over these."""

    @property
    def name(self) -> str:
        return "mean_per_class"

    def compute(self, logits: Floats, labels: Integers) -> float:
        correct = logits.argmax(1) == labels
        return float(np.mean([correct[labels == c].mean() for c in np.unique(labels)]))
