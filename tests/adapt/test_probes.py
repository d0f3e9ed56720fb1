"""What holds for every probe that works on the features of the last layer."""

from dataclasses import replace

import numpy as np
import pytest

import raystudy.adapt.k_nearest
from raystudy.adapt.k_nearest import KNearest
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.adapt.ridge import Ridge
from raystudy.kinds import Examples, Probe, Support

from .problems import ENCODER, adapt, adapt_all, features, prompts, support

PROBES = [
    LinearProbe(strengths=(1e-3, 1e-1, 10.0)),
    Ridge(),
    NearestClassMean(),
    NearestClassMean(distance="cosine"),
    KNearest(neighbours=(1, 3, 5)),
]
CHOOSING = [p for p in PROBES if not isinstance(p, NearestClassMean)]

TRAIN, VALIDATION = features(120), features(40, seed=1)
SUPPORTS = [
    # Of several shapes, with fewer and with more rows than features, two of them alike, one with a
    # class that has no example, and one with two classes.
    support(range(4), range(40)),
    support(range(8), range(40), 1),
    support(range(8, 16), range(10), 2),
    support(range(100), range(40), 3),
    support(range(100), range(8), 4),
    support([0, 1, 2, 4, 5, 6], range(40), 5),
    support([0, 1, 4, 5], range(40), 6),
]
TEST = features(50, seed=2).array


