import pytest

from raystudy.spending import look_coverage, spent


@pytest.mark.parametrize(
    ("share", "alpha", "expected"),
    # Lan and DeMets 1983 with O'Brien and Fleming's boundary, two-sided.
    [(0.25, 0.05, 0.00009), (0.5, 0.05, 0.00557), (0.75, 0.05, 0.02363), (1.0, 0.05, 0.05)],
)
def test_published_values(share, alpha, expected):
    assert spent(share, alpha) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("planned", [2, 3, 5, 20])
def test_all_looks_together_spend_what_one_may(planned):
    looks = [1 - look_coverage(seeds, planned) for seeds in range(2, planned + 1)]
    assert sum(looks) == pytest.approx(0.05)
    assert min(looks) > 0


def test_one_seed_decides_nothing():
    assert look_coverage(1, 5) == 1.0
    with pytest.raises(ValueError, match="share of seeds"):
        spent(0)
