"""The realised rate counts what differs among what there is."""

from dataclasses import replace

import numpy as np

from raystudy.kinds import Annotations
from raystudy.noise.realised import realised_rate

CLEAN = Annotations(
    list("abcde"), np.array([0, 1, 2, -1, 0]), ["x", "", "y", "z", "z"], tuple("uvw")
)


def test_labels() -> None:
    noisy = replace(CLEAN, labels=np.array([1, 1, 0, -1, 0]))
    assert realised_rate(CLEAN, noisy, "label") == 2 / 4
    assert realised_rate(CLEAN, noisy, "caption") == 0


def test_captions() -> None:
    noisy = replace(CLEAN, captions=["y", "", "x", "w", "z"])
    assert realised_rate(CLEAN, noisy, "caption") == 3 / 4
    assert realised_rate(CLEAN, noisy, "label") == 0


def test_without_any_it_is_zero() -> None:
    none = Annotations([], np.array([], dtype=np.int64), [], ())
    assert realised_rate(none, none, "label") == 0
    assert realised_rate(none, none, "caption") == 0
