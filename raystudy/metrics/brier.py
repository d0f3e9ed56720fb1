"""The Brier score of all classes."""

from raystudy.kinds import JointMetric, Scored
from raystudy.metrics.probabilities import top


class Brier(JointMetric):
    """Mean Σ_c (p_c − y_c)², in [0, 2] as Brier (1950) has it: with two classes twice what some
    libraries report."""

    @property
    def name(self) -> str:
        return "brier"

    def of(self, scored: Scored) -> float:
        return float(scored.once(top).brier.mean())
