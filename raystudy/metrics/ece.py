"""The expected calibration error of the predicted class."""

from typing import Annotated

import numpy as np
from pydantic import Field

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.bins import Binning, Gaps, gaps
from raystudy.metrics.probabilities import Doubles, ranked

BINS = 15


class ECE(JointMetric):
    """Σ_b n_b/N · |mean confidence − share of hits| over bins of confidence, in [0, 1] (Naeini et
    al. 2015; Guo et al. 2017, arXiv 1706.04599).

    Equal width: bin b holds confidences in (b/B, (b+1)/B], so that 1.0 is in the last. Equal mass:
    as many examples in each as N allows, where what is equally confident stays together. Empty
    bins count for nothing.

    This sum is too high in small samples, even of a model without fault: compare it at equal N
    only, or ``debiased``.
    """

    bins: Annotated[int, Field(gt=0)] = BINS
    binning: Binning = "width"
    debiased: bool = False
    """Estimate the sum that endless examples in the same bins would give: 0 on average of a model
    whose confidences are true, whatever N, so that it may fall below 0."""

    @property
    def name(self) -> str:
        mass = "_mass" if self.binning == "mass" else ""
        debiased = "_debiased" if self.debiased else ""
        return f"ece{mass}{debiased}" + (f"_{self.bins}" if self.bins != BINS else "")

    def of(self, scored: Scored) -> float:
        found = gaps(scored.once(ranked), self.bins, self.binning)
        sizes = cross_fitted(found) if self.debiased else np.abs(found.difference)
        return float(sizes.sum() / len(scored.labels))


def cross_fitted(found: Gaps) -> Doubles:
    """|difference| of each bin (…, B), without the bias that comes of the sign.

    |δ| = δ·sign δ is too large on average if the same examples give both δ and its sign. Let one
    half of a bin's examples give the sign and the other half the gap: as they are independent, the
    product is 0 on average where δ is 0. Its mean over all ways to halve has a closed form for
    normal sums, with t = d/σ the observed difference in standard errors:
    |d|·erf(|t|/√2) − σ·√(2/π)·exp(−t²/2). Its own mean is |δ|·erf(|δ|/2σ): never beyond |δ|, and
    all of it once the gap stands out from the noise.
    """
    from scipy.special import erf  # here, so that a study file loads fast

    size, sigma = np.abs(found.difference), np.sqrt(found.variance)
    t = np.divide(size, sigma, out=np.full_like(size, np.inf), where=sigma > 0)
    return size * erf(t / np.sqrt(2)) - sigma * np.sqrt(2 / np.pi) * np.exp(-(t**2) / 2)
