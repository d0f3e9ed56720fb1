"""Fine-tuning against plain loops of torch and timm, and what it must leave alone."""

import logging
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import raystudy.adapt.training as training
from raystudy.adapt.finetune import FineTune
from raystudy.adapt.recipes import CLIP_FINE_TUNE, CLIP_WISE_FT, SIMCLR_LP_FT
from raystudy.kinds import Examples
from raystudy.randomness import generator, number
from raystudy.spec import Augmentation
from raystudy.stages.extract import StoredEncoder
from raystudy.views import training_view

from .finetuning import (
    PROMPTS,
    SEEN,
    SHRUNK,
    Flat,
    logits_of,
)

TURNED = Augmentation(rotation_degrees=10)
EVERYTHING = FineTune(
    num_steps=4,
    augmentation=Augmentation(random_crop=(0.3, 1.0), flip=True, rotation_degrees=5),
    rand_augment="m9-mstd0.5-inc1",
    erase_rate=0.5,
    label_smoothing=0.1,
    layer_decay=0.7,
    clip_norm=1.0,
    schedule="cosine",
    head="probe",
)


@pytest.fixture(scope="module")
def mislabelled(validation: Examples) -> Examples:
    """On which training does harm."""
    return Examples(validation.ids, validation.array, (validation.labels + 1) % 10)


def plain_rows(num_train: int, size: int, num_steps: int, seed: int) -> list[np.ndarray]:
    """One shuffled pass after the other, cut into steps."""
    order, steps = np.array([], int), []
    for step in range(num_steps):
        if len(order) < size:
            drawn = generator(seed, "fine-tune/order", step).permutation(num_train)
            order = np.concatenate([order, drawn])
        steps.append(order[:size])
        order = order[size:]
    return steps


def plain_loop(
    encoder: StoredEncoder, train: Examples, spec: FineTune, seed: int, look: Callable[..., None]
) -> nn.Module:
    """What FineTune does by default, as one writes it by hand."""
    backbone = encoder.module
    model = nn.Sequential(backbone, nn.Linear(16, 10))
    for parameter in model[1].parameters():
        nn.init.zeros_(parameter)
    rate = spec.learning_rates[0]
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=spec.num_steps, pct_start=0.15, cycle_momentum=False
    )
    draws = torch.Generator().manual_seed(number(seed, "fine-tune/views"))
    rows_of = plain_rows(len(train), spec.batch_size, spec.num_steps, seed)
    for step, rows in enumerate(rows_of):
        model.train()
        images = torch.from_numpy(train.array[rows])
        x = training_view(images, SEEN, spec.augmentation, draws)
        cross_entropy(model(x), torch.from_numpy(train.labels[rows])).backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        look(step + 1, model)
    return model.eval()


