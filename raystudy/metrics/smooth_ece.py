"""The smooth calibration error of the predicted class."""

import numpy as np

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.bins import sums
from raystudy.metrics.probabilities import Doubles, Top, top

NUM_POINTS = 1 << 13
NARROWEST = 1e-5
"""The smallest bandwidth tried, well under the distance of two points."""


class SmoothECE(JointMetric):
    """Error after smoothing with a Gaussian kernel instead of in bins, in [0, 1]: no bin to choose,
    and continuous in the predictions (Błasiok and Nakkiran 2023, arXiv 2309.12236).

    smECE_σ = ∫₀¹ |1/N Σ_i K_σ(t, confidence_i)·(hit_i − confidence_i)| dt with K reflected at 0 and
    1, at the one bandwidth where smECE_σ = σ (their definition 3). Residuals are spread over 8,192
    points linearly, which moves the result by less than 1e-6; the cost is linear in N.
    """

    @property
    def name(self) -> str:
        return "smooth_ece"

    def of(self, scored: Scored) -> float:
        from scipy.fft import dct, idct  # here, so that a study file loads fast
        from scipy.optimize import root_scalar

        # Gaussian smoothing with reflection is a product in the cosine basis, as is diffusion
        # between insulated ends.
        waves = dct(_spread(scored.once(top)), norm="ortho")
        rates = (np.pi * np.arange(NUM_POINTS)) ** 2 / 2

        def excess(sigma: float) -> float:
            smooth = np.asarray(idct(waves * np.exp(-rates * sigma**2), norm="ortho"))
            return float(np.abs(smooth).sum()) - sigma

        narrow = excess(NARROWEST)
        if narrow <= 0:
            return narrow + NARROWEST
        found = root_scalar(excess, bracket=(NARROWEST, 1.0 + NARROWEST), xtol=1e-10)
        return min(1.0, float(found.root))


def _spread(found: Top) -> Doubles:
    """Mean residual at each of the points (j + ½)/M: (M,), an example's shared between the two
    nearest."""
    at = found.confidence * NUM_POINTS - 0.5
    left = np.floor(at).astype(np.intp)
    share = at - left
    residual = (found.hit - found.confidence) / len(at)
    right = np.minimum(left + 1, NUM_POINTS - 1)
    spread = sums(np.maximum(left, 0), (1 - share) * residual, NUM_POINTS)
    return spread + sums(right, share * residual, NUM_POINTS)
