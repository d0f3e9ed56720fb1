"""What a site tells its driver. Nothing heavy is imported here: a notice board is a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Event:
    """Something happened to the piece of work called ``key``; ``waiting`` means nothing did."""

    kind: Literal["progress", "done", "failed", "waiting"]
    key: str = ""
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
