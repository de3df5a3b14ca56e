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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
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


class EndingService(Service, Protocol):
    """A service that can be asked to end."""

    def retire(self) -> float:
        """Ask it to end, without a wait; returns after how many seconds it should have ended."""
        ...


@dataclass(frozen=True)
class ServiceReport:
    """What the supervisor knows about a service."""

    pid: int | None
    """None if no process runs."""
    started_at: datetime
    """When its newest process was started."""
    answered_at: datetime
    """When that start came back. A server answers then; a program of ours may still be importing."""
    restarts: int
    """How often it was started again after its process had ended."""


class StopRequestedError(Exception):
    """A stop signal came while something was being waited for."""


@dataclass
class _Watched:
    service: Service
    started_at: float
    delay_seconds: float
    on_end: Callable[[], None]
    again: bool = True
    """Whether it is started again when it ends."""
    due_at: float | None = None
    """When to start it again; None while it runs."""
    retiring: bool = False
    """It was asked to end."""
    kill_at: float | None = None
    """When its process is killed, if it was asked to end and has not."""
    killed_on_request: bool = False
    """Its end says nothing about it: the next start is not delayed for longer."""
    restarts: int = 0
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered_at: datetime = field(default_factory=lambda: datetime.now(UTC))


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
        again: bool = True,
        beside: Service | None = None,
    ) -> None:
        """Start a service and take charge of it.

        Args:
            service: What is started.
            begin: Starts it now, without a wait for its answer; its ``start`` when None.
            on_end: Called at once each time its process has ended by itself.
            again: Whether it is started again whenever it ends.
            beside: Stops when this one stops; as the last one started when None.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: It cannot start.
        """
        if self.stopping:
            raise StopRequestedError
        # Listed first: whatever happens in start, stop must see it.
        place = len(self._watched) if beside is None else self._watched.index(self._of(beside)) + 1
        watched = _Watched(service, time.monotonic(), self._first_delay_seconds, on_end, again)
        self._watched.insert(place, watched)
        (begin or service.start)()
        watched.answered_at = datetime.now(UTC)

    def replace(self, old: EndingService, new: Service) -> None:
        """Let one service end in order, without a wait; another one, which runs already, is kept running instead."""
        self._of(new).again = True
        watched = self._of(old)
        watched.again = False
        if old.running:
            self._retire(watched, old)
            return
        # It has died, and its next start never comes.
        if watched.due_at is None:
            watched.on_end()
        self._watched.remove(watched)

    def renew(self, service: EndingService) -> None:
        """Let a service end in order, without a wait, and start it again at once."""
        watched = self._of(service)
        if watched.due_at is not None:
            watched.due_at = time.monotonic()
        else:
            self._retire(watched, service)

    def is_settled(self, service: Service) -> bool:
        """Whether nobody waits for the end of a service, or for its next start."""
        watched = self._of(service)
        return not watched.retiring and watched.due_at is None

    def report(self, service: Service) -> ServiceReport | None:
        """Say how a service is; None if it is not in charge."""
        for watched in self._watched:
            if watched.service is service:
                pid = service.pid if service.running else None
                return ServiceReport(pid, watched.began_at, watched.answered_at, watched.restarts)
        return None

    def kill(self, service: Service) -> int | None:
        """SIGKILL the process of a service, as a crash would; it is started again soon.

        Returns:
            The process id; None if no process runs, or if it is ending already.
        """
        watched = self._of(service)
        pid = service.pid
        if pid is None or watched.retiring or watched.due_at is not None or not service.running:
            return None
        watched.killed_on_request = True
        self._kill(watched)
        return pid

    def dismiss(self, service: Service) -> None:
        """Stop a service for good, and wait until it is stopped. Does nothing if it is not in charge any more."""
        for watched in [each for each in self._watched if each.service is service]:
            service.stop()
            self._watched.remove(watched)

    def wait_until(self, service: Service, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait for a started service. If its next start is due later, it is started now.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: It ended, or is not ready in time; says so with the last lines of its log.
        """
        watched = self._of(service)
        if watched.due_at is not None:
            self._start_again(watched)
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

    def watch(
        self,
        turn: Callable[[], float | None] = lambda: None,
        *,
        until: Callable[[], bool] = lambda: False,
        heard: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        """Keep every service running; returns when a stop signal comes.

        Args:
            turn: Called whenever something has happened; returns after how many seconds it wants to be called again.
            until: Asked whenever something has happened; returns at once when it is true.
            heard: Returns descriptors: one that can be read is something that has happened.
        """
        while not self.stopping:
            waits = [seconds for seconds in (turn(), self._revive()) if seconds is not None]
            if until():
                return
            self._sleep(min(waits, default=None), heard())

    def wake(self) -> None:
        """Have ``turn`` called soon. Any thread may call this."""
        # A full pipe wakes it up as well; a closed one has nobody to wake up.
        with suppress(OSError):
            os.write(self._wake_write, b"\0")

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
        for watched in list(self._watched):
            if watched.due_at is None and not watched.service.running:
                watched.on_end()
                if not watched.again:
                    self._watched.remove(watched)
                elif watched.retiring:
                    watched.due_at = now
                else:
                    self._schedule(watched, f"{watched.service.title} stopped")
            elif watched.kill_at is not None and watched.kill_at <= now:
                self._kill(watched)
            if watched.due_at is not None and watched.due_at <= now:
                self._start_again(watched)
        times = [time for watched in self._watched for time in (watched.due_at, watched.kill_at)]
        due = [time for time in times if time is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_again(self, watched: _Watched) -> None:
        watched.started_at = time.monotonic()
        watched.due_at = watched.kill_at = None
        watched.retiring = False
        watched.began_at = datetime.now(UTC)
        watched.restarts += 1
        try:
            watched.service.start()
            watched.answered_at = datetime.now(UTC)
        except (LocalServerError, OSError) as exc:
            self._schedule(watched, str(exc))

    def _of(self, service: Service) -> _Watched:
        return next(watched for watched in self._watched if watched.service is service)

    @staticmethod
    def _retire(watched: _Watched, service: EndingService) -> None:
        watched.retiring = True
        watched.kill_at = time.monotonic() + service.retire()

    def _kill(self, watched: _Watched) -> None:
        watched.kill_at = None
        if (pid := watched.service.pid) is not None and watched.service.running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _schedule(self, watched: _Watched, reason: str) -> None:
        now = time.monotonic()
        asked, watched.killed_on_request = watched.killed_on_request, False
        if asked or now - watched.started_at > _STABLE_SECONDS:
            watched.delay_seconds = self._first_delay_seconds
        watched.due_at = now + watched.delay_seconds
        if asked:
            self._say(f"{watched.service.title} was killed on request; starting it again")
            watched.due_at = now
            return
        self._say(f"{reason}; starting it again in {watched.delay_seconds:g} s{_quoted(watched.service)}")
        watched.delay_seconds = min(watched.delay_seconds * 2, _LONGEST_DELAY_SECONDS)

    def _sleep(self, seconds: float | None, heard: Sequence[int] = ()) -> None:
        """Sleep until a signal comes, a descriptor can be read, or the seconds are over; None is for ever."""
        if self.stopping:
            return
        select.select([self._wake_read, *heard], [], [], seconds)
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
