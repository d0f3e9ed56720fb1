"""How often labels change, and to what, against plain loops and SciPy."""

from math import floor, sqrt

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from raystudy.kinds import Annotations, Noise
from raystudy.noise.class_conditional import ClassConditional
from raystudy.noise.pair import Pair
from raystudy.noise.realised import realised_rate
from raystudy.noise.symmetric import Symmetric
from raystudy.noise.transition import Transition
from raystudy.randomness import uniform

from .conftest import MATRIX, NAMES

N, C = 40_000, 4
CLEAN = Annotations([f"e{i}" for i in range(N)], np.arange(N) % C, [""] * N, NAMES)
OTHERS = {"ant": 0.4, "cat": 0.1}


def counts(noise: Noise, seed: int = 0) -> np.ndarray:
    """How many of class c became class d. Shape (C, C)."""
    table = np.zeros((C, C), dtype=int)
    for a, b in zip(CLEAN.labels, noise.corrupt(CLEAN, seed).labels, strict=True):
        table[a, b] += 1
    return table


def matrix_of(rate: float) -> np.ndarray:
    return np.full((C, C), rate / (C - 1)) + np.eye(C) * (1 - rate - rate / (C - 1))


@pytest.mark.parametrize(
    ("noise", "matrix"),
    [
        (Symmetric(rate=0.3), matrix_of(0.3)),
        (Symmetric(rate=1), matrix_of(1)),
        (Pair(rate=0.45), 0.55 * np.eye(C) + 0.45 * np.roll(np.eye(C), 1, axis=1)),
        (Transition(matrix=MATRIX), np.array(MATRIX)),
        (Transition(matrix=MATRIX, strength=0.25), 0.75 * np.eye(C) + 0.25 * np.array(MATRIX)),
        (
            ClassConditional(rates={"ant": 0.4, "cat": 0.9}, to={"ant": "dog"}, default_rate=0.3),
            np.array(
                [
                    [0.6, 0, 0, 0.4],
                    [0.1, 0.7, 0.1, 0.1],
                    [0.3, 0.3, 0.1, 0.3],
                    [0.1, 0.1, 0.1, 0.7],
                ]
            ),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Noise) else "",
)
def test_classes_become_what_the_matrix_says(noise: Noise, matrix: np.ndarray) -> None:
    table = counts(noise)
    assert (table[matrix < 1e-12] == 0).all()
    for got, expected in zip(table, matrix, strict=True):
        possible = expected > 1e-12
        test = chisquare(got[possible], expected[possible] * N / C)
        assert not test.pvalue < 1e-5  # nan where only one class is possible
    realised = realised_rate(CLEAN, noise.corrupt(CLEAN, 0), "label")
    rate = 1 - np.trace(matrix) / C
    assert abs(realised - rate) <= 5 * sqrt(rate * (1 - rate) / N)


@pytest.mark.parametrize(
    "noise", [Symmetric(rate=0.3), Pair(rate=0.3), Transition(matrix=MATRIX, strength=0.4)]
)
def test_the_nominal_rate_is_the_rate_of_balanced_classes(noise: Noise) -> None:
    realised = realised_rate(CLEAN, noise.corrupt(CLEAN, 1), "label")
    rate = noise.nominal_rate
    assert abs(realised - rate) <= 5 * sqrt(rate * (1 - rate) / N)


def test_what_becomes_of_a_label_is_independent_of_whether_it_is_hit() -> None:
    """Of those hit at 0.5, those hit already at 0.1 went everywhere alike."""
    early = Symmetric(rate=0.1).corrupt(CLEAN, 0).labels != CLEAN.labels
    late = Symmetric(rate=0.5).corrupt(CLEAN, 0).labels
    shift = (late - CLEAN.labels)[early] % C
    assert chisquare(np.bincount(shift, minlength=C)[1:]).pvalue > 1e-5


def test_symmetric_noise_is_what_it_was() -> None:
    """Labels of an earlier version: results made with it stand beside new ones."""
    few = Annotations(
        [f"e{i}" for i in range(40)], np.arange(40) % 10, [""] * 40, tuple("0123456789")
    )
    expected = "1109473344019645637801734547691133407419"
    assert "".join(map(str, Symmetric(rate=0.5).corrupt(few, 7).labels)) == expected


def test_transition_follows_its_draws() -> None:
    """The same by a loop over rows and classes."""
    few = Annotations(CLEAN.ids[:500], CLEAN.labels[:500], [""] * 500, NAMES)
    hit, to = (uniform(5, f"noise/{name}", few.ids) for name in ("hit", "to"))
    expected = []
    for c, u, v in zip(few.labels.tolist(), hit, to, strict=True):
        leaving = 1 - MATRIX[c][c]
        label, reached = c, 0.0
        if u < 0.7 * leaving:
            for d in range(C):
                if d != c:
                    reached += MATRIX[c][d] / leaving
                    if v < reached:
                        label = d
                        break
        expected.append(label)
    noisy = Transition(matrix=MATRIX, strength=0.7).corrupt(few, 5)
    assert noisy.labels.tolist() == expected


def test_class_conditional_follows_its_draws() -> None:
    few = Annotations(CLEAN.ids[:500], CLEAN.labels[:500], [""] * 500, NAMES)
    hit, to = (uniform(5, f"noise/{name}", few.ids) for name in ("hit", "to"))
    expected = []
    for c, u, v in zip(few.labels.tolist(), hit, to, strict=True):
        others = [(c + k) % C for k in range(1, C)]
        label = 1 if NAMES[c] == "ant" else others[floor(v * len(others))]
        expected.append(label if u < OTHERS.get(NAMES[c], 0.2) else c)
    noise = ClassConditional(rates=OTHERS, to={"ant": "bee"}, default_rate=0.2)
    assert noise.corrupt(few, 5).labels.tolist() == expected


def test_noises_of_one_rate_hit_the_same_examples() -> None:
    pair, symmetric = (cls(rate=0.3).corrupt(CLEAN, 2).labels for cls in (Pair, Symmetric))
    assert ((pair != CLEAN.labels) == (symmetric != CLEAN.labels)).all()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.9, 0.1], [0.1, 0.8]], "row 1 sums to 0.9, not to 1"),
        ([[0.9, 0.1], [1.0]], "row 1 has 1 entries"),
        ([[1.5, -0.5], [0, 1]], "less than or equal to 1"),
        ([[0.9, 0.1, 0], [0.1, 0.9, 0]], "row 0 has 3 entries"),
        ([[1.0]], "at least 2"),
        ([], "at least 2"),
    ],
)
def test_a_matrix_that_is_not_stochastic_is_refused(matrix: list, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Transition(matrix=matrix)  # pyright: ignore[reportArgumentType]


def test_rounded_rows_are_taken_as_they_are() -> None:
    """A row that sums to 1 within the tolerance alone has no draw without a class."""
    third = 1 / 3 + 3e-7
    noise = Transition(
        matrix=((third, third, third), (0.999_999_5, 0, 0), (0, 0.000_000_3, 0.999_999_7))
    )
    three = Annotations(CLEAN.ids, np.arange(N) % 3, [""] * N, ("a", "b", "c"))
    noisy = noise.corrupt(three, 0).labels
    assert (noisy >= 0).all()
    assert (noisy[three.labels == 1] == 0).all()
    assert (noisy[three.labels == 2] == 2).all()
    assert noise.nominal_rate <= 1


def test_the_matrix_is_of_the_classes_there_are() -> None:
    three = Annotations(["a"], np.array([0]), [""], ("x", "y", "z"))
    with pytest.raises(ValueError, match="4 rows, but the source has 3 classes"):
        Transition(matrix=MATRIX).corrupt(three, 0)


def test_names_of_transitions_differ_by_matrix_and_label() -> None:
    identity, swapped = ((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (1.0, 0.0))
    assert Transition(matrix=identity).name.rsplit("-", 1)[1] == "0"
    assert Transition(matrix=swapped, label="people").name == "people-1"
    assert len({Transition(matrix=m, strength=0).name for m in (identity, swapped)}) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rates": {"cta": 0.1}}, r"rates: no class is called 'cta'; did you mean 'cat'\?"),
        ({"rates": {"cat": 0.1}, "to": {"cat": "doge"}}, r"to: .*'doge'; did you mean 'dog'\?"),
        ({"rates": {"cat": 0.1}, "to": {"cart": "dog"}}, r"to: .*'cart'; did you mean 'cat'\?"),
        ({"rates": {"xylophone": 0.1}}, "see the source's class names"),
    ],
)
def test_an_unknown_class_is_named(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassConditional(**fields).corrupt(CLEAN, 0)


def test_a_class_does_not_become_itself() -> None:
    with pytest.raises(ValidationError, match="'cat' becomes itself"):
        ClassConditional(rates={"cat": 0.1}, to={"cat": "cat"})


def test_classes_that_share_a_name() -> None:
    """As "crane" and "maillot" of ImageNet: a rate is for both, a target would be either."""
    names = ("crane", "ant", "crane")
    some = Annotations(CLEAN.ids, np.arange(N) % 3, [""] * N, names)
    noisy = ClassConditional(rates={"crane": 1.0}, to={"crane": "ant"}).corrupt(some, 0)
    assert set(noisy.labels.tolist()) == {1}
    with pytest.raises(ValueError, match="2 classes are called 'crane'"):
        ClassConditional(rates={"ant": 1.0}, to={"ant": "crane"}).corrupt(some, 0)


def test_the_order_of_a_mapping_is_no_identity() -> None:
    one = ClassConditional(rates={"ant": 0.1, "bee": 0.2})
    two = ClassConditional(rates={"bee": 0.2, "ant": 0.1})
    assert one.key == two.key
    assert one.name == two.name
