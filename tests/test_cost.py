"""What is counted is what others published, and what a pencil says."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from raystudy.backbone import build_objective
from raystudy.cost import cost, flops_per_sample, state_bytes
from raystudy.kinds import Method
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.recipes import CLIP_RN50
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Budget, Optimisation, Preprocessing, Pretraining

SMALL = Preprocessing(image_size=16)
VIT = Architecture(
    name="vit_tiny_patch16_224",
    args={"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
    preprocessing=SMALL,
)
CNN = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=SMALL,
)


def spec(method: Method, architecture: Architecture, **fields: object) -> Pretraining:
    return Pretraining(
        method=method,
        architecture=architecture,
        source=Glyphs(script="latin"),
        size=64,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def test_resnet50_is_as_published() -> None:
    """4.09 GMACs at 224 pixels (torchvision.models.ResNet50_Weights); its 25.6M parameters."""
    found = cost(spec(Supervised(), Architecture(name="resnet50")))
    assert found.flops_per_sample == pytest.approx(3 * 2 * 4.09e9, rel=0.02)
    assert found.num_parameters == 25_557_032


def test_clip_rn50_is_as_published() -> None:
    """open_clip, docs/model_profile.csv: 18.18 GFLOPs forward, 102.01M parameters."""
    found = cost(spec(CLIP_RN50.method, CLIP_RN50.architecture))
    assert found.flops_per_sample == pytest.approx(3 * 18.18e9, rel=0.002)
    assert found.num_parameters == pytest.approx(102.01e6, rel=1e-4)


def test_a_small_transformer_by_hand() -> None:
    tokens, width, classes = 4 + 1, 16, 10
    patches = 4 * width * (3 * 8 * 8)
    block = tokens * width * (3 * width)  # queries, keys and values
    block += 2 * tokens * tokens * width  # scores, and what they weigh
    block += tokens * width * width + 2 * tokens * width * (4 * width)
    head = width * classes
    # Backward is twice forward, but that nobody asks for the gradient at the image.
    expected = 2 * (2 * patches + 3 * (block + head))
    assert flops_per_sample(spec(Supervised(), VIT), classes) == expected


def test_every_view_and_part_counts() -> None:
    one = flops_per_sample(spec(Supervised(), CNN), 10)
    head = 3 * 2 * 16 * 10
    hidden, width = 256, 64
    projector = 2 * 3 * 2 * (16 * hidden + hidden * width)
    scores = 3 * 2 * 4 * 4 * width / 2  # four views with four, of two examples
    two = flops_per_sample(spec(SimCLR(), CNN), 10)
    assert two == 2 * (one - head) + projector + scores


def test_accumulation_passes_forward_twice() -> None:
    plain = flops_per_sample(spec(Supervised(), CNN), 10)
    budget = Budget(batch_size=64, chunk_size=16, accumulation=2)
    twice = flops_per_sample(spec(Supervised(), CNN, budget=budget), 10)
    backbone = build_objective(spec(Supervised(), CNN), 10).backbone
    with FlopCounterMode(display=False) as forward:
        backbone.eval()(torch.rand(1, 3, 16, 16))
    assert twice - plain == forward.get_total_flops()


@pytest.mark.parametrize("method", [Supervised(), CLIP(), SimCLR()], ids=lambda m: m.name)
def test_counting_leaves_no_trace(method: Method) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    cost(spec(method, CNN), 11)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("method", [CLIP(), SimCLR()], ids=lambda m: m.name)
def test_a_worker_counts_for_itself(method: Method) -> None:
    """In a group whose other workers do not answer, the count comes, and is the same."""
    alone = flops_per_sample(spec(method, CNN), 12)
    dist.init_process_group(backend="fake", store=FakeStore(), rank=0, world_size=2)
    try:
        assert flops_per_sample(spec(method, CNN), 13) == alone
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_bytes_are_those_on_disk(optimiser: str, tmp_path: Path) -> None:
    optimisation = Optimisation(optimiser=optimiser)  # pyright: ignore[reportArgumentType]
    run = spec(SimCLR(), CNN, optimisation=optimisation)
    objective = build_objective(run, 10)
    state = {name: value.contiguous() for name, value in objective.state_dict().items()}
    save_file(state, tmp_path / "weights")
    found = cost(run, 10)
    header = 8 + int.from_bytes((tmp_path / "weights").read_bytes()[:8], "little")
    assert (tmp_path / "weights").stat().st_size == found.weights_bytes + header

    parameters = list(objective.parameters())
    steps = {
        "adamw": torch.optim.AdamW(parameters),
        "sgd": torch.optim.SGD(parameters, momentum=0.9),
    }[optimiser]
    images = torch.rand(2, 4, 3, 16, 16)
    objective(list(images), torch.zeros(4, dtype=torch.int64), [""] * 4)["loss"].backward()
    steps.step()
    moments = [v for state in steps.state.values() for k, v in state.items() if k != "step"]
    held = sum(v.nbytes for v in moments)
    assert state_bytes(found, optimisation) == found.weights_bytes + held


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="'resnet51' is no timm model"):
        cost(spec(Supervised(), Architecture(name="resnet51")))
