"""Laws on any table, without the rest of raystudy.

    from raystudy.laws import OffsetPower, fit

    found = fit(frame, OffsetPower(), x="size", y="error", seed="seed")
    print(found.report())
    y, low, high = found.predict([1e6, 1e7])

``frame`` is a polars or pandas DataFrame, or a dictionary of columns. Forms of several inputs take
as many columns: ``fit(frame, Chinchilla(), x=["params", "tokens"], y="loss", loss="huber")``.
``compare`` ranks forms by what they say of the largest sizes without having seen them.

========================  =======================================  ===========================
form                      y                                        inputs
========================  =======================================  ===========================
``Power`` (M1)            A·x^−α                                   x
``OffsetPower`` (M2)      E + A·x^−α                               x
``ShiftedPower`` (M3)     A·(1/x + γ)^α                            x
``BoundedPower`` (M4)     (y − E)/(E0 − y)^κ = A·x^−α              x
``Broken`` (BNSL)         a + b·x^−c0·Π (1 + (x/d)^(1/f))^(−c·f)   x
``PiecewisePower`` (PPL)  A·x^−α·exp(c·min(ln(x/d), 0)²)           x
``Chinchilla``            E + A/N^α + B/D^β                        N, D
``RepeatedData``          the same, of effective N' and D'         N, D (seen), U (unique)
``QualityQuantity``       E + A·Π (n_j/n_(j−1))^(−α·2^(−(j−1)/τ))  n (seen), U (pool)
``NoisySize``             E + A·(n·(1−r)^q)^−α                     n, r (share of wrong labels)
``FineTuning``            E + A·X^−α·D^−β                          X, D
``EffectiveData``         k·D_F^α·N^β                              D_F, N
``TransferGap``           D·n^−α + C                               n
``DataMixing``               c + k·exp(Σ t·r)                         r1 … rJ (shares)
``ProbitLine``            Φ(a + b·Φ⁻¹(x))                          x
========================  =======================================  ===========================

A ``Fit`` has ``parameters``, ``parameter(name)`` and ``predict(x)`` with intervals, ``basins`` (all
minima), ``status`` with ``reasons``, ``conditioning``, ``residual_checks``, ``profile(name)``,
``holdout()``, ``rolling()``, ``derive(quantity)`` and ``report()``. What follows from one is in
``derived`` (samples needed, compute-optimal sizes, worth of cleaning), ``transferred`` (effective
data transferred), ``transfer`` and ``transfer_law`` (the same of a whole study) and ``multiplier``.
"""

from raystudy.laws.bounded_power import BoundedPower
from raystudy.laws.broken import Broken
from raystudy.laws.chinchilla import Chinchilla
from raystudy.laws.compare import Standing, compare
from raystudy.laws.data_mixing import DataMixing
from raystudy.laws.effective_data import EffectiveData
from raystudy.laws.fine_tuning import FineTuning
from raystudy.laws.fit import fit, fit_law
from raystudy.laws.fitted import Fit
from raystudy.laws.losses import HUBER, Loss
from raystudy.laws.multiplier import data_multiplier
from raystudy.laws.noisy_size import NoisySize
from raystudy.laws.piecewise_power import PiecewisePower
from raystudy.laws.power import OffsetPower
from raystudy.laws.probit_line import ProbitLine
from raystudy.laws.pure_power import Power
from raystudy.laws.quality_quantity import QualityQuantity
from raystudy.laws.repeated_data import RepeatedData
from raystudy.laws.shifted_power import ShiftedPower
from raystudy.laws.status import FitError, FitStatus
from raystudy.laws.transfer_gap import TransferGap

__all__ = [
    "HUBER",
    "BoundedPower",
    "Broken",
    "Chinchilla",
    "DataMixing",
    "EffectiveData",
    "FineTuning",
    "Fit",
    "FitError",
    "FitStatus",
    "Loss",
    "NoisySize",
    "OffsetPower",
    "PiecewisePower",
    "Power",
    "ProbitLine",
    "QualityQuantity",
    "RepeatedData",
    "ShiftedPower",
    "Standing",
    "TransferGap",
    "compare",
    "data_multiplier",
    "fit",
    "fit_law",
]
