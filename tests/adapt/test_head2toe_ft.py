"""Head2Toe-FT begins where Head2Toe ends, and then moves every weight."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.head2toe import Head2Toe
from raystudy.adapt.head2toe_ft import Head2ToeFT
from raystudy.adapt.selected_head import LEFT_OUT, Head
from raystudy.adapt.selected_layer import SelectedLayer
from raystudy.kinds import Examples
from raystudy.spec import Initialisation
from raystudy.stages.extract import StoredEncoder
from raystudy.store import Store
from raystudy.taps import Taps
from raystudy.views import embed

from .finetuning import PROMPTS, SEEN, TINY

HEAD2TOE = Head2Toe(taps_size=64, keep=(0.1,), strengths=(3e-3,), head_strengths=(10.0, 100.0))


@pytest.fixture
def encoder(tmp_path: Path) -> StoredEncoder:
    return StoredEncoder(Initialisation(architecture=TINY), Store(tmp_path))


def test_without_a_step_it_is_head2toe(
    train: Examples, validation: Examples, encoder: StoredEncoder
) -> None:
    taps = Taps(encoder.module, 64)
    learned, held_out = (replace(e, inputs=embed(taps, e.array, SEEN)) for e in (train, validation))
    alone = HEAD2TOE.adapt(learned, held_out, encoder, PROMPTS, 0)
    assert alone
    both = Head2ToeFT(head2toe=HEAD2TOE, finetune=FineTune(num_steps=0))
    found = both.adapt(train, validation, encoder, PROMPTS, 0)
    assert found
    expected = alone.predict(held_out.array)
    np.testing.assert_allclose(found.predict(validation.array), expected, rtol=1e-4, atol=1e-4)
    assert found.num_tried == alone.num_tried + 1
    assert len(both.configurations()) == alone.num_tried
    assert found.chosen["C"] == alone.chosen["C"]


def test_training_moves_backbone_and_head_and_lowers_the_loss(
    train: Examples, validation: Examples, encoder: StoredEncoder
) -> None:
    weak = HEAD2TOE.model_copy(update={"head_strengths": (0.1,)})

    def loss(num_steps: int) -> float:
        tuned = FineTune(num_steps=num_steps, learning_rates=(3e-3,))
        found = Head2ToeFT(head2toe=weak, finetune=tuned).adapt(
            train, validation, encoder, PROMPTS, 0
        )
        assert found
        logits = torch.from_numpy(found.predict(train.array))
        return float(cross_entropy(logits, torch.from_numpy(train.labels)))

    assert loss(40) < 0.9 * loss(0)


def test_the_layer_is_the_head_and_passes_gradients_where_features_vanish() -> None:
    rng = np.random.default_rng(0)
    head = Head(
        kept_K=np.array([0, 2, 3, 5]),
        group_of_K=np.array([0, 0, 1, 2]),
        weights_KxC=rng.normal(size=(4, 2)),
        bias_C=rng.normal(size=2),
        classes=np.array([2, 0]),
        num_classes=3,
    )
    x = rng.normal(size=(5, 6)).astype(np.float32)
    x[1, [0, 2]] = 0
    x[2] *= 1e-30
    inputs = torch.from_numpy(x).requires_grad_()
    logits = SelectedLayer(head)(inputs)
    np.testing.assert_allclose(logits.detach().numpy(), head.logits(x), rtol=1e-5, atol=1e-5)
    assert (logits[:, 1] == LEFT_OUT).all()
    logits[:2].sum().backward()
    assert inputs.grad is not None
    assert torch.isfinite(inputs.grad).all()
    assert inputs.grad.abs().max() < 100


@pytest.mark.parametrize("fields", [{"head": "probe"}, {"layer_decay": 0.7}])
def test_what_head2toe_replaces_cannot_be_asked_for(fields: dict) -> None:
    with pytest.raises(ValueError, match=f"Head2ToeFT.finetune.{next(iter(fields))}"):
        Head2ToeFT(finetune=FineTune(**fields))
