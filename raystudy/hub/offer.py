"""What is offered under a model's name: its configuration, how it sees images, where it lies.

timm and open_clip list their models themselves; a hub repository describes its own in a file. Both
libraries load torch, so they are imported only once somebody asks for a model.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from raystudy.hub.files import HubFile, WebFile, cached, first
from raystudy.hub.name import FORMS, Name, parse

TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Offer:
    """A model as its library or its repository describes it."""

    library: Literal["timm", "open_clip"]
    architecture: str
    """timm's name; empty for open_clip, whose ``config`` says all."""
    config: Mapping[str, Any]
    """Keyword arguments of timm's model, or open_clip's model configuration."""
    preprocessing: Mapping[str, Any]
    """Fields of ``raystudy.spec.Preprocessing``."""
    files: tuple[HubFile | WebFile, ...]
    """The same weights in several places or formats, best first; none if the name has no tag."""
    tokenizer: str = ""
    """open_clip's name for how captions are read."""
    licence: str = ""
    """Of the weights, where the library says it."""


@lru_cache(maxsize=64)
def offer(model: str) -> Offer:
    """What is known under ``model``. A repository's description is downloaded if it is not here.

    Raises ValueError, naming near ones, for what nobody offers, and FileNotFoundError for a
    description that is not on this machine and cannot be downloaded.
    """
    name = parse(model)
    match name.where:
        case "timm":
            return _of_timm(model, name)
        case "open_clip":
            return _of_open_clip(model, name)
        case "hf-hub":
            return _of_repository(model, name.identifier)


def weights_file(model: str, given: str | None) -> Path:
    """The weights of ``model``: ``given``, or found on this machine, or downloaded.

    Raises ValueError if the name has no weights, and FileNotFoundError, in one line that says what
    to provide, if they are not here and cannot be had.
    """
    if given is not None:
        if not Path(given).is_file():
            raise FileNotFoundError(f"Published.weights={given!r} of {model!r}: no such file")
        return Path(given)
    name, files = parse(model), offer(model).files
    if not files:
        raise ValueError(
            f"Published.model={model!r} says not which weights: name {_tags(name)}, or give a file "
            "as Published.weights"
        )
    way_out = "; where it can be had, get it and give its path as Published.weights"
    return first(files, f"Published.model={model!r}", "its weights file", way_out)


def is_here(model: str, given: str | None) -> bool:
    """Whether ``weights_file`` would download nothing, nor the description of a repository.

    Raises ValueError for what nobody offers, and for a name without weights.
    """
    name = parse(model)
    if name.where == "hf-hub" and not any(map(cached, _about(name.identifier))):
        return False
    files = offer(model).files
    if given is not None:
        return Path(given).is_file()
    return any(map(cached, files)) if files else weights_file(model, None).is_file()


def _of_timm(model: str, name: Name) -> Offer:
    import timm
    from timm.models import get_pretrained_cfg

    if not timm.is_model(name.architecture):
        raise ValueError(_unknown(model, "timm/", timm.list_models(pretrained=True)))
    try:
        config = get_pretrained_cfg(name.identifier)
    except RuntimeError as error:  # a tag that this architecture has not
        tags = timm.list_models(f"{name.architecture}.*", pretrained=True)
        raise ValueError(_unknown(model, "timm/", tags)) from error
    described = config.to_dict() if config else {}
    files: list[HubFile | WebFile] = []
    if name.tag:
        if repository := described.get("hf_hub_id"):
            given = described.get("hf_hub_filename")
            files += [HubFile(repository, f) for f in ((given,) if given else TIMM_FILES)]
        url = described.get("url")
        if isinstance(url, str) and url.endswith((".pth", ".pt", ".tar", ".bin", ".safetensors")):
            files.append(WebFile(url))
    return Offer(
        "timm",
        name.architecture,
        {},
        _timm_preprocessing(model, described),
        tuple(files),
        licence=str(described.get("license") or ""),
    )


def _of_open_clip(model: str, name: Name) -> Offer:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config = open_clip.get_model_config(name.identifier)
    known = [f"{a}/{tag}" for a, tag in open_clip.list_pretrained()]
    if config is None:
        raise ValueError(_unknown(model, "open_clip/", known))
    described = get_pretrained_cfg(name.identifier, name.tag) if name.tag else {}
    if name.tag and not described:
        own = [n for n in known if n.startswith(f"{name.identifier}/")]
        raise ValueError(_unknown(model, "open_clip/", own or known))
    if described.get("quick_gelu"):  # open_clip only warns, and computes something else
        config["quick_gelu"] = True
    repository, _, given = described.get("hf_hub", "").rpartition("/")
    files = [HubFile(repository, f) for f in ((given,) if given else OPEN_CLIP_FILES)]
    seen = _open_clip_preprocessing(model, config, described)
    return Offer("open_clip", "", config, seen, tuple(files) if repository else (), name.identifier)


