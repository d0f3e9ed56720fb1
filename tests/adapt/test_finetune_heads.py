"""Where fine-tuning begins, and the line between there and where it ends."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.heads import begin
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.training import tune
from raystudy.adapt.wise_ft import WiseFt
from raystudy.classifier import Cosine
from raystudy.kinds import Examples
from raystudy.stages.extract import StoredEncoder

from .finetuning import (
    PROMPTS,
    SEEN,
    Flat,
    logits_of,
)


def test_lp_ft_without_a_step_is_the_probe(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    lp_ft = FineTune(head="probe", num_steps=0)
    tuned = lp_ft.adapt(train, validation, encoder, PROMPTS, 0)

    def seen(examples: Examples) -> Examples:
        features = logits_of(encoder.frozen, examples.array)
        return Examples(examples.ids, features.numpy(), examples.labels)

    probe = LinearProbe().adapt(seen(train), seen(validation), encoder, PROMPTS, 0)
    assert tuned
    assert probe
    expected = probe.predict(seen(validation).array)
    np.testing.assert_allclose(tuned.predict(validation.array), expected, rtol=1e-4, atol=1e-4)
    assert tuned.chosen["C"] == probe.chosen["C"]
    assert tuned.num_tried == 1 + probe.num_tried
    assert lp_ft.name == "lp-ft"


def test_the_probe_that_heads_come_from_is_of_a_known_version() -> None:
    assert LinearProbe.VERSION == 2, (
        "heads of FineTune and WiseFt come from LinearProbe, whose version does not enter their "
        "keys: if it gives other weights now, bump the VERSION of both, then update this line"
    )


def test_wise_ft_ends_at_both_models(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    finetune = FineTune(head="probe", num_steps=10, learning_rates=(1e-2,))
    start = finetune.model_copy(update={"num_steps": 0})
    ends = {0.0: start, 1.0: finetune}
    for alpha, same in ends.items():
        wise = WiseFt(finetune=finetune, alphas=(alpha,))
        mixture = wise.adapt(train, validation, encoder, PROMPTS, 0)
        expected = same.adapt(train, validation, encoder, PROMPTS, 0)
        assert mixture
        assert expected
        logits = expected.predict(validation.array)
        assert np.array_equal(mixture.predict(validation.array), logits)
        assert mixture.chosen["alpha"] == alpha
    assert WiseFt().name == "wise-ft"


def test_wise_ft_keeps_the_best_point_of_the_line(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    """The line drawn by hand from the state dicts of its ends."""
    finetune = FineTune(head="probe", num_steps=10, learning_rates=(1e-2,))
    start = begin("probe", train, validation, encoder, PROMPTS, 0)
    assert start
    end = tune(finetune, start.model, train, validation, SEEN, 0).model
    a, b = start.model.state_dict(), end.state_dict()
    alphas, losses = (0.0, 0.25, 0.5, 0.75, 1.0), []
    for alpha in alphas:
        mixture = encoder.module
        mixture = nn.Sequential(mixture, nn.Linear(16, 10))
        mixture.load_state_dict({k: (1 - alpha) * a[k] + alpha * b[k] for k in a})
        logits = logits_of(mixture, validation.array)
        losses.append(float(cross_entropy(logits, torch.from_numpy(validation.labels))))
    wise = WiseFt(finetune=finetune, alphas=alphas).adapt(train, validation, encoder, PROMPTS, 0)
    assert wise
    assert wise.chosen["alpha"] == alphas[int(np.argmin(losses))]
    logits = torch.from_numpy(wise.predict(validation.array))
    loss = float(cross_entropy(logits, torch.from_numpy(validation.labels)))
    assert loss == pytest.approx(min(losses), abs=1e-5)
    assert wise.num_tried == 1 + 4 + len(alphas)


WEIGHTS_6x10 = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 10))).float()
BETWEEN_6x6 = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 6))).float()


def linear(weights: Tensor, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(len(weights), weights.shape[1])
    with torch.no_grad():
        layer.weight.copy_(weights.T)
        layer.bias.fill_(bias)
    return layer


def cosine(x: Tensor) -> Tensor:
    return 14.0 * normalize(x, dim=-1) @ WEIGHTS_6x10 - 10


class TestHeadsByName:
    @pytest.mark.parametrize("kind", ["linear", "cosine", "projected"])
    def test_it_begins_where_zero_shot_ends(
        self, kind: str, train: Examples, validation: Examples
    ) -> None:
        clip = Cosine(WEIGHTS_6x10.T, torch.tensor(14.0), -10.0)
        classifier, classify = {
            "linear": (linear(WEIGHTS_6x10, 2.0), lambda x: x @ WEIGHTS_6x10 + 2),
            "cosine": (clip, cosine),
            "projected": (
                nn.Sequential(linear(BETWEEN_6x6), clip),
                lambda x: cosine(x @ BETWEEN_6x6),
            ),
        }[kind]
        encoder = Flat(classifier)
        spec = FineTune(head="zero-shot", num_steps=0)
        tuned = spec.adapt(train, validation, encoder, PROMPTS, 0)
        assert tuned
        expected = classify(encoder.features(validation.array))
        logits = torch.from_numpy(tuned.predict(validation.array))
        assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4)
        moved = spec.model_copy(update={"num_steps": 20, "learning_rates": (1e-2,)}).adapt(
            train, validation, encoder, PROMPTS, 0
        )
        assert moved
        assert moved.chosen["head"] == "zero-shot"
        found = torch.from_numpy(moved.predict(train.array))
        labels = torch.from_numpy(train.labels)
        before = classify(encoder.features(train.array))
        assert cross_entropy(found, labels) < 0.9 * cross_entropy(before, labels)

    def test_a_backbone_without_names_is_left_out_or_probed(
        self, train: Examples, validation: Examples
    ) -> None:
        encoder = Flat(None)
        named = FineTune(head="zero-shot", num_steps=2)
        assert named.adapt(train, validation, encoder, PROMPTS, 0) is None
        wise = WiseFt(finetune=named)
        assert wise.adapt(train, validation, encoder, PROMPTS, 0) is None
        either = named.model_copy(update={"head": "zero-shot-or-probe"})
        tuned = either.adapt(train, validation, encoder, PROMPTS, 0)
        assert tuned
        assert tuned.chosen["head"] == "probe"

    def test_the_classifier_that_it_begins_with_stays_as_it_is(
        self, train: Examples, validation: Examples
    ) -> None:
        classifier = linear(WEIGHTS_6x10)
        before = copy.deepcopy(classifier.state_dict())
        FineTune(head="zero-shot", num_steps=5, learning_rates=(1e-1,)).adapt(
            train, validation, Flat(classifier), PROMPTS, 0
        )
        assert all(torch.equal(before[k], v) for k, v in classifier.state_dict().items())
