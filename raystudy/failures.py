"""Cells that failed, with the reason: they are left alone until somebody asks for them again
(``raystudy run --retry-failed``)."""

import json
import time
import traceback
from collections.abc import Iterable

from raystudy.spec import Cell
from raystudy.store import Store

ROOM = "failed"


def note_failure(store: Store, cell: Cell, error: Exception) -> None:
    """Keep why ``cell`` failed."""
    note = {
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cell": cell.describe(),
    }
    store.write(json.dumps(note, indent=1).encode(), ROOM, f"{cell.key}.json")


def failures(store: Store, cells: Iterable[str]) -> dict[str, str]:
    """Key → error, of those of ``cells`` that failed."""
    noted = {name.removesuffix(".json") for name in store.names(ROOM)}
    found = {}
    for key in cells:
        if key in noted and (note := store.read(ROOM, f"{key}.json")):
            found[key] = json.loads(note)["error"]
    return found
