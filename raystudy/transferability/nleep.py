"""N-LEEP: LEEP with clusters of the features in place of source classes, for backbones without a
head (Li et al. 2021, arXiv 2011.11200)."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from raystudy.randomness import number
from raystudy.transferability.checks import checked
from raystudy.transferability.leep import leep

VARIANCE_KEPT = 0.8
CLUSTERS_PER_CLASS = 5


def nleep(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    num_clusters: int | None = None,
    covariance: Literal["full", "diag"] = "full",
    seed: int = 0,
) -> float:
    """LEEP of the responsibilities of a mixture of Gaussians, fitted to the principal components
    that hold 80 % of the variance; in (−∞, 0], higher being better.

    As published there are 5 clusters a class (fewer than N at most) of full covariance;
    ``covariance="diag"`` is faster and needs fewer examples where classes are many. Scores of two
    backbones are comparable at equal ``num_clusters``.

    Raises ValueError as ``transferability.checks.checked`` does.
    """
    from sklearn.decomposition import PCA  # here: it takes a second to import
    from sklearn.mixture import GaussianMixture

    F, numbers, num_classes = checked(features, labels)
    if not F.std(0).any():
        raise ValueError("all examples have the same features, which makes no clusters")
    components = PCA(VARIANCE_KEPT, svd_solver="full").fit_transform(F)
    mixture = GaussianMixture(
        min(num_clusters or CLUSTERS_PER_CLASS * num_classes, len(F)),
        covariance_type=covariance,
        random_state=number(seed, "nleep") % 2**32,
    )
    return leep(mixture.fit(components).predict_proba(components), numbers)
