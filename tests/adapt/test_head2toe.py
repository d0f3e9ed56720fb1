"""Head2Toe: what is kept, what is never seen, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from raystudy.adapt.adam_head import train_head
from raystudy.adapt.head2toe import Head2Toe
from raystudy.adapt.head2toe_cost import (
    finetuning_bytes,
    finetuning_flops,
    head2toe_bytes,
    head2toe_flops,
)
from raystudy.adapt.selected_head import Choice, Head, ranked
from raystudy.adapt.unit_groups import group_of, unit_groups
from raystudy.kinds import Adapted, Examples, Support

WIDTHS = {"first": 30, "second": 50, "third": 20}
PROMPTS = [("a",), ("b",), ("c",)]
INFORMATIVE = (3, 37, 85)
"""Columns that tell classes apart, one in each layer."""


@dataclass
class Layers:
    """What Head2Toe asks of an encoder."""

    widths: Mapping[str, int]

    def groups(self, taps: int) -> Mapping[str, int]:
        assert taps == 512
        return self.widths


def examples(num: int, seed: int, signal: float = 2.0, first: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    x = np.abs(rng.normal(size=(num, 100)))
    for column, label in zip(INFORMATIVE, range(3), strict=True):
        x[:, column] += signal * (labels == label)
    ids = [f"{seed}-{first + i}" for i in range(num)]
    return Examples(ids, x.astype(np.float32), labels.astype(np.int64))


def adapt(
    spec: Head2Toe,
    train: Examples,
    validation: Examples,
    seed: int = 0,
    prompts: list[tuple[str]] = PROMPTS,
) -> Adapted:
    encoder: Any = Layers(WIDTHS)
    adapted = spec.adapt(train, validation, encoder, prompts, seed)
    assert adapted is not None
    return adapted


def head_of(adapted: Adapted) -> Head:
    head = adapted.predict.__self__  # pyright: ignore[reportFunctionMemberAccess]
    assert isinstance(head, Head)
    return head


def one(**fields: object) -> Head2Toe:
    """With one head to fit."""
    single = {"keep": (0.05,), "strengths": (0.01,), "head_strengths": (1.0,)}
    return Head2Toe(**single | {"learning_rates": (0.1,), "num_steps": 60} | fields)  # pyright: ignore


@pytest.fixture(params=["exact", "adam"])
def solver(request: pytest.FixtureRequest) -> str:
    return request.param


# ── Normalisation and selection ──────────────────────────────────────────────────────────────────


def test_every_group_has_length_one() -> None:
    x = np.random.default_rng(0).normal(size=(7, 100)).astype(np.float32)
    x *= np.float32(10.0) ** np.arange(-27, 30, 8)[:7, None]  # squares would under- and overflow
    x[2, 30:80] = 0
    x[4] = 0
    unit = unit_groups(x, group_of(WIDTHS.values()))
    norms = np.array([np.linalg.norm(p, axis=1) for p in np.split(unit, [30, 80], axis=1)]).T
    expected = np.ones((7, 3))
    expected[2, 1] = expected[4] = 0
    np.testing.assert_allclose(norms, expected, rtol=1e-6)
    np.testing.assert_allclose((unit**2).sum(1), expected.sum(1), rtol=1e-6)
    np.testing.assert_allclose(unit[0, :30] / unit[0, 0], x[0, :30] / x[0, 0], rtol=1e-5)


def test_what_is_kept_is_normalised_again() -> None:
    """A layer of which one feature is kept gives its sign."""
    x = np.random.default_rng(0).normal(size=(5, 100)).astype(np.float32)
    x[1, 40] = 0
    kept = np.array([1, 2, 40])
    head = Head(kept, group_of(WIDTHS.values())[kept], np.eye(3), np.zeros(3), np.arange(3), 3)
    logits = head.logits(x)
    np.testing.assert_allclose(logits[:, 2], np.sign(x[:, 40]))
    np.testing.assert_allclose(logits[:, 0], x[:, 1] / np.hypot(x[:, 1], x[:, 2]), rtol=1e-5)


@pytest.mark.parametrize("keep", [0.001, 0.01, 0.29, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("num", [1, 7, 100, 2048])
def test_as_many_are_kept_as_asked_for(keep: float, num: int) -> None:
    scores = np.random.default_rng(0).permutation(num).astype(float)
    kept = ranked(scores, keep)
    assert len(kept) == max(1, int(num * keep))
    assert scores[kept].min() >= np.delete(scores, kept).max(initial=-1)
    assert (np.diff(kept) > 0).all()


def test_of_equal_scores_the_first_are_kept() -> None:
    assert ranked(np.array([1.0, 0, 2, 0, 0, 1, 2, 0]), 0.625).tolist() == [0, 1, 2, 5, 6]
    assert ranked(np.zeros(10), 0.3).tolist() == [0, 1, 2]


def test_the_best_of_all_layers_together_are_kept(solver: str) -> None:
    three = adapt(one(solver=solver, keep=(0.03,)), examples(90, 0), examples(30, 1))
    assert head_of(three).kept_K.tolist() == list(INFORMATIVE)
    # One of a layer has no length to tell, only a sign: some company is needed to learn from it.
    adapted = adapt(one(solver=solver, keep=(0.2,)), examples(90, 0), examples(30, 1))
    assert set(INFORMATIVE) <= set(head_of(adapted).kept_K.tolist())
    held_out = examples(300, 2)
    assert (adapted.predict(held_out.array).argmax(1) == held_out.labels).mean() > 0.7


@pytest.mark.parametrize("strength", [1e-2, 1e3])
def test_features_of_weight_zero_are_ranked_by_their_gradient(strength: float) -> None:
    """However strong the penalty, and however few weights it leaves."""
    adapted = adapt(one(strengths=(strength,), keep=(0.6,)), examples(90, 0), examples(30, 1))
    kept = head_of(adapted).kept_K
    assert len(kept) == 60
    assert set(INFORMATIVE) <= set(kept.tolist())
    assert adapted.chosen["strength"] == strength


# ── Everything kept is "+All" ────────────────────────────────────────────────────────────────────


def test_with_all_kept_it_is_logistic_regression_on_all_layers() -> None:
    train, held_out = examples(60, 0), examples(40, 1)
    adapted = adapt(one(keep=(1.0,)), train, held_out)
    groups = group_of(WIDTHS.values())
    primal = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)
    primal.fit(unit_groups(train.array.astype(np.float64), groups), train.labels)
    expected = primal.predict_log_proba(unit_groups(held_out.array.astype(np.float64), groups))
    logits = adapted.predict(held_out.array).astype(np.float64)
    found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_with_all_kept_adam_trains_a_head_on_all_layers() -> None:
    train, held_out = examples(60, 0), examples(40, 1)
    adapted = adapt(one(keep=(1.0,), solver="adam"), train, held_out, seed=5)
    groups = group_of(WIDTHS.values())
    weights, bias = train_head(
        unit_groups(train.array, groups), train.labels, 3, learning_rate=0.1, num_steps=60, seed=5
    )
    expected = unit_groups(held_out.array, groups) @ weights + bias
    np.testing.assert_allclose(adapted.predict(held_out.array), expected, atol=1e-5)


def test_without_selection_the_strength_makes_no_difference() -> None:
    spec = Head2Toe(keep=(0.1, 1.0), strengths=(1e-2, 1e-3), head_strengths=(1.0, 10.0))
    expected = [(s, 0.1, c) for s in (1e-2, 1e-3) for c in (1.0, 10.0)]
    expected += [(0.0, 1.0, 1.0), (0.0, 1.0, 10.0)]
    assert sorted(spec.choices()) == sorted(Choice(*e) for e in expected)


# ── Choosing ─────────────────────────────────────────────────────────────────────────────────────


def test_validation_examples_choose_and_nothing_else_does(solver: str) -> None:
    """The head is among those that one choice alone gives, and the best of them on validation."""
    spec = one(solver=solver, keep=(0.01, 0.05, 1.0), head_strengths=(0.1, 10.0))
    train, validation = examples(60, 0, signal=1.0), examples(60, 1, signal=1.0)
    adapted = adapt(spec, train, validation)
    assert adapted.num_tried == len(spec.choices())
    losses = {}
    for choice in spec.choices():
        narrow = spec.model_copy(
            update={
                "keep": (choice.keep,),
                "head_strengths" if solver == "exact" else "learning_rates": (choice.rate,),
            }
        )
        logits = adapt(narrow, train, validation).predict(validation.array).astype(np.float64)
        of_label = logits[np.arange(60), validation.labels]
        loss = (np.log(np.exp(logits).sum(1)) - of_label).mean()
        error = (logits.argmax(1) != validation.labels).mean()
        losses[choice] = (loss, error) if solver == "exact" else (error, loss)
    best = min(losses, key=lambda c: losses[c])
    assert adapted.chosen["keep"] == best.keep
    assert adapted.chosen["C" if solver == "exact" else "learning_rate"] == best.rate


def test_other_rows_of_the_splits_are_not_seen(solver: str) -> None:
    train, validation = examples(60, 0), examples(60, 1)
    rows = np.arange(30)
    support = Support(rows, rows[:15], seed=0)
    spoiled = []
    for split, until in ((train, 30), (validation, 15)):
        x, labels = split.array.copy(), split.labels.copy()
        x[until:], labels[until:] = np.nan, 2 - labels[until:]
        spoiled.append(Examples(split.ids, x, labels))
    spec = one(solver=solver, keep=(0.05, 1.0))
    encoder: Any = Layers(WIDTHS)
    clean = spec.adapt_all(train, validation, [support], encoder, PROMPTS)[0]
    other = spec.adapt_all(spoiled[0], spoiled[1], [support], encoder, PROMPTS)[0]
    assert np.array_equal(clean.predict(train.array), other.predict(train.array))


def test_supports_are_solved_each_by_itself(solver: str) -> None:
    train, validation = examples(60, 0), examples(30, 1)
    supports = [
        Support(np.arange(first, last), np.arange(30), seed)
        for first, last, seed in ((0, 30, 0), (15, 60, 1), (0, 30, 0))
    ]
    spec = one(solver=solver, keep=(0.05, 1.0))
    encoder: Any = Layers(WIDTHS)
    together = spec.adapt_all(train, validation, supports, encoder, PROMPTS)
    for support, found in zip(supports, together, strict=True):
        alone = spec.adapt_all(train, validation, [support], encoder, PROMPTS)[0]
        assert np.array_equal(alone.predict(validation.array), found.predict(validation.array))
        assert alone.chosen == found.chosen
    assert np.array_equal(
        together[0].predict(validation.array), together[2].predict(validation.array)
    )


def test_the_seed_is_all_the_chance_there_is() -> None:
    train, validation = examples(60, 0), examples(30, 1)
    spec = one(solver="adam")
    first, again, other = (adapt(spec, train, validation, seed=s) for s in (0, 0, 1))
    assert np.array_equal(head_of(first).kept_K, head_of(again).kept_K)
    assert np.array_equal(first.predict(validation.array), again.predict(validation.array))
    assert not np.allclose(first.predict(validation.array), other.predict(validation.array))


@pytest.mark.parametrize("folds", [2, 5])
def test_a_fold_is_not_seen_by_what_it_judges(folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that nothing predicts: features chosen with a fold's labels would predict them there,
    and by a wide margin."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(60, 100))).astype(np.float32)
    labels = np.arange(60) % 3
    noise = Examples([f"n{i}" for i in range(60)], x, labels)
    losses: list[float] = []
    score = Head2Toe._score

    def noted(self: Head2Toe, *args: Any) -> tuple[float, float]:
        losses.append(score(self, *args)[0])
        return score(self, *args)

    monkeypatch.setattr(Head2Toe, "_score", noted)
    spec = one(cross_validation=folds, keep=(0.05, 0.1), head_strengths=(10.0,))
    nothing = noise.take(np.zeros(0, np.int64))
    adapted = adapt(spec, noise, nothing)
    assert len(losses) == 2 * folds
    assert np.mean(losses) > np.log(3)
    logits = adapted.predict(x).astype(np.float64)  # the same examples, once they have been seen
    seen = (np.log(np.exp(logits).sum(1)) - logits[np.arange(60), labels]).mean()
    assert seen < 0.9 * np.log(3)


def test_folds_leave_validation_alone(solver: str) -> None:
    spec = one(solver=solver, cross_validation=3, keep=(0.05, 1.0))
    train = examples(45, 0)
    spoiled = Examples(["x"], np.full((1, 100), np.nan, np.float32), np.zeros(1, np.int64))
    with_some, without = adapt(spec, train, spoiled), adapt(spec, train, spoiled.take(np.arange(0)))
    assert with_some.chosen == without.chosen
    assert np.array_equal(with_some.predict(train.array), without.predict(train.array))
    assert with_some.num_tried == 2


def test_folds_depend_on_ids_and_not_on_their_order() -> None:
    spec = one(cross_validation=3, keep=(0.05, 0.2, 1.0), head_strengths=(0.1, 1.0, 10.0))
    train = examples(45, 0, signal=0.5)
    none = train.take(np.arange(0))
    order = np.random.default_rng(0).permutation(45)
    assert adapt(spec, train, none).chosen == adapt(spec, train.take(order), none).chosen


# ── Odd problems ─────────────────────────────────────────────────────────────────────────────────


def test_a_class_without_an_example_is_never_predicted(solver: str) -> None:
    train = examples(60, 0)
    two = train.take(np.flatnonzero(train.labels != 1))
    logits = adapt(one(solver=solver, keep=(0.05, 1.0)), two, examples(30, 1)).predict(train.array)
    assert logits.shape == (60, 3)
    assert logits.dtype == np.float32
    assert (logits[:, 1] <= -1e4).all()
    assert set(logits.argmax(1).tolist()) == {0, 2}


@pytest.mark.parametrize("num", [1, 3])
def test_one_example_of_each_class_does(num: int, solver: str) -> None:
    adapted = adapt(one(solver=solver, keep=(0.05, 1.0)), examples(num, 0), examples(9, 1))
    assert np.isfinite(adapted.predict(examples(9, 1).array)).all()


def test_nothing_to_choose_by_is_an_error() -> None:
    train = examples(30, 0)
    with pytest.raises(ValueError, match="no validation example: ask for cross_validation=5"):
        adapt(one(keep=(0.05, 1.0)), train, train.take(np.arange(0)))
    adapt(one(), train, train.take(np.arange(0)))  # nothing is to be chosen


def test_folds_need_two_of_each_class() -> None:
    with pytest.raises(ValueError, match="a class has only one: choose by validation examples"):
        adapt(one(cross_validation=5, keep=(0.05, 1.0)), examples(4, 0), examples(3, 1))


def test_features_of_other_taps_are_an_error() -> None:
    train = examples(30, 0)
    narrow = Examples(train.ids, train.array[:, :99], train.labels)
    with pytest.raises(ValueError, match=r"given 99 features .* give 100 at taps_size=512"):
        adapt(one(), narrow, narrow)


def test_features_that_are_not_finite_are_an_error() -> None:
    train = examples(30, 0)
    train.array[3, 7] = np.nan
    with pytest.raises(ValueError, match="1 of 100 features are not finite"):
        adapt(one(), train, examples(30, 1))


def test_it_reads_the_taps_it_asks_for() -> None:
    assert Head2Toe(taps_size=64).taps == 64
    assert Head2Toe().taps == 512


# ── Cost ─────────────────────────────────────────────────────────────────────────────────────────


def test_adams_cost_is_the_papers() -> None:
    spec = one(solver="adam", keep=(0.05, 0.2), strengths=(1e-2, 1e-3))
    adapted = adapt(spec, examples(60, 0), examples(30, 1))
    heads = 2 * 6 * 128 * 60 * 3 * (100 + 5 + 20)  # each λ is scored once for both shares
    assert adapted.cost["flops"] == heads
    kept = 100 * float(adapted.chosen["keep"])
    assert adapted.cost["stored_bytes"] == (32 * 3 * (kept + 1) + 100) / 8


def test_the_exact_cost_counts_every_head_tried() -> None:
    train, validation = examples(60, 0), examples(30, 1)
    single = adapt(one(), train, validation).cost["flops"]
    several = adapt(one(keep=(0.05, 0.2, 1.0)), train, validation).cost["flops"]
    assert 0 < single < several
    assert several > single + 2 * 60 * 100 * 60  # at the least the Gram matrix of all features


def test_the_paper_saves_what_it_says_on_caltech() -> None:
    """ResNet-50 at 240 pixels, 8192 features a layer, one in a hundred kept, 5000 steps: "101×
    fewer FLOPs, 56× less storage"."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        backbone = timm.create_model("resnet50", num_classes=102).eval()
        image = torch.empty(1, 3, 240, 240)
    with FlopCounterMode(display=False) as counter:
        backbone(image)
    forward, P, D = (
        counter.get_total_flops(),
        sum(p.numel() for p in backbone.parameters()),
        405_224,
    )
    ours = head2toe_flops(forward, 1000, 5000, 102, D, int(0.01 * D))
    assert finetuning_flops(forward, 5000) / ours == pytest.approx(101, rel=0.02)
    stored = head2toe_bytes(102, D, int(0.01 * D))
    assert finetuning_bytes(P) / stored == pytest.approx(56, rel=0.02)
