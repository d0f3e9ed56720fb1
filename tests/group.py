"""A function in several processes at once, as the workers of a cluster would run it."""

import multiprocessing
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, start_processes

ROOT = Path(__file__).parents[1]
PRELOADED = ["torch", "torch.distributed.fsdp", "torch._dynamo", "timm", "open_clip"]
"""Imported once, by the process that all others are forked from: seconds for each of them."""


class RankError(AssertionError):
    """What one of the processes raised, with its traceback."""


def run_group(
    world_size: int, function: Callable[..., Any], *args: Any, timeout_s: float = 120.0
) -> list[Any]:
    """``function(rank, *args)`` in ``world_size`` processes of one thread that form a gloo group.

    The results by rank: tensors, numbers, strings, and lists or dicts of such. ``function`` is a
    module's own. Raises RankError for the first process that failed, TimeoutError if one hangs.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with TemporaryDirectory(prefix="group-") as folder:
        with _importable(ROOT):
            group = start_processes(
                _work,
                # Pickled here: processes would pass each tensor on as an open file.
                (world_size, folder, timeout_s, pickle.dumps((function, args))),
                nprocs=world_size,
                join=False,
                start_method="forkserver",
            )
        assert group is not None
        deadline = time.monotonic() + timeout_s
        try:
            while not group.join(timeout=1.0):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{function.__name__} takes more than {timeout_s:.0f} s")
        except ProcessException as error:
            first = Path(folder, "error")
            raise RankError(first.read_text() if first.exists() else str(error)) from None
        finally:
            processes: list[Any] = group.processes
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(world_size)]


def _work(
    rank: int,
    world_size: int,
    folder: str,
    timeout_s: float,
    work: bytes,
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=timeout_s),
    )
    try:
        function, args = pickle.loads(work)
        torch.save(function(rank, *args), Path(folder, f"{rank}.pt"))
        dist.barrier()
    except Exception:
        # The others fail as soon as this one is gone: the first to write tells why.
        with Path(folder, "error").open("x") as file:
            file.write(f"rank {rank} of {world_size}\n{traceback.format_exc()}")
        raise
    dist.destroy_process_group()


@contextmanager
def _importable(root: Path) -> Iterator[None]:
    """What processes inherit, so that they find the tests' own modules by name."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
