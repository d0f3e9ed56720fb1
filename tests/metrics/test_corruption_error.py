"""Mean corruption error, against the paper's equation by hand."""

import pytest

from raystudy.metrics.corruption_error import mean_corruption_error, relative_corruption_error

REFERENCE = {"noise": [0.5, 0.7], "blur": [0.4, 0.8]}
OURS = {"blur": [0.2, 0.4], "noise": [0.4, 0.5]}


def test_is_the_mean_of_ratios_of_sums() -> None:
    expected = (0.9 / 1.2 + 0.6 / 1.2) / 2
    assert mean_corruption_error(OURS, REFERENCE) == pytest.approx(expected)


def test_relative_is_what_corruption_adds() -> None:
    expected = ((0.9 - 2 * 0.1) / (1.2 - 2 * 0.3) + (0.6 - 2 * 0.1) / (1.2 - 2 * 0.3)) / 2
    assert relative_corruption_error(OURS, 0.1, REFERENCE, 0.3) == pytest.approx(expected)


def test_the_reference_itself_is_1() -> None:
    assert mean_corruption_error(REFERENCE, REFERENCE) == pytest.approx(1)
    assert relative_corruption_error(REFERENCE, 0.2, REFERENCE, 0.2) == pytest.approx(1)


@pytest.mark.parametrize(
    ("errors", "reference", "message"),
    [
        ({"noise": [0.1, 0.2]}, REFERENCE, "blur"),
        ({}, {}, "at least one"),
        (OURS | {"blur": [0.2]}, REFERENCE, "severities"),
        (OURS | {"blur": [20.0, 40.0]}, REFERENCE, r"\[0, 1\]"),
        (OURS, REFERENCE | {"blur": [0.0, 0.0]}, "loses nothing to 'blur'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(errors, reference, message) -> None:
    with pytest.raises(ValueError, match=message):
        mean_corruption_error(errors, reference)


def test_a_reference_that_corruption_does_not_hurt_is_refused() -> None:
    with pytest.raises(ValueError, match="loses nothing"):
        relative_corruption_error(OURS, 0.1, REFERENCE, 0.7)
