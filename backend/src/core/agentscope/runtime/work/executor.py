"""Executes runs in a worker process: claims them, and ends with all of them.

Every run executes in a task of this process' own; a Taskiq task is only the
hint that starts it. What one run does is in ``run_scope.py``, how users share the
slots in ``slots.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from core.agentscope.events.owned_run import Claim
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.runtime.work.leases import Leases
from core.agentscope.runtime.work.run_scope import RunScope, RunServices
from core.agentscope.runtime.work.slots import Slots
from core.errors import StoreUnavailable
from core.identity import LOCAL, Principal
from core.outage import report_failure
from core.turns import Turns

log = structlog.get_logger(__name__)

HANG_SECONDS = 30.0
"""A run that goes on for so long after its deadline hangs. The reaper ends it at the same time."""
_LOOK_SECONDS = 1.0
AT_ONCE = 4
"""Runs that begin at once, up to their first model call: enough to share statements."""
MOST_SECONDS = 0.25
"""How long a run that begins can hold up others: code of a user, or a locked row, can take any time."""


class RunExecutor:
    """The runs of one worker process."""

    def __init__(self, leases: Leases, services: RunServices) -> None:
        self._leases = leases
        self._services = services
        self._stops: dict[Claim, StopSignal] = {}
        self._hang_at: dict[asyncio.Task[None], tuple[int, float]] = {}
        """By the task that executes it: the row of a run, and when its time has been up for so long that it hangs."""
        self._tasks: set[asyncio.Task[None]] = set()
        worker, identity = services.settings.worker, services.settings.identity
        # Local mode has one user: nobody else waits, and nobody has to be looked for.
        self._only_user = LOCAL if identity.mode == "local" else None
        share = 1.0 if self._only_user else worker.user_share
        self._slots = Slots(worker.concurrency, share)
        self._starts = Turns(AT_ONCE, MOST_SECONDS)
        self._draining = False
        self._stopping = False
        self._left = asyncio.Event()
        """Set when a run has left its place."""

    @property
    def free(self) -> int:
        """How many more runs this process may execute."""
        return 0 if self._draining else self._services.settings.worker.concurrency - len(self._tasks)

    @property
    def running(self) -> int:
        """How many runs this process executes."""
        return len(self._tasks)

    def hung(self) -> list[int]:
        """Return the rows of the runs that go on long after their deadline. From any thread."""
        now = time.monotonic()
        return [run_pk for run_pk, hangs_at in list(self._hang_at.values()) if hangs_at <= now]

    async def room(self) -> int:
        """Return how many more runs this process may execute, once there is room for any; never while it drains."""
        while (free := self.free) <= 0:
            self._left.clear()
            await self._left.wait()
        return free

    def start(self, run_pk: int, principal: Principal | None = None) -> asyncio.Task[None] | None:
        """Execute a run in the background; ``None`` when there is no room or the process drains.

        Args:
            run_pk: The row of the run.
            principal: Its user, when the caller knows. ``None`` is returned when the user's share is used up, too. A run
                of a known user that is not started now is started when a slot comes free, unless another worker has it.
        """
        if self.free <= 0:
            if principal is not None and not self._draining:
                # The reaper names each user's oldest run first. Hints come in the order of arrival: those of another
                # user's thousand runs would be ahead of it.
                self._slots.remember(principal, run_pk)
            return None
        principal = principal or self._only_user
        if principal is None:
            return self._spawn(self._find_slot(run_pk), run_pk)
        if not self._slots.take(principal):
            self._slots.remember(principal, run_pk)
            return None
        return self._spawn(self._execute(run_pk, principal), run_pk)

    def cancel(self, run_pk: int) -> None:
        """Stop a run for its user, if this process executes it: each attempt of it."""
        for claim, stop in list(self._stops.items()):
            if claim[0] == run_pk:
                stop.set("user")

    async def drain(self, grace_seconds: float) -> None:
        """Accept no more runs, wait for the running ones, then stop them.

        Returns when all have ended but those that hang: the reaper has ended them long ago.
        """
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        self._stopping = True
        for stop in list(self._stops.values()):
            stop.set("shutdown")
        while ending := self._tasks - self._hung_tasks():
            await asyncio.wait(ending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        await self._services.titles.stop()

    def _hung_tasks(self) -> set[asyncio.Task[None]]:
        now = time.monotonic()
        return {task for task, (_, hangs_at) in self._hang_at.items() if hangs_at <= now}

    def _spawn(self, work: Coroutine[Any, Any, None], run_pk: int) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"run-{run_pk}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._left.set()

    async def _find_slot(self, run_pk: int) -> None:
        """Execute a run in a slot of its user; remember it when the user's share is used up."""
        try:
            principal = await self._leases.find_queued(run_pk)
        except Exception as exc:  # noqa: BLE001  still queued: the reaper hints it again
            report_failure("claim_failed", exc, run=run_pk)
            return
        if principal is None:
            return
        if self._slots.take(principal):
            await self._execute(run_pk, principal)
        else:
            self._slots.remember(principal, run_pk)

    async def _execute(self, run_pk: int, principal: Principal) -> None:
        """Execute a run in a slot that was taken for it; then give the slot to the next."""
        try:
            await self._claim_and_run(run_pk)
        finally:
            self._slots.give_back(principal)
            while not self._draining and (taken := self._slots.take_next()) is not None:
                next_principal, next_pk = taken
                self._spawn(self._execute(next_pk, next_principal), next_pk)

    async def _claim_and_run(self, run_pk: int) -> None:
        async with self._starts.place() as begun:
            await self._run(run_pk, begun)

    async def _run(self, run_pk: int, begun: Callable[[], None]) -> None:
        try:
            claimed = await self._leases.claim(run_pk)
        except Exception as exc:  # noqa: BLE001  still queued: the reaper hints it again
            report_failure("claim_failed", exc, run=run_pk)
            return
        if claimed is None:
            return
        structlog.contextvars.bind_contextvars(run_id=claimed.run_id, thread_id=claimed.thread_id)
        stop = self._stops[claimed.owned.claim] = StopSignal()
        if self._stopping:
            # Its claim was under way when the others were told to stop.
            stop.set("shutdown")
        task = asyncio.current_task()
        if task is not None:
            hangs_at = time.monotonic() + max(claimed.seconds_left, 0) + HANG_SECONDS
            self._hang_at[task] = run_pk, hangs_at
        try:
            await RunScope(claimed, stop, self._services, begun).execute()
        except StoreUnavailable:
            log.error("run_abandoned", reason="Postgres stayed away; the reaper ends the run")
        except Exception:
            log.exception("run_abandoned", reason="its end could not be written; the reaper ends it")
        finally:
            self._stops.pop(claimed.owned.claim, None)
            if task is not None:
                self._hang_at.pop(task, None)
