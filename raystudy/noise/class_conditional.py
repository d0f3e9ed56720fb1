"""Label noise that befalls some classes, by name."""

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from raystudy.key import digest
from raystudy.kinds import Annotations, Floats, Integers, Noise
from raystudy.noise.draws import count_classes, hits, other_class, targets
from raystudy.spec import Rate


class ClassConditional(Noise):
    """Each class has a rate of its own, and perhaps a class that it is mistaken for, as a truck is
    for an automobile in Patrini et al. 2017 (arXiv 1609.03683)."""

    corrupts: ClassVar[Literal["label", "caption"]] = "label"
    rates: Mapping[str, Rate]
    """By class name; of classes that share a name, to each."""
    to: Mapping[str, str] = Field(default_factory=dict)
    """Class name → the class name it becomes; uniform over the others where there is none."""
    default_rate: Rate = 0.0
    """Of the classes that ``rates`` does not name."""
    label: str | None = None
    """How tables call it, before its rate, if not by a digest of its fields."""

    @property
    def name(self) -> str:
        fields = digest([dict(self.rates), dict(self.to), self.default_rate])
        return f"{self.label or f'class-conditional-{fields[:4]}'}-{self.nominal_rate:.3g}"

    @property
    def nominal_rate(self) -> float:
        """The mean of the named rates. What share of all examples that is depends on the classes of
        the source and how frequent each is: the realised rate says it."""
        return float(np.mean(list(self.rates.values()))) if self.rates else self.default_rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Raises ValueError for a name that no class has, or that two have where one is meant."""
        num_classes = count_classes(self, clean)
        rates, to = self._by_class(clean.class_names)
        others = other_class(clean.labels, num_classes, targets(clean, seed))
        meant = to[clean.labels]
        hit = hits(self, clean, rates[clean.labels], seed)
        return replace(
            clean, labels=np.where(hit, np.where(meant >= 0, meant, others), clean.labels)
        )

    def _by_class(self, class_names: tuple[str, ...]) -> tuple[Floats, Integers]:
        """Each class's rate, and the class that it becomes or −1. Shapes (C,)."""
        uses = Counter(class_names)
        for field, names in (("rates", self.rates), ("to", [*self.to, *self.to.values()])):
            for name in names:
                if name not in uses:
                    near = difflib.get_close_matches(name, uses, 1)
                    hint = f"did you mean '{near[0]}'?" if near else "see the source's class names"
                    raise ValueError(
                        f"ClassConditional.{field}: no class is called '{name}'; {hint}"
                    )
        for name in self.to.values():
            if uses[name] > 1:
                raise ValueError(f"ClassConditional.to: {uses[name]} classes are called '{name}'")
        index = {name: c for c, name in enumerate(class_names)} | {None: -1}
        rates = [self.rates.get(name, self.default_rate) for name in class_names]
        to = [index[self.to.get(name)] for name in class_names]
        return np.array(rates, dtype=np.float64), np.array(to, dtype=np.int64)

    @model_validator(mode="after")
    def _becomes_another(self) -> Self:
        for name, other in self.to.items():
            if name == other:
                raise ValueError(f"ClassConditional.to: '{name}' becomes itself; leave it out")
        return self