def name(probe: Probe) -> str:
    return probe.name


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_together_is_one_by_one(probe: Probe) -> None:
    together = adapt_all(probe, TRAIN, VALIDATION, SUPPORTS)
    for s, adapted in zip(SUPPORTS, together, strict=True):
        alone = adapt(probe, TRAIN.take(s.train), VALIDATION.take(s.validation))
        assert adapted.chosen == alone.chosen
        assert adapted.cost == alone.cost
        np.testing.assert_allclose(adapted.predict(TEST), alone.predict(TEST), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_nothing_outside_a_support_is_read(probe: Probe) -> None:
    def only(examples: Examples, rows: np.ndarray) -> Examples:
        poisoned = np.full_like(examples.array, np.nan)
        poisoned[rows] = examples.array[rows]
        labels = np.full_like(examples.labels, 3)
        labels[rows] = examples.labels[rows]
        return replace(examples, inputs=poisoned, labels=labels)

    for s in SUPPORTS:
        (clean,) = adapt_all(probe, TRAIN, VALIDATION, [s])
        poisoned = only(TRAIN, s.train), only(VALIDATION, s.validation)
        (spared,) = adapt_all(probe, *poisoned, [s])
        assert clean.chosen == spared.chosen
        np.testing.assert_array_equal(clean.predict(TEST), spared.predict(TEST))


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_the_order_of_rows_does_not_matter(probe: Probe) -> None:
    s = SUPPORTS[3]
    shuffled = np.random.default_rng(0).permutation(s.train)
    first, second = adapt_all(
        probe, TRAIN, VALIDATION, [s, Support(shuffled, s.validation[::-1], s.seed)]
    )
    assert first.chosen == second.chosen
    np.testing.assert_allclose(first.predict(TEST), second.predict(TEST), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_classes_in_another_order_give_their_logits_in_that_order(probe: Probe) -> None:
    place = np.array([2, 0, 3, 1])  # of each class in the other order
    train, validation = (replace(e, labels=place[e.labels]) for e in (TRAIN, VALIDATION))
    straight, shuffled = adapt(probe, TRAIN, VALIDATION), adapt(probe, train, validation)
    assert straight.chosen == shuffled.chosen
    np.testing.assert_allclose(
        straight.predict(TEST), shuffled.predict(TEST)[:, place], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_a_class_without_an_example_is_never_predicted(probe: Probe) -> None:
    for s, absent in ((SUPPORTS[5], [3]), (SUPPORTS[6], [2, 3])):
        (adapted,) = adapt_all(probe, TRAIN, VALIDATION, [s])
        logits = adapted.predict(TEST)
        present = np.setdiff1d(np.arange(4), absent)
        assert (logits[:, absent] <= -1e4).all()
        assert (logits[:, absent].max(1) < logits[:, present].min(1) - 5e3).all()


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_a_single_class_is_always_predicted(probe: Probe) -> None:
    (adapted,) = adapt_all(probe, TRAIN, VALIDATION, [support([2, 6, 10], range(40))])
    assert (adapted.predict(TEST).argmax(1) == 2).all()


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_constant_features_and_repeated_rows_do_no_harm(probe: Probe) -> None:
    flat = TRAIN.array.copy()
    flat[:, :3] = (0.0, 5.0, -1e6)
    rows = np.repeat(np.arange(8), 3)
    train = replace(TRAIN, inputs=flat)
    (adapted,) = adapt_all(probe, train, VALIDATION, [support(rows, range(40))])
    assert np.isfinite(adapted.predict(flat)).all()
    alike = adapt(probe, replace(TRAIN, inputs=np.ones_like(flat)), VALIDATION)
    assert np.isfinite(alike.predict(TEST)).all()


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_logits_are_single_precision_of_every_class(probe: Probe) -> None:
    adapted = adapt(probe, TRAIN, VALIDATION)
    logits = adapted.predict(TEST)
    assert logits.dtype == np.float32
    assert logits.shape == (50, 4)
    assert adapted.predict(TEST[:0]).shape == (0, 4)
    np.testing.assert_allclose(adapted.predict(TEST[:7]), logits[:7], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_a_support_without_training_examples_is_refused(probe: Probe) -> None:
    with pytest.raises(ValueError, match="no training example"):
        adapt_all(probe, TRAIN, VALIDATION, [support([], range(40))])


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_no_supports_give_nothing(probe: Probe) -> None:
    assert list(probe.adapt_all(TRAIN, VALIDATION, [], ENCODER, prompts(4))) == []


@pytest.mark.parametrize("probe", CHOOSING, ids=name)
def test_a_choice_needs_validation_examples(probe: Probe) -> None:
    with pytest.raises(ValueError, match="no validation example, and a probe chooses"):
        adapt_all(probe, TRAIN, VALIDATION, [support(range(40), [])])
    of_class_3 = [3, 7, 11]
    with pytest.raises(ValueError, match="is of a class that has a training example"):
        adapt_all(probe, TRAIN, VALIDATION, [support([0, 1, 2], of_class_3)])


def test_a_class_mean_needs_none() -> None:
    (adapted,) = adapt_all(NearestClassMean(), TRAIN, VALIDATION, [support(range(40), [])])
    assert adapted.num_tried == 1


@pytest.mark.parametrize("probe", CHOOSING, ids=name)
def test_validation_labels_change_the_choice_alone(probe: Probe) -> None:
    """Whatever the labels say, what comes out is what one of the options gives by itself."""
    field = {"linear-probe": "strengths", "ridge": "penalties", "k-nearest": "neighbours"}[
        probe.name
    ]
    options = getattr(probe, field)
    by_itself = {
        option: adapt(probe.model_copy(update={field: (option,)}), TRAIN, VALIDATION).predict(TEST)
        for option in options
    }
    seen = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        labels = VALIDATION.labels if seed == 0 else rng.permutation(VALIDATION.labels)
        adapted = adapt(probe, TRAIN, replace(VALIDATION, labels=labels))
        (chosen,) = adapted.chosen.values()
        np.testing.assert_allclose(adapted.predict(TEST), by_itself[chosen], rtol=1e-6, atol=1e-6)
        assert adapted.num_tried == len(options)
        seen.add(chosen)
    assert len(seen) > 1


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_a_diverged_backbone_is_called_so(probe: Probe) -> None:
    broken = TRAIN.array.copy()
    broken[3, 5] = np.nan
    with pytest.raises(ValueError, match="1 of 12 features are not finite"):
        adapt(probe, replace(TRAIN, inputs=broken), VALIDATION)


def test_neighbours_are_the_same_for_any_number_of_rows_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = adapt(KNearest(), TRAIN, VALIDATION).predict(TEST)
    monkeypatch.setattr(raystudy.adapt.k_nearest, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(adapt(KNearest(), TRAIN, VALIDATION).predict(TEST), whole, rtol=1e-6)


@pytest.mark.parametrize("probe", PROBES, ids=name)
def test_cost_grows_with_the_examples(probe: Probe) -> None:
    few, many = adapt_all(probe, TRAIN, VALIDATION, [SUPPORTS[1], SUPPORTS[3]])
    assert 0 < few.cost["flops"] < many.cost["flops"]
    weights = 4 * 4 * 12  # bytes × classes × features
    expected = {"k-nearest": 12 * 8 * 4 + 8 * 8}.get(
        probe.name, weights if "mean" in probe.name else weights + 4 * 4
    )
    assert few.cost["stored_bytes"] == expected
