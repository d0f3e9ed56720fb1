"""Cells that a run left out because nothing undecided waits for them, with the reason
(``raystudy run --skip-decided``)."""

import json
import time
from collections.abc import Iterable, Mapping

from raystudy.store import Store

ROOM = "skipped"


def note_skipped(store: Store, study: str, reasons: Mapping[str, str]) -> None:
    """Keep why the cells of a study (by key) are left out, in place of what was kept before."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    note = {"when": when, "cells": dict(reasons)}
    store.write(json.dumps(note, indent=1).encode(), ROOM, f"{study}.json")


def skipped(store: Store, study: str, missing: Iterable[str]) -> dict[str, str]:
    """Key → reason, of those of ``missing`` that were left out."""
    note = store.read(ROOM, f"{study}.json")
    reasons = json.loads(note)["cells"] if note else {}
    return {key: reasons[key] for key in missing if key in reasons}
