"""Notes from inside a process: when each training step ends, and what led to the first one.

Nothing of what is measured is changed: the methods below are raystudy's own, and where a spec with
one of them is unpickled this module is imported, which is how the processes of a cluster come to be
watched. They all append to one file, ``notes`` in the folder that the environment names.
"""

import os
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from raystudy.methods.clip import CLIP
from raystudy.methods.supervised import Supervised

BOX, STARTS = "RAYSTUDY_BENCHMARK_BOX", "RAYSTUDY_BENCHMARK_STARTS"
"""Of the environment: where notes go, and whether what a cluster does before a step is noted."""
STEP, LOADED = "step", "loaded"
"""A step of training has ended; the examples of one begin to be loaded."""


class WatchedSupervised(Supervised):
    """The same, with this module in tow."""


class WatchedCLIP(CLIP):
    """The same, with this module in tow."""


class Note(NamedTuple):
    """``seconds`` since 1970."""

    seconds: float
    pid: int
    name: str


def notes(box: str | Path) -> list[Note]:
    """Of all processes, in the order of their time."""
    path = Path(box, "notes")
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        seconds, pid, name = line.split(" ", 2)
        found.append(Note(float(seconds), int(pid), name))
    return sorted(found)


def watch() -> None:
    import psutil
    from torch.optim.optimizer import register_optimizer_step_post_hook

    write = _writer(Path(os.environ[BOX], "notes"))
    # When the operating system started this process; and that it has got as far as here.
    write("process", psutil.Process().create_time())
    write("watched")
    register_optimizer_step_post_hook(lambda *_: write(STEP))
    _watch("raystudy.stages.batches", "step_rows", lambda: write(LOADED))
    _watch("raystudy.stages.pretrain", "build_objective", lambda: write("build"))
    _watch("raystudy.stages.learner", "training_view", lambda: write("views"), once=True)
    if STARTS in os.environ:
        _watch("ray.train", "get_dataset_shard", lambda: write("function"))
        _watch("raystudy.cluster.site:RaySite", "__enter__", lambda: write("site"))
        _watch("raystudy.cluster.site:RaySite", "compute", lambda: write("pretrain"))


def _watch(where: str, name: str, before: Callable[[], None], *, once: bool = False) -> None:
    """Call ``before`` each time, or the first time, that a function is called."""
    module, _, cls = where.partition(":")
    owner: Any = import_module(module)
    owner = getattr(owner, cls) if cls else owner
    function = getattr(owner, name)

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        before()
        if once:
            setattr(owner, name, function)
        return function(*args, **kwargs)

    setattr(owner, name, watched)


def _writer(path: Path) -> Callable[..., None]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    pid = os.getpid()

    def write(name: str, seconds: float | None = None) -> None:
        os.write(file, f"{seconds or time.time():.6f} {pid} {name}\n".encode())

    return write


if BOX in os.environ:
    watch()