def test_by_default_it_is_a_plain_loop_of_torch_bit_for_bit(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    spec = FineTune(num_steps=10, batch_size=16, augmentation=TURNED, learning_rates=(5e-3,))
    tuned = spec.adapt(train, validation, encoder, PROMPTS, 7)
    assert tuned
    model = plain_loop(encoder, train, spec, 7, lambda step, model: None)
    expected = logits_of(model, validation.array)
    assert np.array_equal(tuned.predict(validation.array), expected.numpy())
    assert expected.std() > 0.01


def test_every_option_is_what_timm_and_torch_make_of_it(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    """A timm model with its own classifier, timm's parameter groups, and the schedule by hand."""
    spec = FineTune(
        learning_rates=(5e-3,),
        num_steps=10,
        batch_size=16,
        weight_decay=0.3,
        schedule="cosine",
        warmup_fraction=0.3,
        layer_decay=0.5,
        clip_norm=0.1,
        decays_vectors=False,
        label_smoothing=0.2,
    )
    tuned = spec.adapt(train, validation, encoder, PROMPTS, 7)
    assert tuned
    model = timm.create_model("resnet18", num_classes=10, **SHRUNK)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model.load_state_dict(encoder.module.state_dict(), strict=False)
    nn.init.zeros_(model.get_parameter("fc.weight"))
    nn.init.zeros_(model.get_parameter("fc.bias"))
    groups: Any = param_groups_layer_decay(model, 0.3, layer_decay=0.5)
    optimiser = torch.optim.AdamW(groups)
    factors = [1 / 4, 2 / 4, 3 / 4] + [0.5 * (1 + math.cos(math.pi * i / 7)) for i in range(7)]
    draws = torch.Generator().manual_seed(number(7, "fine-tune/views"))
    rows_of = plain_rows(len(train), 16, 10, 7)
    for factor, rows in zip(factors, rows_of, strict=True):
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * group["lr_scale"] * factor
        x = training_view(torch.from_numpy(train.array[rows]), SEEN, Augmentation(), draws)
        labels = torch.from_numpy(train.labels[rows])
        cross_entropy(model(x), labels, label_smoothing=0.2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
        optimiser.zero_grad()
    expected = logits_of(model, validation.array)
    assert torch.allclose(torch.from_numpy(tuned.predict(validation.array)), expected, atol=1e-5)
    assert expected.std() > 0.01


def test_the_weights_of_the_best_look_are_kept(
    encoder: StoredEncoder, train: Examples, mislabelled: Examples
) -> None:
    spec = FineTune(num_steps=10, batch_size=16, learning_rates=(0.02,), evaluate_every=2)
    tuned = spec.adapt(train, mislabelled, encoder, PROMPTS, 7)
    assert tuned
    looks: dict[int, tuple[float, Tensor]] = {}

    def look(step: int, model: nn.Module) -> None:
        if step % 2 == 0:
            logits = logits_of(model, mislabelled.array)
            loss = cross_entropy(logits, torch.from_numpy(mislabelled.labels))
            looks[step] = float(loss), logits

    plain_loop(encoder, train, spec, 7, look)
    best = min(looks, key=lambda step: looks[step][0])
    assert best < 10, "the best look should not be the last one, or nothing is tested"
    assert tuned.chosen["step"] == best
    assert np.array_equal(tuned.predict(mislabelled.array), looks[best][1].numpy())
    assert tuned.chosen["validation_losses"] == f"0.02:{looks[best][0]:.4g}"
    last = spec.model_copy(update={"checkpoint": "last"})
    at_the_end = last.adapt(train, mislabelled, encoder, PROMPTS, 7)
    assert at_the_end
    assert (last.name, at_the_end.chosen["step"]) == ("fine-tune-last-step", 10)
    assert np.array_equal(at_the_end.predict(mislabelled.array), looks[10][1].numpy())


def test_it_stops_when_patience_ends_and_pays_for_no_more(
    encoder: StoredEncoder, train: Examples, mislabelled: Examples
) -> None:
    late = FineTune(num_steps=20, batch_size=16, learning_rates=(0.02,), evaluate_every=2)
    soon = late.model_copy(update={"patience": 1})
    whole = late.adapt(train, mislabelled, encoder, PROMPTS, 7)
    short = soon.adapt(train, mislabelled, encoder, PROMPTS, 7)
    assert whole
    assert short
    best = int(short.chosen["step"])
    assert short.cost["flops"] / whole.cost["flops"] == pytest.approx((best + 2) / 20)
    assert best < 18, "it should end before the last step, or nothing is tested"
    assert short.cost["stored_bytes"] == whole.cost["stored_bytes"]


def test_nothing_but_validation_examples_is_looked_at(
    encoder: StoredEncoder, train: Examples, validation: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    original = training.embed

    def spy(module: nn.Module, images: np.ndarray, *args: Any, **more: Any) -> Any:
        seen.append(images)
        return original(module, images, *args, **more)

    monkeypatch.setattr(training, "embed", spy)
    spec = FineTune(num_steps=6, evaluate_every=2, learning_rates=(1e-3, 1e-2))
    assert spec.adapt(train, validation, encoder, PROMPTS, 0)
    assert len(seen) == 6
    assert all(np.array_equal(images, validation.array) for images in seen)


@pytest.mark.slow
def test_the_rate_with_the_least_validation_loss_wins(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    rates = (1e-6, 3e-2, 1e-3)
    alone = {}
    for rate in rates:
        one = FineTune(num_steps=20, learning_rates=(rate,)).adapt(
            train, validation, encoder, PROMPTS, 0
        )
        assert one
        logits = torch.from_numpy(one.predict(validation.array))
        alone[rate] = float(cross_entropy(logits, torch.from_numpy(validation.labels)))
    all_rates = FineTune(num_steps=20, learning_rates=rates).adapt(
        train, validation, encoder, PROMPTS, 0
    )
    assert all_rates
    assert all_rates.chosen["learning_rate"] == min(alone, key=alone.__getitem__)
    assert all_rates.num_tried == 3
    written = " ".join(f"{rate:g}:{loss:.4g}" for rate, loss in alone.items())
    assert all_rates.chosen["validation_losses"] == written


def test_a_rate_that_diverges_is_left_out_and_said_so(
    encoder: StoredEncoder,
    train: Examples,
    validation: Examples,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = FineTune(num_steps=4, learning_rates=(1e30, 1e-3))
    with caplog.at_level(logging.WARNING, "raystudy"):
        tuned = spec.adapt(train, validation, encoder, PROMPTS, 0)
    assert tuned
    assert tuned.chosen["learning_rate"] == 1e-3
    assert "1e+30 diverged" in caplog.text
    assert np.isfinite(tuned.predict(validation.array)).all()
    with pytest.raises(FloatingPointError, match="diverged at every learning rate"):
        FineTune(num_steps=4, learning_rates=(1e30,)).adapt(train, validation, encoder, PROMPTS, 0)


def test_same_seed_same_logits_and_nothing_else_is_touched(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    frozen = {name: t.clone() for name, t in encoder.frozen.state_dict().items()}
    images, before = train.array.copy(), (random.getstate(), torch.get_rng_state())
    arrays = np.random.get_state(legacy=False)["state"]
    first = EVERYTHING.adapt(train, validation, encoder, PROMPTS, 1)
    assert first
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    after = np.random.get_state(legacy=False)["state"]
    assert np.array_equal(after["key"], arrays["key"])
    assert after["pos"] == arrays["pos"]
    assert np.array_equal(train.array, images)
    for name, tensor in encoder.frozen.state_dict().items():
        assert torch.equal(tensor, frozen[name]), name

    torch.manual_seed(99)
    random.seed(99)
    again = EVERYTHING.adapt(train, validation, encoder, PROMPTS, 1)
    other = EVERYTHING.adapt(train, validation, encoder, PROMPTS, 2)
    assert again
    assert other
    logits = first.predict(validation.array)
    assert np.array_equal(logits, again.predict(validation.array))
    assert not np.array_equal(logits, other.predict(validation.array))


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": TURNED.model_copy(update={"random_crop": (0.3, 1.0)})},
        {"rand_augment": "m9-mstd0.5-inc1"},
        {"erase_rate": 0.5},
        {"label_smoothing": 0.2},
        {"layer_decay": 0.5},
        {"clip_norm": 0.01},
        {"decays_vectors": False, "weight_decay": 10.0},
        {"schedule": "cosine"},
        {"precision": "bfloat16"},
        {"head": "probe"},
        {"epochs": 2},
        {"evaluate_every": 2, "learning_rates": (0.05,)},
    ],
    ids=lambda c: next(iter(c)),
)
def test_every_option_does_something(
    changes: dict[str, Any], encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    base = FineTune(num_steps=10, batch_size=16, augmentation=TURNED)
    found = []
    for spec in (base, base.model_copy(update=changes)):
        tuned = spec.adapt(train, validation, encoder, PROMPTS, 7)
        assert tuned
        found.append(tuned.predict(validation.array))
    assert np.isfinite(found[1]).all()
    assert not np.array_equal(*found)


def test_half_precision_comes_close(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        spec = FineTune(num_steps=20, precision=precision)
        tuned = spec.adapt(train, validation, encoder, PROMPTS, 0)
        assert tuned
        found.append(tuned.predict(validation.array))
    assert found[1].dtype == np.float32
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] > 0.95


def test_a_prediction_does_not_depend_on_its_company(
    encoder: StoredEncoder, train: Examples, validation: Examples
) -> None:
    tuned = FineTune(num_steps=10).adapt(train, validation, encoder, PROMPTS, 0)
    assert tuned
    whole = tuned.predict(validation.array)
    parts = [tuned.predict(validation.array[i : i + 7]) for i in range(0, len(validation), 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_cost_counts_every_rate_and_step(train: Examples, validation: Examples) -> None:
    """One image: 2 · 768 · 6 of the backbone and 2 · 6 · 10 of the head."""
    spec = FineTune(num_steps=5, batch_size=8, learning_rates=(1e-3, 1e-2))
    tuned = spec.adapt(train, validation, Flat(None), PROMPTS, 0)
    assert tuned
    forward = 2 * (768 * 6 + 6 * 10)
    assert tuned.cost["flops"] == 3 * forward * 8 * 5 * 2
    assert tuned.cost["stored_bytes"] == 4 * (768 * 6 + 6 + 6 * 10 + 10)


def test_epochs_become_steps() -> None:
    spec = FineTune(epochs=128, batch_size=128)
    assert spec.steps_for(47) == 128  # one batch an epoch
    assert spec.steps_for(1280) == 1280
    assert FineTune(epochs=0.1).steps_for(10) == 2
    assert FineTune(num_steps=7).steps_for(10_000) == 7


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"num_steps": 1}, "no room for a warm-up"),
        ({"learning_rates": ()}, "learning_rates is empty"),
        ({"patience": 3}, "set evaluate_every"),
        ({"checkpoint": "last"}, "goes with evaluate_every"),
        ({"checkpoint": "last", "evaluate_every": 2, "patience": 3}, "without patience"),
        ({"rand_augment": "rand augment 9"}, "rand_augment"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"head": "random"}, "head"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FineTune(**fields)


def test_recipes_are_the_papers() -> None:
    assert CLIP_FINE_TUNE.learning_rates == (1e-4, 3e-4, 1e-3, 3e-3)
    assert (CLIP_FINE_TUNE.epochs, CLIP_FINE_TUNE.batch_size) == (128, 128)
    assert CLIP_FINE_TUNE.rand_augment == "m9-mstd0.5-inc1"
    assert SIMCLR_LP_FT.model_copy(update={"head": "zero-shot"}).key == CLIP_FINE_TUNE.key
    assert CLIP_WISE_FT.finetune.name == "zero-shot-ft"
