"""The calibration error of the probability of every class."""

from typing import Annotated

import numpy as np
from pydantic import Field

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.bins import width_bins
from raystudy.metrics.ece import BINS
from raystudy.metrics.probabilities import of_labels, softmax_blocks


class ClasswiseECE(JointMetric):
    """Mean over classes c of Σ_b n_bc/N · |mean p_c − share of label c| over bins of equal width of
    p_c, in [0, 1] (Kull et al. 2019, arXiv 1910.12656; the static calibration error of Nixon et
    al. 2019, arXiv 1904.01685). Bins are those of ``ECE``; every class counts, with examples or
    without.
    """

    bins: Annotated[int, Field(gt=0)] = BINS

    @property
    def name(self) -> str:
        return "classwise_ece" + (f"_{self.bins}" if self.bins != BINS else "")

    def of(self, scored: Scored) -> float:
        num_classes = scored.logits.shape[1]
        num_bins = num_classes * self.bins
        difference = np.zeros(num_bins)
        for rows, p in softmax_blocks(scored.logits):
            at = width_bins(p, self.bins) + np.arange(num_classes) * self.bins
            difference += np.bincount(at.ravel(), p.ravel(), minlength=num_bins)
            difference -= np.bincount(of_labels(at, scored.labels[rows]), minlength=num_bins)
        return float(np.abs(difference).sum() / scored.logits.size)
