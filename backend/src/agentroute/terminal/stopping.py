"""The keyboard while a run goes on: the first Ctrl-C stops the run, the second one leaves it; other keys wait."""

from __future__ import annotations

import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` in a thread at the first Ctrl-C; whatever waits here goes on waiting.

    Raises:
        KeyboardInterrupt: At the second Ctrl-C.
    """
    pressed = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 1:
            raise KeyboardInterrupt
        # A signal's handler must not wait, and what was interrupted may hold any lock.
        threading.Thread(target=stop, name="stop-run", daemon=True).start()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def silent_keys() -> Iterator[None]:
    """Let the terminal show no keys that are pressed: they would be drawn into what is drawn. The next prompt gets them."""
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
