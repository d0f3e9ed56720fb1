"""The towers of open_clip's models, at random initialisation.

A config of open_clip names an image tower, a text tower with its tokenizer, and the width E of the
space they share. Nothing here loads a weight.
"""

import difflib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import open_clip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, _build_text_tower, _build_vision_tower
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

Tokenizer = Callable[[list[str]], Tensor]


def model_config(model: str, field: str) -> dict[str, Any]:
    """What open_clip knows of a model. Raises ValueError, naming ``field`` and the nearest models,
    for one that it does not know."""
    known = open_clip.list_models()
    config = open_clip.get_model_config(model) if model in known else None
    if config is None:
        near = difflib.get_close_matches(model, known, 3, cutoff=0.5)
        hint = f"near: {', '.join(near)}" if near else "open_clip.list_models() names them all"
        raise ValueError(f"{field}: {model!r} is no open_clip model; {hint}")
    return config


def image_tower(model: str, image_size: int, args: Mapping[str, Any]) -> nn.Module:
    """(N, 3, S, S) → (N, E) for S = ``image_size``; E is its ``num_features``.

    ``args`` stand in for values of the model's ``vision_cfg``, or for its ``embed_dim``.
    Raises TypeError, ValueError or AssertionError for what open_clip cannot build.
    """
    config = model_config(model, "Architecture.name")
    vision = config["vision_cfg"] | {
        "image_size": image_size,
        "timm_model_pretrained": False,
        "output_tokens": False,
    }
    vision |= args
    embed_dim = vision.pop("embed_dim", config["embed_dim"])
    quick_gelu = config.get("quick_gelu", False)
    tower = _build_vision_tower(embed_dim, CLIPVisionCfg(**vision), quick_gelu)
    if isinstance(tower, TimmModel):
        tower.set_input_size(image_size)
    tower.num_features = embed_dim  # pyright: ignore[reportArgumentType]
    return tower


def text_tower(model: str, field: str) -> nn.Module:
    """Tokens (N, L) → (N, E). Raises FileNotFoundError for one that is described on a hub alone."""
    config = model_config(model, field)
    text = CLIPTextCfg(**config["text_cfg"])
    text.hf_model_pretrained = False
    text.output_tokens = False
    try:
        return _build_text_tower(config["embed_dim"], text, config.get("quick_gelu", False))
    except (ImportError, OSError, RuntimeError) as error:
        if text.hf_model_name is None:
            raise
        raise _not_here(field, model, "text tower", text.hf_model_name) from error


@lru_cache(maxsize=4)
def tokenizer(model: str, field: str) -> Tokenizer:
    """N sentences → tokens (N, L). Raises FileNotFoundError for one that lies on a hub alone."""
    source = model_config(model, field)["text_cfg"].get("hf_tokenizer_name")
    try:
        return open_clip.get_tokenizer(model)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if source is None:
            raise
        raise _not_here(field, model, "tokenizer", source) from error


def _not_here(field: str, model: str, what: str, source: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{field}={model!r} takes its {what} from the Hugging Face hub, and '{source}' is not "
        f"here; install the package transformers, get it with 'hf download {source}' where there "
        f"is a connection, and put that cache where HF_HOME points on every node"
    )
