"""Where a pre-training begins: at its last checkpoint, at a trunk it shares, or at nothing.

The stage that trains and the stream that feeds it both ask here, so that they agree.
"""

import io
from collections.abc import Iterable
from typing import Any

import torch

from raystudy.spec import Pretraining, Trunk
from raystudy.stages import checkpoints
from raystudy.store import Store
from raystudy.trunks import beginning

STATE = "state.pt"
"""The file of a trunk that holds the whole state of training at its end."""


def first_step(store: Store, spec: Pretraining, trunks: Iterable[Trunk] = ()) -> int:
    """The step from which ``spec`` has still to be trained, given ``trunks`` that are done or will
    be by then."""
    trunk = beginning(spec, trunks)
    return max(checkpoints.last_step(store, spec.key), trunk.num_steps if trunk else 0)


def first_state(store: Store, spec: Pretraining, trunks: Iterable[Trunk]) -> dict[str, Any] | None:
    """The state of training at ``first_step``, on the CPU, or None at step 0. Raises RuntimeError
    if the trunk that it should begin with was not finished."""
    trunk = beginning(spec, trunks)
    if trunk and trunk.num_steps > checkpoints.last_step(store, spec.key):
        data = store.read(trunk.room, trunk.key, STATE)
        if data is None:
            raise RuntimeError(f"{spec.key} begins with trunk {trunk.key}, which is not finished")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state | {"spent_s": 0.0}  # what the trunk cost is in its own accounts
    return checkpoints.last_state(store, spec.key)
