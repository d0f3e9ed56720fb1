"""Any task, with its test images corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializeAsAny

from raystudy.kinds import Examples, Group, Images, Integers, Judged, Size, Task
from raystudy.tasks.corruptions import KINDS, SEVERITIES, Kind, Severity, corrupt, name_of


class Corrupted(Task):
    """Another task, of which each corruption at each severity is a shift: ``gaussian_noise-3``.

    Its examples, and what shifts it has already, are those of ``task``. Images are corrupted as
    they are read, so that only a few are in memory (``raystudy.tasks.corruptions`` says how).
    Paper: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations, ICLR 2019, arXiv 1903.12261
    """

    VERSION: ClassVar[int] = 1
    task: SerializeAsAny[Task]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = KINDS
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = SEVERITIES

    @property
    def name(self) -> str:
        return f"{self.task.name}-c"

    @property
    def class_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.task.class_names

    @property
    def shifts(self) -> tuple[str, ...]:
        return (*self.task.shifts, *self._settings)

    @property
    def metric(self) -> Judged:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.task.metric

    @property
    def in_distribution(self) -> Literal["test", "validation"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.task.in_distribution

    @property
    def group(self) -> Group | None:
        return self.task.group

    @property
    def size(self) -> Size:
        return self.task.size

    def check(self) -> None:
        self.task.check()
        if twice := set(self.task.shifts) & set(self._settings):
            raise ValueError(
                f"Corrupted.task: {self.task.name} has a shift '{min(twice)}' of its own already; "
                "leave that out of Corrupted.kinds, or give the task alone"
            )

    def num_train(self) -> Sequence[int]:
        return self.task.num_train()

    def train(self) -> Examples:
        return self.task.train()

    def validation(self) -> Examples:
        return self.task.validation()

    def _test(self, shift: str | None) -> Examples:
        if shift not in self._settings:
            return self.task.sealed(shift)
        clean = self.task.sealed()
        return Examples(clean.ids, _Corrupted(clean, *self._settings[shift]), clean.labels)

    def prompts(self) -> Sequence[Sequence[str]]:
        return self.task.prompts()

    def domain_of(self, id: str) -> str:
        return self.task.domain_of(id)

    def part(self, shift: str) -> Integers | None:
        return None if shift in self._settings else self.task.part(shift)

    def classes_of(self, shift: str) -> Sequence[Sequence[int]] | None:
        return None if shift in self._settings else self.task.classes_of(shift)

    @property
    def _settings(self) -> dict[str, tuple[Kind, Severity]]:
        return {name_of(k, s): (k, s) for k in self.kinds for s in self.severities}


class _Corrupted(Images):
    """Images in memory or on disk, corrupted as they are read."""

    def __init__(self, clean: Examples, kind: Kind, severity: Severity) -> None:
        self._clean = clean
        self._kind: Kind = kind
        self._severity: Severity = severity

    def __len__(self) -> int:
        return len(self._clean)

    def __getitem__(self, rows: Integers) -> _Corrupted:
        return _Corrupted(self._clean.take(rows), self._kind, self._severity)

    def read(self, row: int) -> NDArray[np.uint8]:
        inputs = self._clean.inputs
        image = inputs.read(row) if isinstance(inputs, Images) else inputs[row]
        return corrupt(image, self._kind, self._severity, self._clean.ids[row])
