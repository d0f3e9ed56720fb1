"""The presets of paper 1, against what it published and against open_clip's own model."""

import open_clip
import pytest
import torch
from open_clip.model import CLIP

from raystudy.backbone import Objective, build_backbone
from raystudy.recipes import CLIP_RN50, SIMCLR_RN50, SUPERVISED_RN50, Recipe
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Pretraining

LAION = 2_700_000


def pretraining(recipe: Recipe, size: int = LAION) -> Pretraining:
    return Pretraining(
        method=recipe.method,
        architecture=recipe.architecture,
        source=Glyphs(script="latin"),
        size=size,
        budget=recipe.budget,
        optimisation=recipe.optimisation,
    )


def objective(recipe: Recipe) -> Objective:
    with torch.device("meta"):
        return Objective(build_backbone(recipe.architecture, 0), recipe.method, 1000)


def test_clip_is_open_clips_model() -> None:
    with torch.device("meta"):
        theirs = CLIP(**open_clip.get_model_config("RN50") or {})
    ours = objective(CLIP_RN50)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    text = {name: p.shape for name, p in ours.parts["text"].named_parameters()}
    known = {tuple(p.shape) for p in theirs.parameters()}
    assert text
    assert {tuple(shape) for shape in text.values()} <= known


def test_clip_is_optimised_as_published() -> None:
    o, b = CLIP_RN50.optimisation, CLIP_RN50.budget
    assert (o.learning_rate, o.weight_decay, o.betas) == (1e-3, 0.1, (0.9, 0.999))
    assert (b.batch_size, b.epochs) == (1024, 16)
    steps = pretraining(CLIP_RN50).num_steps
    assert steps == 16 * LAION // 1024
    assert o.num_warmup_steps(steps) == 5_000


def test_simclr_has_their_projector_and_warms_up_for_two_epochs() -> None:
    o = SIMCLR_RN50.optimisation
    assert o.betas == (0.9, 0.98)
    steps = pretraining(SIMCLR_RN50).num_steps
    assert o.num_warmup_steps(steps) == pytest.approx(2 * LAION / 1024, abs=1)
    shapes = [tuple(p.shape) for p in objective(SIMCLR_RN50).parts.parameters() if p.ndim == 2]
    assert shapes == [(4096, 1024), (4096, 4096), (256, 4096)]


def test_supervised_sees_imagenet_ninety_times() -> None:
    run = pretraining(SUPERVISED_RN50, 1_281_167)
    assert run.samples_seen == pytest.approx(90 * 1_281_167, rel=1e-4)
    warmup = SUPERVISED_RN50.optimisation.num_warmup_steps(run.num_steps)
    assert warmup == pytest.approx(5 * 1_281_167 / 1024, abs=1)


def test_a_recipe_is_varied_without_a_change_to_itself() -> None:
    longer = CLIP_RN50.lasting(32, batch_size=512)
    assert (longer.budget.epochs, longer.budget.batch_size) == (32, 512)
    assert longer.optimisation == CLIP_RN50.optimisation
    assert CLIP_RN50.budget.epochs == 16
