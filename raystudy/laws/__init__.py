"""Laws on any table, without the rest of raystudy.

    from raystudy.laws import OffsetPower, fit

    found = fit(frame, OffsetPower(), x="size", y="error", seed="seed")
    print(found.report())
    y, low, high = found.predict([1e6, 1e7])

``frame`` is a polars or pandas DataFrame, or a dictionary of columns. Forms of several inputs take
as many columns: ``fit(frame, Chinchilla(), x=["params", "tokens"], y="loss", loss="huber")``.
``compare`` ranks forms by what they say of the largest sizes without having seen them.
"""

from raystudy.laws.bounded_power import BoundedPower
from raystudy.laws.broken import Broken
from raystudy.laws.chinchilla import Chinchilla
from raystudy.laws.compare import Standing, compare
from raystudy.laws.effective_data import EffectiveData
from raystudy.laws.fine_tuning import FineTuning
from raystudy.laws.fit import fit, fit_law
from raystudy.laws.fitted import Fit
from raystudy.laws.losses import HUBER, Loss
from raystudy.laws.mixture import Mixture
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
    "EffectiveData",
    "FineTuning",
    "Fit",
    "FitError",
    "FitStatus",
    "Loss",
    "Mixture",
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
