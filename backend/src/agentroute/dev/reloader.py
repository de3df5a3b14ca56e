"""Takes changed files into use: a new worker beside the old one, which ends its runs.

1. A new worker starts with the code as it is now. It makes the agent without a model call, as at every start.
2. If it does not become ready, it is stopped, the reason is shown, and the old worker goes on as if nothing had
   happened. The next change is the next try.
3. If it is ready, the old worker is asked to drain: it begins no run any more, and ends those that it has, with the
   code that they began with. A run that does not end in time is handed over as at every stop of a worker.
4. The API is started again only if what it shows has changed (``shown``): a start cuts the streams of its clients.

Nothing here waits: ``turn`` is called again and again by the supervisor, which stays ready for Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.handover import LOOK_SECONDS, TRY_SECONDS, WorkerHandover, reason_of
from agentroute.embedded.python_service import PythonService
from agentroute.embedded.supervisor import Supervisor
from agentroute.embedded.worker_service import WorkerService
from agentroute.project import ENV_FILE

_MANY = 3
"""More changed files than this are counted, not named."""


class Instance(Protocol):
    """What is reloaded: the running service."""

    supervisor: Supervisor
    worker: WorkerService
    handover: WorkerHandover

    @property
    def api(self) -> PythonService: ...


class Look(Protocol):
    """A look at what the API shows, in a process of its own."""

    @property
    def running(self) -> bool: ...
    @property
    def exit_code(self) -> int | None: ...
    def tail(self, lines: int = 10) -> list[str]: ...
    def kill(self) -> None: ...


class Looking:
    """Starts looks at what the API shows.

    Args:
        folder: Of their logs.
    """

    def __init__(self, folder: Path) -> None:
        self._result = folder / "shown"

    def __call__(self) -> Look:
        self._result.unlink(missing_ok=True)
        return ChildProcess(
            [sys.executable, "-P", "-m", "agentroute.dev.shown", str(self._result)],
            log_path=self._result.with_suffix(".log"),
            pid_path=self._result.with_suffix(".pid"),
        )

    @property
    def result(self) -> str:
        """What the last look has found."""
        return self._result.read_text(encoding="utf-8")


@dataclass
class _Try:
    """A new worker that is not in use yet, and what the API would show."""

    files: Sequence[Path]
    began_at: float
    worker: WorkerService
    look: Look
    in_use: bool = False
    """The old worker was asked to drain."""
    api_is_new: bool = False


class Reloader:
    """Reloads an instance.

    Args:
        instance: It is ready.
        changes: Returns the files that have changed since its last call.
        look: Starts a look at what the API shows.
        result: Returns what the last look has found.
        say: Shows the user one line.
        show: Shows the user why a change cannot be used.
        hiding: Says of each file of the folder that would break every process which one it is.
    """

    def __init__(
        self,
        instance: Instance,
        changes: Callable[[], Sequence[Path]],
        *,
        look: Callable[[], Look],
        result: Callable[[], str],
        say: Callable[[str], None],
        show: Callable[[str], None],
        hiding: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._instance = instance
        self._supervisor = instance.supervisor
        self._changes = changes
        self._look = look
        self._result = result
        self._say = say
        self._show = show
        self._hiding = hiding
        self._handover = instance.handover
        self._try: _Try | None = None
        self._shown = ""
        """What the API shows, if that is known."""
        self._first_look: Look | None = look()

    @property
    def knows(self) -> bool:
        """Whether it is known what the API shows. Otherwise, a change starts the API again."""
        return self._first_look is None

    def turn(self) -> float | None:
        """Do what can be done now; returns after how many seconds there is more to do, if there is."""
        self._finish_first_look()
        if self._try is None and self._handover.active:
            # Another model is being taken into use.
            return LOOK_SECONDS
        if self._try is None or not self._try.in_use:
            # While an old worker is being asked to drain, changes wait for their turn.
            self._begin(self._changes())
        if self._try is not None:
            self._go_on(self._try)
        return None if self._try is None and self._first_look is None else LOOK_SECONDS

    def _finish_first_look(self) -> None:
        look = self._first_look
        if look is not None and not look.running:
            self._shown = self._result() if look.exit_code == 0 else ""
            self._first_look = None

    def _begin(self, files: Sequence[Path]) -> None:
        own_env = Path(ENV_FILE)
        if own_env in files:
            self._say(f"{own_env} has changed. It is read once: start `agentroute dev` again to use it.")
        files = [file for file in files if file != own_env]
        if not files:
            return
        if self._first_look is not None:
            # It may have read the files before the change or after it.
            self._first_look.kill()
            self._first_look = None
        if self._try is not None:
            files = sorted({*self._try.files, *files})
            self._give_up(self._try)
            self._try = None
        self._say(f"{_named(files)} changed: reloading ...")
        if hiding := list(self._hiding()):
            self._not_reloaded(hiding[0])
            return
        self._try = _Try(files, time.monotonic(), self._handover.begin(), self._look())

    def _go_on(self, current: _Try) -> None:
        if current.in_use:
            self._finish(current)
        elif not current.worker.running:
            self._refuse(current, reason_of(current.worker.tail(40)))
        elif current.look.exit_code not in (None, 0):
            self._refuse(current, reason_of(current.look.tail(40)))
        elif time.monotonic() - current.began_at > TRY_SECONDS:
            self._refuse(current, f"the worker was not ready after {TRY_SECONDS:.0f} s")
        elif current.worker.ready and not current.look.running:
            self._use(current)

    def _use(self, current: _Try) -> None:
        self._handover.use(current.worker)
        before, self._shown = self._shown, self._result()
        current.in_use = True
        current.api_is_new = before != self._shown
        if current.api_is_new:
            self._supervisor.renew(self._instance.api)

    def _finish(self, current: _Try) -> None:
        old = self._handover.older
        if not all(worker.draining for worker in old):
            return
        api = self._instance.api
        if current.api_is_new and not (self._supervisor.is_settled(api) and api.ready):
            return
        self._try = None
        self._handover.end()
        seconds = time.monotonic() - current.began_at
        parts = "a new worker and a new API" if current.api_is_new else "a new worker"
        self._say(f"Reloaded in {seconds:.1f} s: {parts}. New runs use the change.")
        if runs := sum(worker.runs_left for worker in old if worker.running):
            self._say(f"{runs} {'run ends' if runs == 1 else 'runs end'} with the code from before.")

    def _refuse(self, current: _Try, reason: str) -> None:
        self._give_up(current)
        self._try = None
        self._not_reloaded(reason)

    def _not_reloaded(self, reason: str) -> None:
        self._show(reason)
        self._say("Not reloaded: the code from before goes on. The next change is the next try.")

    def _give_up(self, current: _Try) -> None:
        current.look.kill()
        self._handover.give_up(current.worker)


def _named(files: Sequence[Path]) -> str:
    if len(files) > _MANY:
        return f"{len(files)} files"
    return ", ".join(str(file) for file in files)
