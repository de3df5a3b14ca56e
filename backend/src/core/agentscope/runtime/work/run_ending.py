"""Writes T-end for the runs of a worker process, and tells readers and workers of it.

Rules:

1. During an outage, the writer waits. After an unknown outcome, the run is read; a write is never repeated blindly.
2. A fault of this service is raised at once. The run then ends with the events in its log and ``internal-error``, or
   with the code that says what could not be stored.
3. A run can always be ended. If Postgres refuses one of its messages, a note takes the place of that message.
4. Readers and workers are told after the commit.
5. A usual end is one statement (``events/usual_end.py``). What that statement does not write goes the careful way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.events.ending import Ended, end_and_promote, end_from_log
from core.agentscope.events.owned_run import OwnedRun, Publisher
from core.agentscope.events.promotion import PromotedRun
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_status import ENDED
from core.agentscope.events.run_summary import AgentName, log_ended_runs, nameless
from core.agentscope.events.thread_row import lock_thread
from core.agentscope.events.usual_end import EndUsually, may_be_usual
from core.agentscope.runtime.work.leases import ClaimedRun
from core.agentscope.schemas.internal_events import RunFailed
from core.crash_points import crash_point
from core.errors import AgentBackendError, LeaseLost, OutputNotStorable, RunFailure, StoreUnavailable
from core.metrics.catalogue import FENCED
from core.outage import through_outage
from core.store_failure import is_refused_data

log = structlog.get_logger(__name__)

_STATUS = text("SELECT status FROM agent_run WHERE id = :run_pk")

_HOLD = text("SELECT 1 FROM agent_run WHERE id = :run_pk AND attempt = :attempt FOR NO KEY UPDATE")

_BROKEN = RunFailed(code=AgentBackendError.code, message="The run failed with an internal error.")

_REFUSED = RunFailed(
    code=OutputNotStorable.code,
    message="The run produced a value that cannot be stored. What could be stored is kept. Send the next message.",
)

_MakeEnd = Callable[[AsyncConnection], Awaitable[RunEnd]]


class RunEnding:
    """The ends of a process' runs.

    Args:
        engine: For one transaction an end.
        publisher: Shows what an end wrote.
        hint: Tells the workers of a run whose turn has come.
        outage_seconds: How long an end waits for Postgres.
        agent: Names agents for the log.
        end_usually: Writes usual ends. Without it, every end goes the careful way.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        publisher: Publisher,
        *,
        hint: Callable[[PromotedRun], Awaitable[object]],
        outage_seconds: float,
        agent: AgentName = nameless,
        end_usually: EndUsually | None = None,
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._hint = hint
        self._outage_seconds = outage_seconds
        self._agent = agent
        self._end_usually = end_usually
        self._hints: set[asyncio.Task[None]] = set()

    async def write(self, run: OwnedRun, end: RunEnd) -> None:
        """End a run.

        Raises:
            LeaseLost: Another worker owns the run; nothing was written.
            StoreUnavailable: Postgres was unavailable for longer than an end waits.
        """

        async def given(_: AsyncConnection) -> RunEnd:
            return end

        await self._write(run, given, usual=end if may_be_usual(end) else None)

    async def fail(self, run: ClaimedRun, cause: Exception) -> None:
        """End a run whose own end cannot be written: keeps the output already shown, and ends with a failure.

        Args:
            run: The run.
            cause: Why. It decides the code and the message that the user sees.

        Raises:
            LeaseLost: Another worker owns the run; nothing was written.
            StoreUnavailable: Postgres was unavailable for longer than an end waits.
        """

        event = _failure(cause)
        rescue = False

        async def from_log(connection: AsyncConnection) -> RunEnd:
            owned = run.owned
            await lock_thread(connection, owned.session_id)
            held = await connection.execute(_HOLD, {"run_pk": owned.run_pk, "attempt": owned.attempt})
            if held.one_or_none() is None:
                raise LeaseLost
            return await end_from_log(connection, owned, run.thread_id, run.run_id, event, rescue=rescue)

        try:
            await self._write(run.owned, from_log)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception:
            log.exception("run_end_failed_again", run=run.owned.run_pk)
            rescue = True
            await self._write(run.owned, from_log)

    async def _write(self, run: OwnedRun, make_end: _MakeEnd, *, usual: RunEnd | None = None) -> None:
        # Statuses of the ends that went as far as their commit.
        tried: set[str] = set()

        async def attempt() -> Ended | None:
            try:
                # Shielded: a cancel in the middle would leave the connection in an unknown state.
                return await asyncio.shield(self._write_once(run, make_end, tried, usual))
            except LeaseLost:
                if await self._has_ended_as(run, tried):
                    return None
                FENCED.add("end")
                raise

        ended = await through_outage(attempt, seconds=self._outage_seconds, what="run_end")
        if ended is None:
            # Readers find the end in the log, and the reaper the run whose turn has come.
            return
        crash_point("end-committed")
        self._publisher.publish(ended.shown)
        log_ended_runs(ended.runs, agent=self._agent)
        if ended.promoted is not None:
            self._tell(ended.promoted)

    async def _write_once(
        self, run: OwnedRun, make_end: _MakeEnd, tried: set[str], usual: RunEnd | None
    ) -> Ended:
        if usual is not None and self._end_usually is not None:
            known = usual.status in tried
            # Noted before it is sent: if the answer is lost, the end may have been written.
            tried.add(usual.status)
            if (ended := await self._end_usually(run, usual)) is not None:
                return ended
            if not known:
                tried.remove(usual.status)
        async with self._engine.begin() as connection:
            end = await make_end(connection)
            ended = await end_and_promote(connection, run, end)
            tried.add(end.status)
            crash_point("end-before-commit")
            return ended

    async def _has_ended_as(self, run: OwnedRun, tried: set[str]) -> bool:
        """Tell whether an earlier try was committed although its answer did not come."""
        if not tried:
            return False
        async with self._engine.connect() as connection:
            status = await connection.scalar(_STATUS, {"run_pk": run.run_pk})
        return status in tried and status in ENDED

    def _tell(self, promoted: PromotedRun) -> None:
        """Tell the workers of a run whose turn has come; without a word they find it within a second."""
        task = asyncio.create_task(self._hint_one(promoted))
        self._hints.add(task)
        task.add_done_callback(self._hints.discard)

    async def _hint_one(self, promoted: PromotedRun) -> None:
        await self._hint(promoted)


def _failure(cause: Exception) -> RunFailed:
    if isinstance(cause, RunFailure):
        return RunFailed(code=cause.code, message=cause.detail)
    return _REFUSED if is_refused_data(cause) else _BROKEN
