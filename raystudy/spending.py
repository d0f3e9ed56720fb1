"""How sure an early look must be, so that all looks together err as seldom as one.

Who looks at a growing study after every seed, and stops at the first interval that excludes zero,
errs far more often than the interval says. The error that is allowed in all is therefore spent look
by look (Lan and DeMets 1983), little of it early (O'Brien and Fleming 1979). Each look gets what is
spent anew, so that Bonferroni's bound holds whatever the looks have in common.
"""

from __future__ import annotations

ALPHA = 0.05


def spent(share: float, alpha: float = ALPHA) -> float:
    """The error that may have been spent once ``share`` in (0, 1] of the seeds are there:
    2·(1 − Φ(z/√share)), with z the two-sided quantile of ``alpha``. Raises ValueError for a share
    outside."""
    from scipy.special import ndtr, ndtri

    if not 0 < share <= 1:
        raise ValueError(f"a share of seeds lies in (0, 1], got {share:g}")
    return float(2 * ndtr(ndtri(alpha / 2) / share**0.5))


def look_coverage(num_seeds: int, num_planned: int, alpha: float = ALPHA) -> float:
    """Of the interval that may decide after ``num_seeds`` of ``num_planned`` seeds, with looks from
    the second seed on: one seed has no interval, so that its share is left to the second."""
    if num_seeds < 2:
        return 1.0
    before = spent((num_seeds - 1) / num_planned, alpha) if num_seeds > 2 else 0.0
    return 1 - (spent(num_seeds / num_planned, alpha) - before)
