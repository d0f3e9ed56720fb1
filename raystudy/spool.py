"""What a server could not be told is kept, in order, and told once it answers again."""

import logging
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

PAUSES_S = (1.0, 30.0)
"""Between two attempts at a server that is silent: at first, and at most."""


class Spool:
    """A queue of calls to a server that may go away and come back.

    A call is made again after a failure, so it must do no harm twice. One that fails while the
    server answers is made once more, and then given up with all that is behind it, which may rely
    on it: ``is_refused``.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        """``probe`` raises ConnectionError while the server is silent."""
        self._probe = probe
        self._kept: deque[Callable[[], object]] = deque()
        self._pause_s = 0.0
        self._silent_until = 0.0
        self.is_refused = False

    def add(self, tell: Callable[[], object]) -> None:
        if not self.is_refused:
            self._kept.append(tell)

    def drain(self) -> bool:
        """Tell what is kept; whether nothing is left. A server that was silent a moment ago is not
        asked again so soon, so that nobody waits for it."""
        if time.monotonic() < self._silent_until:
            return not self._kept
        while self._kept:
            if not self._tell(self._kept[0]):
                return False
            self._kept.popleft()
        return True

    def empty(self, patience_s: float) -> bool:
        """``drain``, and wait so long for a server that is silent."""
        deadline = time.monotonic() + patience_s
        while not self.drain():
            if time.monotonic() > deadline:
                return False
            time.sleep(min(0.5, patience_s))
        return True

    def _tell(self, tell: Callable[[], object]) -> bool:
        """Whether the server has heard it, or will not."""
        for attempt in (1, 2):
            try:
                tell()
                break
            except Exception as error:
                try:
                    self._probe()
                except ConnectionError as silence:
                    self._wait(silence)
                    return False
                if attempt == 2:
                    log.warning("MLflow refuses, the study goes on without it: %s", error)
                    self.is_refused = True
                    self._kept = deque([tell])
        if self._pause_s:
            log.warning("MLflow answers again; what was kept for it is told")
        self._pause_s = self._silent_until = 0.0
        return True

    def _wait(self, silence: ConnectionError) -> None:
        if not self._pause_s:
            log.warning("%s; the study goes on, and what MLflow misses is kept for it", silence)
        self._pause_s = min(max(PAUSES_S[0], 2 * self._pause_s), PAUSES_S[1])
        self._silent_until = time.monotonic() + self._pause_s