def _of_repository(model: str, repository: str) -> Offer:
    # A repository may hold both: as open_clip's model it also reads captions.
    way_out = (
        f"; where there is a connection, get it with 'hf download {repository}', and put that "
        "cache where HF_HOME points"
    )
    path = first(_about(repository), f"Published.model={model!r}", "its description", way_out)
    described = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "open_clip_config.json":
        config = described["model_cfg"]
        seen = _open_clip_preprocessing(model, config, described.get("preprocess_cfg", {}))
        files = tuple(HubFile(repository, f) for f in OPEN_CLIP_FILES)
        return Offer("open_clip", "", config, seen, files, model)
    if "architecture" not in described:
        raise ValueError(
            f"Published.model={model!r}: its config.json names no architecture of timm, and it has "
            "no open_clip_config.json; name a repository with the files of either library"
        )
    seen = _timm_preprocessing(model, described.get("pretrained_cfg", described))
    arguments = described.get("model_args", {})
    files = tuple(HubFile(repository, f) for f in TIMM_FILES)
    return Offer("timm", described["architecture"], arguments, seen, files)


def _about(repository: str) -> tuple[HubFile, ...]:
    return HubFile(repository, "open_clip_config.json"), HubFile(repository, "config.json")


def _tags(name: Name) -> str:
    if name.where == "timm":
        import timm

        tags = timm.list_models(f"{name.architecture}.*", pretrained=True)
        tags = [f"timm/{tag}" for tag in tags]
    else:
        from open_clip.pretrained import list_pretrained_tags_by_model

        known = list_pretrained_tags_by_model(name.identifier)
        tags = [f"{name.architecture}/{tag}" for tag in known]
    return f"a tag, such as {', '.join(tags[:3])}" if tags else "another model"


def _timm_preprocessing(model: str, described: Mapping[str, Any]) -> dict[str, Any]:
    from timm.data.config import resolve_data_config

    config = resolve_data_config({}, pretrained_cfg=dict(described))
    resize = {"center": "shortest", "squash": "squash"}.get(config["crop_mode"])
    share = config["crop_pct"]
    if share > 1:  # a border around the image
        _refuse(model, "crop_pct", share)
    return {
        "image_size": _side(model, config["input_size"][1:]),
        "resize": resize or _refuse(model, "crop_mode", config["crop_mode"]),
        "crop_share": share,
        "interpolation": _interpolation(model, config["interpolation"]),
        "mean": tuple(config["mean"]),
        "deviation": tuple(config["std"]),
    }


def _open_clip_preprocessing(
    model: str, config: Mapping[str, Any], described: Mapping[str, Any]
) -> dict[str, Any]:
    from dataclasses import asdict

    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    size = config["vision_cfg"].get("image_size", 224)
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), dict(described)) | {"size": size}
    if merged["resize_mode"] not in ("shortest", "squash"):
        _refuse(model, "resize_mode", merged["resize_mode"])
    return {
        "image_size": _side(model, (size, size) if isinstance(size, int) else size),
        "resize": merged["resize_mode"],
        "interpolation": _interpolation(model, merged["interpolation"]),
        "mean": tuple(merged["mean"]),
        "deviation": tuple(merged["std"]),
    }


def _interpolation(model: str, name: str) -> str:
    # Both libraries evaluate what was trained with random interpolation by their own default.
    if name == "random":
        return "bicubic"
    return name if name in ("bicubic", "bilinear") else _refuse(model, "interpolation", name)


def _side(model: str, size: Iterable[int]) -> int:
    height, width = size
    return height if height == width else _refuse(model, "input_size", f"{height} × {width}")


def _refuse(model: str, what: str, value: object) -> Any:
    raise ValueError(
        f"Published.model={model!r} has {what} {value}, which no Preprocessing can express; "
        "choose another model"
    )


def _unknown(model: str, prefix: str, known: Iterable[str]) -> str:
    names = {name.lower(): name for name in known}
    wanted = model.removeprefix(prefix).lower()
    near = [prefix + names[n] for n in difflib.get_close_matches(wanted, names, 3, 0.4)]
    hint = f"; near: {', '.join(near)}" if near else f"; write {FORMS}"
    return f"Published.model={model!r} is offered by nobody{hint}"
