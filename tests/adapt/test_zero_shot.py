"""Zero-shot: classes are matched by name, whatever their order, and prompts are those asked for."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from raystudy.adapt.zero_shot import ZeroShot
from raystudy.backbone import Objective
from raystudy.kinds import Encoder, Floats, Method
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.spec import Preprocessing

from .problems import features

D = 12
NAMES = [f"digit {word}" for word in ("zero", "one", "two", "three", "four")]
PROMPTS = [(name, f"a bold {name}", f"{name}, white on blue") for name in NAMES]
EXAMPLES = features(20, D)


class Flat(nn.Module):
    num_features = D


class Headed(Encoder):
    """A backbone that is all head: one that ``method`` would train."""

    def __init__(self, method: Method) -> None:
        torch.manual_seed(0)
        self._method = method
        self._parts = Objective(Flat(), method, len(NAMES)).eval().parts

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing()

    @property
    def module(self) -> nn.Module:
        return nn.Identity()

    def groups(self, taps: int) -> Mapping[str, int]:
        return {"last": D}

    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> nn.Module | None:
        return self._method.zero_shot(self._parts, NAMES, prompts)


def logits(method: Method, prompts: Sequence[Sequence[str]], probe: ZeroShot) -> Floats | None:
    adapted = probe.adapt(EXAMPLES, EXAMPLES, Headed(method), prompts, seed=0)
    return adapted.predict(EXAMPLES.array) if adapted else None


@pytest.mark.parametrize("probe", [ZeroShot(), ZeroShot(prompts="name")], ids=lambda p: p.name)
@pytest.mark.parametrize("method", [CLIP(), Supervised()], ids=lambda m: m.name)
def test_classes_in_another_order_give_their_logits_in_that_order(
    method: Method, probe: ZeroShot
) -> None:
    straight = logits(method, PROMPTS, probe)
    assert straight is not None
    assert straight.std(1).min() > 1e-3  # the classes differ, so that their order shows
    for order in ([4, 2, 0, 3, 1], [3, 1]):
        shuffled = logits(method, [PROMPTS[i] for i in order], probe)
        assert shuffled is not None
        np.testing.assert_allclose(shuffled, straight[:, order], rtol=1e-4, atol=1e-4)


def test_sentences_count_unless_the_name_alone_is_asked_for() -> None:
    bare = [(name,) for name in NAMES]
    by_name, of_bare = (
        logits(CLIP(), PROMPTS, ZeroShot(prompts="name")),
        logits(CLIP(), bare, ZeroShot()),
    )
    ensemble = logits(CLIP(), PROMPTS, ZeroShot())
    assert by_name is not None
    assert of_bare is not None
    assert ensemble is not None
    np.testing.assert_allclose(by_name, of_bare, rtol=1e-6)
    assert np.abs(ensemble - by_name).max() > 1e-3


def test_a_head_that_lacks_a_class_or_knows_no_names_cannot() -> None:
    unknown = [*PROMPTS, ("digit five",)]
    assert logits(Supervised(), unknown, ZeroShot()) is None
    assert logits(SimCLR(), PROMPTS, ZeroShot()) is None


def test_defaults_keep_their_key() -> None:
    assert ZeroShot().key == ZeroShot(prompts="all").key != ZeroShot(prompts="name").key
