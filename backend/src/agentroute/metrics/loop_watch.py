"""Looks once a second, from a thread of its own, whether the event loop of a process still answers.

Rules:

1. Each second the loop is asked to say that it lives. How late it does is its lag.
2. A second counts only if this thread has lived through it: a process that was held (SIGSTOP, a suspended machine) does
   not look stalled when it goes on.
3. A loop that has not answered for too long is given up: the log says where it hangs, and the process ends. Nothing in it
   could still end in order. A supervisor starts another one; its runs are repaired like those of any dead worker.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

from core.metrics.catalogue import LOOP_LAG_SECONDS

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
EXIT_CODE = 70
"""``EX_SOFTWARE`` of sysexits.h: the process has found itself unable to work."""


class LoopWatch:
    """Watches the event loop in which it is made. ``start`` and ``stop`` it there.

    Args:
        give_up_seconds: After how long without an answer the process ends; 0 is never.
        beat_seconds: How often the loop is asked.
        end: Ends the process.
    """

    def __init__(
        self,
        *,
        give_up_seconds: float,
        beat_seconds: float = BEAT_SECONDS,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._of_loop = threading.get_ident()
        self._give_up_seconds = give_up_seconds
        self._beat_seconds = beat_seconds
        self._end = end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)
        self._answered = True
        self._missed = 0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=2.0)

    @property
    def stalled_seconds(self) -> float:
        """For how long the loop has not answered; from any thread."""
        return self._missed * self._beat_seconds

    def _watch(self) -> None:
        asked_at = 0.0

        def answer() -> None:
            LOOP_LAG_SECONDS.observe(time.monotonic() - asked_at)
            self._answered = True

        while not self._stopped.wait(self._beat_seconds):
            if not self._answered:
                self._missed += 1
                if self._give_up_seconds and self.stalled_seconds >= self._give_up_seconds:
                    self._give_up()
                    return
                continue
            self._missed, self._answered = 0, False
            asked_at = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(answer)
            except RuntimeError:
                # The loop is closed: the process ends.
                return

    def _give_up(self) -> None:
        frame = sys._current_frames().get(self._of_loop)
        log.critical(
            "event_loop_blocked",
            seconds=round(self.stalled_seconds),
            stack="unknown" if frame is None else "".join(traceback.format_stack(frame)[-12:]),
        )
        self._end(EXIT_CODE)
