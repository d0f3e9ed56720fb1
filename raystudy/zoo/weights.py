"""Weights that others saved: read without running any code of theirs, and fitted to a model."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""What training programs file weights under, beside their optimiser and epoch."""
NUM_SHOWN = 3

State = dict[str, Tensor]
Converter = Callable[[State, nn.Module], State]


def read(path: Path) -> State:
    """The tensors of a file by name. Raises ValueError for one that holds more than tensors."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file: {error}") from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: refused, as it holds more than tensors or is damaged "
            f"({_first_sentence(error)}); have its author save the weights as safetensors"
        ) from error
    for name in WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    tensors = {n: t for n, t in held.items() if isinstance(t, Tensor)} if _is_named(held) else {}
    if not tensors:
        raise ValueError(f"{path}: holds no tensors by name")
    return tensors


def fit(
    model: nn.Module,
    state: State,
    where: str,
    *,
    ignored: Callable[[], Iterable[str]] = tuple,
    converters: Iterable[Converter] = (),
) -> None:
    """Load ``state`` into ``model``: every tensor of the model, and none that it has not.

    Names may begin with a prefix (``module.``, ``visual.``, ``backbone.``); what lies beside the
    prefix is not of this model. ``ignored`` names what may be left over: heads. ``converters`` are
    tried in turn where the names do not fit: they translate the names of the original authors.
    Raises ValueError, in one line beginning with ``where``, that names the first misfits.
    """
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    candidate = below_prefix(state, wanted, where)
    misfits = _misfits(wanted, candidate, ignored)
    for convert in converters:
        if not misfits:
            break
        converted = below_prefix(_converted(convert, candidate, model), wanted, where)
        fewer = _misfits(wanted, converted, ignored)
        if len(fewer) < len(misfits):
            candidate, misfits = converted, fewer
    if misfits:
        more = f" (and {len(misfits) - NUM_SHOWN} more)" if len(misfits) > NUM_SHOWN else ""
        raise ValueError(f"{where}: {'; '.join(misfits[:NUM_SHOWN])}{more}")
    # What is missing now are counters that torch itself fills in for old files.
    model.load_state_dict({n: t for n, t in candidate.items() if n in wanted}, strict=False)


def below_prefix(state: State, wanted: Iterable[str], where: str) -> State:
    """``state`` below the prefix, if there is one, under which most ``wanted`` names are found.

    Raises ValueError if several models lie side by side in the file, with nothing to choose by.
    """
    names = set(wanted)
    votes: Counter[str] = Counter()
    for name in state:
        start = 0
        while start >= 0:
            if name[start:] in names:
                votes[name[:start]] += 1
                break
            start = name.find(".", start) + 1 or -1
    most = max(votes.values(), default=0)
    if most <= len(names) // 2:
        return _without_common_prefix(state)
    best = sorted(prefix for prefix, count in votes.items() if count == most)
    if len(best) > 1:
        raise ValueError(
            f"{where}: the file holds several such models, below {' and '.join(best)}; save the "
            "one you mean to a file of its own"
        )
    prefix = best[0]
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _without_common_prefix(state: State) -> State:
    """For names that are still to be translated."""
    firsts = {name.partition(".")[0] + "." for name in state}
    if len(firsts) == 1 and (prefix := firsts.pop()) in ("module.", "model.", "backbone."):
        return {n.removeprefix(prefix): t for n, t in state.items()}
    return state


def _misfits(
    wanted: Mapping[str, torch.Size], state: State, ignored: Callable[[], Iterable[str]]
) -> list[str]:
    lines = [
        f"'{name}' has shape {tuple(state[name].shape)}, not {tuple(shape)}"
        for name, shape in wanted.items()
        if name in state and state[name].shape != shape
    ]
    lines += [
        f"'{name}' is missing"
        for name in wanted
        if name not in state and not name.endswith("num_batches_tracked")
    ]
    if left := [name for name in state if name not in wanted]:
        known = set(ignored())
        lines += [f"'{name}' is unexpected" for name in left if name not in known]
    return lines


def _converted(convert: Converter, state: State, model: nn.Module) -> State:
    try:
        return convert(dict(state), model)
    except (KeyError, IndexError, AttributeError, RuntimeError, TypeError, ValueError):
        return state  # not what this converter knows


def _is_named(held: Any) -> bool:
    return isinstance(held, Mapping) and all(isinstance(name, str) for name in held)


def _first_sentence(error: BaseException) -> str:
    """torch's reason, without its advice to switch the protection off."""
    text = " ".join(str(error).split())
    if "WeightsUnpickler error:" in text:
        text = text.partition("WeightsUnpickler error:")[2]
    return text.strip().split(". ")[0][:160].rstrip(".")
