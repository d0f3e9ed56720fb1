"""open_clip's models: an image tower that serves as backbone, and a text tower for zero-shot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from torch import Tensor, nn
from torch.nn.functional import normalize

from raystudy.classifier import Cosine
from raystudy.zoo.weights import State, fit


class ImageTower(nn.Module):
    """(N, 3, S, S) → (N, E): the embedding that captions are compared with, not normalised."""

    def __init__(self, visual: nn.Module, embed_dim: int) -> None:
        super().__init__()
        self.visual = visual
        self.num_features = embed_dim

    def forward(self, images: Tensor) -> Tensor:
        out = self.visual(images)
        return out[0] if isinstance(out, tuple) else out  # some give their tokens too


class OpenClip:
    """A model of open_clip in evaluation mode, and its tokenizer."""

    def __init__(self, model: nn.Module, embed_dim: int, tokenizer: str, where: str) -> None:
        self.image_tower = ImageTower(model.visual, embed_dim)  # pyright: ignore[reportArgumentType]
        self._model: Any = model
        self._tokenizer = tokenizer
        self._where = where

    def classifier(self, prompts: Sequence[Sequence[str]]) -> nn.Module:
        """Image embeddings (N, E) → logits (N, C): the scaled cosine to each class's mean prompt
        (Radford et al. 2021, section 3.1.4), plus the bias where the model has one.

        Raises RuntimeError if its tokenizer is not on this machine.
        """
        tokens = self._tokens()
        with torch.no_grad():
            means = [
                self._model.encode_text(tokens(list(sentences)), normalize=True).mean(0)
                for sentences in prompts
            ]
            classes_CxE = normalize(torch.stack(means), dim=-1)
            bias = 0.0 if self._model.logit_bias is None else self._model.logit_bias
            return Cosine(classes_CxE, self._model.logit_scale.exp(), bias)

    def _tokens(self) -> Callable[[list[str]], Tensor]:
        try:
            return open_clip.get_tokenizer(self._tokenizer)
        except Exception as error:  # of many kinds: a package or a file that is not here
            reason = str(error).strip().partition("\n")[0]
            raise RuntimeError(f"{self._where}: its tokenizer cannot be had: {reason}") from error


def open_clip_model(
    config: Mapping[str, Any], tokenizer: str, state: State, where: str
) -> OpenClip:
    """The whole model that ``config`` describes, with the weights ``state``.

    Raises ValueError, beginning with ``where``, if it cannot be built or the weights do not fit.
    """
    try:
        model = build_clip(config)
    except Exception as error:  # of many kinds: a bad field, a package that is not here
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{where}: open_clip cannot build it: {reason}") from error
    fit(model, state, where, converters=(_translated,))
    return OpenClip(model.eval(), config["embed_dim"], tokenizer, where)


def build_clip(described: Mapping[str, Any]) -> nn.Module:
    """As ``open_clip.create_model`` does, which would also look for weights."""
    config = deepcopy(dict(described))
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    custom = config.pop("custom_text", False)
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
        custom = True
    if not custom:
        return CLIP(**config)
    return (open_clip.CoCa if "multimodal_cfg" in config else CustomTextCLIP)(**config)


def _translated(state: State, model: nn.Module) -> State:
    """What ``open_clip.load_checkpoint`` does to the names of others and to its own old ones."""
    state = convert_state_dict(model, state)  # pyright: ignore[reportArgumentType]
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    own = model.state_dict()
    for name in ("logit_scale", "logit_bias"):  # once scalars, once vectors of one
        if name in state and name in own:
            state[name] = state[name].reshape(own[name].shape)
    state.pop("text.transformer.embeddings.position_ids", None)
    return state
