"""A metric of predictions after temperature scaling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import SerializeAsAny

from raystudy.kinds import Floats, Integers, Metric, Scored, labelled
from raystudy.metrics.temperature import fitted, scaled


class TemperatureScaled(Metric):
    """``metric`` of all of a cell's logits divided by the temperature of its validation split,
    which is the only one that it is fitted on (see ``raystudy.metrics.temperature``). A cell is
    fitted once, however many metrics and splits.
    """

    metric: SerializeAsAny[Metric]

    @property
    def name(self) -> str:
        return f"{self.metric.name}_scaled"

    def compute(self, logits: Floats, labels: Integers) -> float:
        raise ValueError(f"{self.name} is fitted on another split than it judges; call judge")

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        validation = labelled("validation", scored)
        if validation is None:
            raise ValueError(f"{self.name}: validation labels −1 leave nothing to fit on")
        return self.metric.judge(split, _Scaled(scored, validation.once(fitted)))


@dataclass(frozen=True)
class _Scaled(Mapping[str, Scored]):
    """Splits at a temperature, divided when they are asked for."""

    raw: Mapping[str, Scored]
    temperature: float

    def __getitem__(self, split: str) -> Scored:
        return self.raw[split].once(scaled, self.temperature)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)
