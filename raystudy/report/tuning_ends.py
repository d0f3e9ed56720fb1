"""Whether runs were tuned as far as they could be: an optimum at an end of the range is none."""

from __future__ import annotations

import json
from collections.abc import Sequence


def tuning_ends(chosen: Sequence[str]) -> str:
    """A sentence about runs that chose the lowest or highest of several learning rates, and about
    those whose best look was the last that any took; empty where ``chosen`` (the ledger's JSON)
    says nothing of it."""
    found = [json.loads(text) for text in chosen]
    rates = [(own["learning_rate"], _tried(own)) for own in found if "learning_rate" in own]
    rates = [(rate, tried) for rate, tried in rates if len(tried) > 1]
    steps = [float(own["step"]) for own in found if "step" in own]
    told = []
    if rates:
        low = sum(rate == min(tried) for rate, tried in rates)
        high = sum(rate == max(tried) for rate, tried in rates)
        told.append(
            f"the best learning rate was the lowest of those tried in {low} and the highest in "
            f"{high} of {len(rates)} runs"
        )
    if steps:
        last = sum(step == max(steps) for step in steps)
        told.append(
            f"training was best at the last step that any run took ({max(steps):,.0f}) in "
            f"{last} of {len(steps)}"
        )
    text = ", and ".join(told)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _tried(own: dict) -> list[float]:
    """Rates of "0.001:1.9 0.003:1.8", which diverged ones are among."""
    pairs = str(own.get("validation_losses", "")).split()
    return [float(pair.partition(":")[0]) for pair in pairs]
