"""Numbers as a reader wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

TRAINS_ALL = ("fine-tun", "finetun", "lp-ft", "wise-ft", "head2toe-ft")
"""In names of adaptations that change the backbone too."""


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def interval(row: Mapping[str, Any]) -> str:
    """Mean and 95 % interval of a row of ``seed_means``: "86.1 % (84.0 to 88.2)".

    Student's interval knows nothing of the ends of the scale, so it is cut there.
    """
    if row["low"] is None:
        return percent(row["accuracy"])
    low, high = max(0.0, row["low"]), min(1.0, row["high"])
    return f"{percent(row['accuracy'])} ({100 * low:.1f} to {100 * high:.1f})"


def plus_minus(row: Mapping[str, Any]) -> str:
    """The same for a table cell, in points: "86.1 ± 2.1"."""
    if row["low"] is None:
        return f"{100 * row['accuracy']:.1f}"
    return f"{100 * row['accuracy']:.1f} ± {50 * (row['high'] - row['low']):.1f}"


def points(gap: Mapping[str, Any]) -> str:
    """A difference of two shares (``difference``) in points: "5.6 points (4.1 to 7.0)"."""
    text = f"{signed(100 * gap['mean'])} points"
    if gap["low"] is None:
        return text
    return f"{text} ({signed(100 * gap['low'])} to {signed(100 * gap['high'])})"


def factor(text: str) -> str:
    """A multiplier without an interval that says nothing, as one seed's."""
    return text.removesuffix(" (0 … ∞)")


def signed(number: float, digits: int = 1, plus: bool = False) -> str:
    """A number that may be negative, with a true minus sign."""
    return f"{number:{'+' if plus else ''}.{digits}f}".replace("-", "−")


def plural(number: float, noun: str, digits: int = 1) -> str:
    text = f"{number:.{digits}f}"
    return f"{text} {noun}{'' if float(text) == 1 else 's'}"


def shots_phrase(shots: str) -> str:
    """The ledger's ``shots`` in words."""
    if shots == "0":
        return "no labels"
    if shots == "full":
        return "full data"
    return f"{shots} shot{'' if shots == '1' else 's'}"


def baseline(adaptation: str) -> str:
    """What a backbone that saw no data gives: whoever trains all of it trains from scratch."""
    whole = any(word in adaptation for word in TRAINS_ALL)
    return "training from scratch" if whole else "random features"


def pretrained(size: int) -> str:
    """How a backbone was pre-trained. Size 0: published, and of how many examples is not known."""
    return f"on {size:,} clean examples" if size else "by others"


def listing(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def spaced(name: str) -> str:
    """A variant's name inside a sentence."""
    return name.replace("-", " ")


def short(names: Sequence[str]) -> list[str]:
    """Names of tasks without the words that all begin with: those of VTAB begin with "vtab-"."""
    words = [name.split("-") for name in names]
    begins = zip(*(w[:-1] for w in words), strict=False)
    num_shared = sum(1 for _ in takewhile(lambda same: len(set(same)) == 1, begins))
    return ["-".join(w[num_shared:]) for w in words]
