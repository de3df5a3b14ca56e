"""A new worker beside the one in use, which then ends its runs. Changed files and another model come into use so.

One at a time: whoever begins a handover ends it, and anybody else waits until then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from agentroute.embedded.supervisor import Supervisor
from agentroute.embedded.worker_service import WorkerService

LOOK_SECONDS = 0.03
"""A new worker is looked at this often."""
TRY_SECONDS = 120.0
"""How long a new worker may take to become ready. The factory of an agent alone may take a minute."""


class HasWorker(Protocol):
    """The instance whose worker is replaced."""

    supervisor: Supervisor
    worker: WorkerService

    def new_worker(self, number: int) -> WorkerService: ...


class WorkerHandover:
    """The workers of an instance that run, or that may still end their runs."""

    def __init__(self, instance: HasWorker) -> None:
        self._instance = instance
        self._used = [instance.worker]
        self.active = False
        """Whether somebody has begun a handover and not ended it."""

    def begin(self) -> WorkerService:
        """Start a new worker beside the one in use. If it ends, it is not started again.

        Raises:
            OSError: It cannot be started. No handover has begun.
        """
        self.active = True
        instance = self._instance
        worker = instance.new_worker(self._free_number())
        try:
            instance.supervisor.start(worker, on_end=worker.ended, again=False, beside=instance.worker)
        except OSError:
            self.give_up(worker)
            raise
        return worker

    def use(self, worker: WorkerService) -> None:
        """Ask the worker in use to drain, without a wait; the new one is in use from now on."""
        instance = self._instance
        old, instance.worker = instance.worker, worker
        # One that has died has nothing to drain.
        self._used = [*(each for each in self._used if each.running), worker]
        instance.supervisor.replace(old, worker)

    def give_up(self, worker: WorkerService) -> None:
        """Stop a new worker that was not used."""
        self._instance.supervisor.dismiss(worker)
        self.active = False

    def end(self) -> None:
        """Let the next handover begin."""
        self.active = False

    @property
    def older(self) -> list[WorkerService]:
        """Workers that were in use before the one that is."""
        return [worker for worker in self._used if worker is not self._instance.worker]

    def _free_number(self) -> int:
        self._used = [worker for worker in self._used if worker.running or worker is self._instance.worker]
        taken = {worker.number for worker in self._used}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)


def reason_of(lines: Iterable[str]) -> str:
    """Return the line of a log that says why a process has ended."""
    written = [line for line in lines if line.strip()]
    told = [line for line in written if line.startswith("error: ")]
    return (told or written or ["It ended without a word."])[-1].removeprefix("error: ")
