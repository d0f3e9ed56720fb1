"""How far a fit can be trusted, and the refusal of one that cannot be made."""

from __future__ import annotations

from enum import Enum


class FitError(ValueError):
    """The runs cannot identify the law."""


class FitStatus(Enum):
    """How far a fit can be trusted; ``Fit.reasons`` says why not further."""

    FINE = "fine"
    WEAK = "weak"
    """The curve is usable; its interval is too narrow, or a parameter hardly identified."""
    SEVERAL_BASINS = "several basins"
    """Other parameters, apart from these, fit the runs about as well: see ``Fit.basins``."""
    AT_BOUND = "at bound"
    """A parameter lies on the edge of its range, and is no estimate."""
