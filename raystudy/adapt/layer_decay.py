"""Layer-wise learning rates: the nearer a layer is to the head, the faster it moves.

Bao et al. 2022 (BEiT, arXiv 2106.08254), after Clark et al. 2020 (ELECTRA, arXiv 2003.10555).
"""

from typing import Any

from timm.models._manipulate import group_with_matcher
from torch import nn

HEAD = "/head"
"""No module can have this name, so no pattern of a backbone matches it."""
OPEN_CLIP = {
    "stem": r"^(?:conv|bn|class_embedding|positional_embedding|patch|ln_pre)",
    "blocks": [(r"^transformer\.resblocks\.(\d+)", None), (r"^layer(\d+)\.(\d+)", None)],
}
"""The layers of open_clip's own towers, of which timm's models tell theirs."""


def layer_scales(backbone: nn.Module, decay: float) -> dict[str, float]:
    """Parameter of ``backbone`` → the factor of its learning rate: ``decay`` to the power of how
    many layers further up the head lies, whose own factor is 1. Layers are counted as timm's
    ``param_groups_layer_decay`` counts those of a model with its classifier.

    Raises ValueError for a backbone whose layers nobody has told.
    """
    prefix, matcher = _matcher(backbone)
    names = {
        name: name.removeprefix(prefix) if name.startswith(prefix) else f"/{name}"
        for name, _ in backbone.named_parameters()
    }
    named = [(inner, None) for inner in (*names.values(), HEAD)]
    layers: Any = group_with_matcher(iter(named), matcher, reverse=True)
    if len(set(layers.values())) < 3:
        raise ValueError(
            f"FineTune.layer_decay: {type(backbone).__name__} does not say which of its layers lie "
            "above which; leave layer_decay out"
        )
    return {name: decay ** (layers[HEAD] - layers[inner]) for name, inner in names.items()}


def _matcher(backbone: nn.Module) -> tuple[str, Any]:
    """Where in ``backbone`` the module lies that has layers, and what tells them apart."""
    modules: list[tuple[str, Any]] = list(backbone.named_modules())
    for name, module in modules:
        if hasattr(module, "group_matcher"):
            return f"{name}." if name else "", module.group_matcher(coarse=False)
    return "visual." if hasattr(backbone, "visual") else "", OPEN_CLIP
