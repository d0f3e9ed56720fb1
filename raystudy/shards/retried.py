"""Requests to a store that may fail, tried again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT_S = 0.5
"""Before a request is tried again; twice as long each time after."""


def retried(call: Callable[[], T], what: str) -> T:
    """``call()``, tried again with growing waits if the store fails.

    What is not there is not asked for twice: FileNotFoundError and the like come at once. Any other
    failure of the last attempt is raised as OSError that names ``what``.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except (IsADirectoryError, NotADirectoryError, PermissionError):
            raise
        except Exception as error:  # each store's client has exceptions of its own
            if isinstance(error, FileNotFoundError) and _is_gone(error):
                raise
            if attempt == ATTEMPTS:
                raise OSError(f"{what}: {error or type(error).__name__}") from error
            log.info("%s: %s; trying again", what, error or type(error).__name__)
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _is_gone(error: FileNotFoundError) -> bool:
    """Some clients say "not found" for any failure and keep the true one as its cause."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return isinstance(cause, FileNotFoundError)
    return getattr(cause, "status", 404) in (404, 410)
