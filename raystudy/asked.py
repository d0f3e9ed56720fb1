"""The numbers that a study can be asked to know better: multipliers, parameters of its law, errors.

Each is a function of the fitted parameters of one arm or two, on the scale on which its interval is
symmetric. Shapes: A arms, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raystudy.arms import Arm, pairs
from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.design import Quantity
from raystudy.laws.inversion import invert

CONVENIENT = {"exponent": ("alpha",), "offset": ("E", "C", "gamma")}
ALIKE = "×"
"""The unit of a quantity whose interval is symmetric in its logarithm."""


@dataclass(frozen=True)
class Asked:
    """A quantity of ``arms``: ``of(law)`` takes parameters (A, P) to a number."""

    name: str
    arms: tuple[Arm, ...]
    of: Callable[[Law], Quantity]
    unit: str

    def ends(self, value: float, half: float) -> tuple[float, float, float]:
        """(value, low, high) as they are read, from the scale of ``of``."""
        three = np.array([value, value - half, value + half])
        value, low, high = (np.exp(three) if self.unit == ALIKE else three).tolist()
        return value, low, high


def parse(kind: str, names: str, found: Sequence[Arm], law: Law) -> list[Asked]:
    """What ``kind:names`` asks for; of every arm, or pair of them, where none is named.

    Raises ValueError for arms or parameters that there are not.
    """
    by_name = {arm.name: arm for arm in found}
    chosen = names.split("/") if names else []
    if not found:
        raise ValueError("--for: the study pre-trains nothing; only a claim can be asked for")
    for name in chosen:
        if name not in by_name:
            raise ValueError(f"--for: the study has no arm '{name}'; arms: {', '.join(by_name)}")
    if kind == "multiplier":
        if len(chosen) not in (0, 2):
            raise ValueError("--for multiplier takes two arms, as in multiplier:latin/greek")
        two = [(by_name[chosen[0]], by_name[chosen[1]])] if chosen else _better_first(found)
        if not two:
            raise ValueError("--for multiplier: the study has one arm, and none to compare it with")
        return [_multiplier(a, b) for a, b in two]
    of_one = [by_name[name] for name in chosen] or list(found)
    if kind.startswith("error@"):
        size = _size(kind.removeprefix("error@"))
        return [_error(arm, size) for arm in of_one]
    tried = (*CONVENIENT.get(kind, ()), kind)
    name = next((n for n in tried if n in law.parameters), "")
    if not name:
        known = ", ".join(("multiplier", *law.parameters, "error@SIZE", "claim:1"))
        raise ValueError(f"--for {kind}: {law.name} has no such parameter; there are {known}")
    return [_parameter(arm, name, law.parameters.index(name)) for arm in of_one]


def _better_first(found: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Pairs as a report compares them; as they come where one of them has not run."""

    def last(arm: Arm) -> float:
        sizes, errors, _ = arm.runs
        return float(errors[sizes == sizes.max()].mean())

    return [
        (b, a) if a.finished and b.finished and last(b) < last(a) else (a, b)
        for a, b in pairs(found)
    ]


def _multiplier(a: Arm, b: Arm) -> Asked:
    """As ``raystudy.laws.multiplier`` reads it: where A's curve meets B's at B's largest size."""

    def of(law: Law) -> Quantity:
        low, high, largest = a.sizes[0], a.sizes[-1], float(b.sizes[-1])

        def value(parameters: Doubles) -> float:
            target = np.asarray(law.predict(np.array([largest]), parameters[1]), dtype=np.float64)
            meets = invert(law, parameters[:1], target, low, high)[0]
            with np.errstate(divide="ignore"):
                return float(np.log(largest) - np.log(meets))

        return value

    return Asked(f"multiplier of {a.name} over {b.name}", (a, b), of, ALIKE)


def _parameter(arm: Arm, name: str, index: int) -> Asked:
    return Asked(f"{name} of {arm.name}", (arm,), lambda _: lambda p: float(p[0, index]), "")


def _error(arm: Arm, size: float) -> Asked:
    def of(law: Law) -> Quantity:
        return lambda p: 100 * float(np.asarray(law.predict(np.array([size]), p[0]))[0])

    return Asked(f"error of {arm.name} at {size:,.0f}", (arm,), of, "points")


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < np.inf:
        raise ValueError(f"--for error@{text}: a size is a positive number, as in error@100000")
    return size
