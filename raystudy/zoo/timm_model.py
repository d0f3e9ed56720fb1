"""Backbones of timm with the weights of others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from raystudy.zoo.weights import Converter, State, fit

CONVERTER = "checkpoint_filter_fn"
"""What most of timm's modules call the function that translates the original authors' names."""


def timm_backbone(
    architecture: str, arguments: Mapping[str, Any], state: State, where: str
) -> nn.Module:
    """Up to its pooled features, as every backbone here; a head in ``state`` is left out.

    Raises ValueError, beginning with ``where``, if it cannot be built or the weights do not fit.
    """
    arguments = {k: v for k, v in arguments.items() if k != "num_classes"}

    def heads() -> set[str]:
        """The tensors that timm adds for a classifier."""
        with torch.device("meta"):
            whole = timm.create_model(architecture, num_classes=1000, **arguments)
        return set(whole.state_dict()) - set(backbone.state_dict())

    try:
        backbone = timm.create_model(architecture, num_classes=0, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from error
    fit(backbone, state, where, ignored=heads, converters=_converters(architecture))
    return backbone.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _converters(architecture: str) -> list[Converter]:
    module = sys.modules[timm.models.model_entrypoint(architecture).__module__]
    found = getattr(module, CONVERTER, None)
    return [found] if found else []
