"""Training a decoder on a task's contexts: to its optimum by validation, and no further."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from raystudy.adapt.contexts import log_probabilities
from raystudy.adapt.fine_tune_decoder import FineTuneDecoder
from raystudy.backbone import build_backbone
from raystudy.decoder import Decoder
from raystudy.kinds import Adapted, Encoder, Examples
from raystudy.metrics.token_loss import TokenLoss

SPEC = Decoder(num_layers=1, width=16, num_heads=2, context=12, vocabulary=12)
FAST = FineTuneDecoder(learning_rates=(1e-2,), look_growth=0.3, patience=3, max_steps=1000)
MANY = 1000


class Untrained(Encoder):
    preprocessing = None  # type: ignore[assignment]

    @property
    def module(self) -> torch.nn.Module:
        return build_backbone(SPEC, 0).eval()

    def groups(self, taps):  # type: ignore[no-untyped-def]
        return {}

    def zero_shot(self, prompts):  # type: ignore[no-untyped-def]
        return None


@lru_cache
def chains(num: int, seed: int) -> Examples:
    """Contexts of a random walk: each token is the one before plus one, or anything."""
    rng = np.random.default_rng(seed)
    rows = np.empty((num, SPEC.context + 1), np.uint16)
    rows[:, 0] = rng.integers(0, 12, num)
    for t in range(1, SPEC.context + 1):
        jumps = rng.random(num) < 0.3
        rows[:, t] = np.where(jumps, rng.integers(0, 12, num), (rows[:, t - 1] + 1) % 12)
    return Examples([f"{seed}-{i}" for i in range(num)], rows, np.zeros(num, np.int64))


ENTROPY = -(0.725 * np.log(0.725) + 11 * 0.025 * np.log(0.025))
"""Of a token of the walk, in nats: no model has less loss."""


def adapted(spec: FineTuneDecoder, num: int) -> Adapted:
    torch.set_num_threads(1)
    return spec.adapt(chains(num, 0), chains(200, 1), Untrained(), [("text",)], 0)


def test_with_many_contexts_it_nears_the_entropy() -> None:
    found = adapted(FAST, MANY)
    loss = TokenLoss().compute(found.predict(chains(400, 2).array), np.zeros(400, np.int64))
    assert ENTROPY - 0.02 < loss < ENTROPY + 0.1
    assert found.chosen["stopped"] == "early"


def test_it_stops_early_where_contexts_are_few_and_the_best_look_is_kept() -> None:
    few, more = adapted(FAST, 10), adapted(FAST, MANY)
    assert float(few.chosen["step"]) < 0.5 * float(more.chosen["step"])
    validation = chains(200, 1)
    loss = -float(few.predict(validation.array).mean())
    assert few.chosen["validation_losses"] == f"0.01:{loss:.4g}"
    # It would have gone on to learn its ten contexts by heart.
    longer = adapted(FAST.model_copy(update={"patience": 7}), 10)
    assert longer.chosen["step"] == few.chosen["step"]
    assert longer.cost["flops"] > 2 * few.cost["flops"]


def test_a_cap_that_is_reached_is_said() -> None:
    found = adapted(FAST.model_copy(update={"max_steps": 30}), MANY)
    assert found.chosen["stopped"] == "at max_steps"
    assert found.chosen["step"] == 30


def test_the_learning_rate_of_least_validation_loss_is_kept() -> None:
    rates = (1e-4, 1e-2)
    both = adapted(FAST.model_copy(update={"learning_rates": rates, "max_steps": 60}), 300)
    each = [float(s.partition(":")[2]) for s in str(both.chosen["validation_losses"]).split()]
    assert both.chosen["learning_rate"] == rates[int(np.argmin(each))]
    assert both.num_tried == len(FAST.model_copy(update={"learning_rates": rates}).configurations())


def test_looks_grow_by_a_constant_factor_up_to_the_cap() -> None:
    looks = list(FineTuneDecoder(first_look=5, look_growth=0.2, max_steps=1000).looks())
    assert looks[0] == 5
    assert looks[-1] == 1000
    steps = [b - a for a, b in pairwise(looks)][:-1]
    assert all(s == max(5, int(at * 0.2)) for s, at in zip(steps, looks, strict=False))


def test_predictions_are_mean_log_probabilities() -> None:
    model = Untrained().module
    rows = chains(300, 5).array
    tokens = torch.from_numpy(rows.astype(np.int64))
    expected = [-float(cross_entropy(model(row[None, :-1])[0], row[1:]).detach()) for row in tokens]
    np.testing.assert_allclose(log_probabilities(model, rows), expected, rtol=1e-5)
    (prediction,) = {adapted(FAST.model_copy(update={"max_steps": 10}), 20).predict(rows).shape}
    assert prediction == (300, 1)


def test_operations_are_counted_for_all_rates() -> None:
    spec = FAST.model_copy(update={"max_steps": 20, "learning_rates": (1e-3, 1e-2)})
    found = adapted(spec, 100)
    samples = 2 * 20 * spec.batch_size
    assert SPEC.guessed_flops
    assert found.cost["flops"] == pytest.approx(samples * SPEC.guessed_flops)


def test_contexts_of_another_decoder_are_refused() -> None:
    unknown = Examples(["a"], np.full((1, 13), 12, np.uint16), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="token 12 is outside the decoder's vocabulary of 12"):
        FAST.adapt(unknown, chains(10, 0), Untrained(), [("text",)], 0)
    long = Examples(["a"], np.zeros((1, 20), np.uint16), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="contexts of 19 tokens for a decoder of 12"):
        FAST.adapt(long, chains(10, 0), Untrained(), [("text",)], 0)


def test_the_same_again_is_the_same() -> None:
    rows = chains(50, 3).array
    one, two = (adapted(FAST.model_copy(update={"max_steps": 50}), 40) for _ in range(2))
    assert np.array_equal(one.predict(rows), two.predict(rows))
