"""Keeps child processes running until a stop signal.

One thread, no polling: SIGCHLD, SIGTERM, SIGINT and SIGHUP wake it up. A child
that ends is started again after a delay that doubles with every quick death.
The first stop signal stops the children in the reverse order of their start;
the second kills them.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from agentroute.embedded.local_server import LocalServerError
from core.text import visible

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_DELAY_SECONDS = 30.0
_LONGEST_LINE = 500
"""Characters of a line of a log that are shown; a traceback in JSON is one line."""
_STABLE_SECONDS = 60.0
"""After this time, earlier failures of a child no longer increase its restart delay."""


class Service(Protocol):
    """What can be supervised: a local server or a Python program of ours."""

    @property
    def title(self) -> str: ...
    @property
    def running(self) -> bool: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...
    @property
    def pid(self) -> int | None: ...
    def tail(self, lines: int = 10) -> list[str]: ...


class StopRequestedError(Exception):
    """A stop signal came while something was being waited for."""


@dataclass
class _Watched:
    service: Service
    started_at: float
    delay_seconds: float
    on_end: Callable[[], None]
    due_at: float | None = None
    """When to start it again; None while it runs."""


class Supervisor:
    """Owns the signals of the process and its children, as a context manager in the main thread."""

    def __init__(self, say: Callable[[str], None], *, first_delay_seconds: float = 0.5) -> None:
        """Prepare; signals are taken over when the context is entered.

        Args:
            say: Shows the user one line.
            first_delay_seconds: Time before a child that ended is started again;
                doubles with every death within a minute, up to 30 s.
        """
        self._say = say
        self._first_delay_seconds = first_delay_seconds
        self._watched: list[_Watched] = []
        self._stops = 0
        self._wake_read, self._wake_write = os.pipe()
        self._restore: list[Callable[[], Any]] = []

    def __enter__(self) -> Self:
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        previous = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._restore.append(lambda: signal.set_wakeup_fd(previous))
        for number in _STOP_SIGNALS:
            self._handle(number, self._on_stop)
        # Its handler does nothing: without one, the wake-up would not be written.
        self._handle(signal.SIGCHLD, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for restore in reversed(self._restore):
                restore()
            os.close(self._wake_read)
            os.close(self._wake_write)

    @property
    def stopping(self) -> bool:
        return self._stops > 0

    def start(
        self,
        service: Service,
        *,
        begin: Callable[[], object] | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a service and take charge of it.

        Args:
            service: Is started again whenever it ends.
            begin: Starts it now, without a wait for its answer; its ``start`` when None.
            on_end: Called at once each time its process has ended by itself.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: It cannot start.
        """
        if self.stopping:
            raise StopRequestedError
        # Listed first: whatever happens in start, stop must see it.
        self._watched.append(_Watched(service, time.monotonic(), self._first_delay_seconds, on_end))
        (begin or service.start)()

    def wait_until(self, service: Service, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait for a started service.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: It ended, or is not ready in time; says so with the last lines of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if not service.running:
                raise LocalServerError(f"{service.title} stopped while starting{_quoted(service)}")
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"{service.title} is not ready after {timeout_seconds:.0f} s{_quoted(service)}"
                )
            self._sleep(0.05)
            if self.stopping:
                raise StopRequestedError

    def watch(self) -> None:
        """Keep every service running; returns when a stop signal comes."""
        while not self.stopping:
            self._sleep(self._revive())

    def stop(self) -> None:
        """Stop every service, the last one started first."""
        while self._watched:
            service = self._watched[-1].service
            if service.running:
                self._say(f"Stopping {service.title} ...")
            service.stop()
            self._watched.pop()

    def _revive(self) -> float | None:
        """Start what is due; returns the seconds until the next one is."""
        now = time.monotonic()
        for watched in self._watched:
            if watched.due_at is None and not watched.service.running:
                watched.on_end()
                self._schedule(watched, f"{watched.service.title} stopped")
            if watched.due_at is not None and watched.due_at <= now:
                self._start_again(watched)
        due = [watched.due_at for watched in self._watched if watched.due_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_again(self, watched: _Watched) -> None:
        watched.started_at = time.monotonic()
        watched.due_at = None
        try:
            watched.service.start()
        except (LocalServerError, OSError) as exc:
            self._schedule(watched, str(exc))

    def _schedule(self, watched: _Watched, reason: str) -> None:
        now = time.monotonic()
        if now - watched.started_at > _STABLE_SECONDS:
            watched.delay_seconds = self._first_delay_seconds
        watched.due_at = now + watched.delay_seconds
        self._say(f"{reason}; starting it again in {watched.delay_seconds:g} s{_quoted(watched.service)}")
        watched.delay_seconds = min(watched.delay_seconds * 2, _LONGEST_DELAY_SECONDS)

    def _sleep(self, seconds: float | None) -> None:
        """Sleep until a signal comes, or the seconds are over; None is for ever."""
        if self.stopping:
            return
        select.select([self._wake_read], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _handle(self, number: signal.Signals, handler: Callable[[int, FrameType | None], Any]) -> None:
        previous = signal.signal(number, handler)
        self._restore.append(lambda: signal.signal(number, previous))

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self._stops += 1
        if self._stops == 1:
            return
        # A second signal: kill everything. Only system calls are allowed here, because this interrupts any code.
        for watched in self._watched:
            if (pid := watched.service.pid) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        os._exit(128 + number)


def _quoted(service: Service) -> str:
    lines = [line for line in service.tail() if line.strip()]
    return (
        ". The end of its log:\n" + "\n".join(f"    {_cut(visible(line))}" for line in lines)
        if lines
        else "."
    )


def _cut(line: str) -> str:
    """Cut from the middle: a traceback says at its end what happened."""
    half = _LONGEST_LINE // 2
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
