"""Executes runs in a worker process: claims, keeps the lease, runs, ends.

Every run executes in a task of this process' own; a Taskiq task is only the
hint that starts it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.append_writer import GroupCommitWriter
from core.agentscope.events.checkpoints import Checkpoint, save_checkpoint
from core.agentscope.events.ending import Ended, end_and_promote
from core.agentscope.events.ledger.budget_store import DayLimits
from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.events.ledger.ledger import record_call_now
from core.agentscope.events.owned_run import OwnedRun, Publisher
from core.agentscope.events.pipeline import AgentScopeEventPipeline
from core.agentscope.events.promotion import PromotedRun
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_status import ENDED
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.thread_memory import load_memory
from core.agentscope.runtime.agent.titles import TitleWriter
from core.agentscope.runtime.agent_route_runtime import AgentRouteRuntime, Orchestrator
from core.agentscope.runtime.orchestrator import AgentScopeOrchestrator, RunTask
from core.agentscope.runtime.outage import through_outage
from core.agentscope.runtime.profile.run_budget import EXPIRY_GRACE_SECONDS, RunBudget, UserAccount
from core.agentscope.runtime.stop_signal import StopReason, StopSignal
from core.agentscope.runtime.work.leases import ClaimedRun, Heartbeat, Leases
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import ModelUsage
from core.agentscope.schemas.messages import Message
from core.agentscope.tools.spec import ToolContext
from core.config import Settings
from core.crash_points import crash_point
from core.errors import LeaseLost, StoreUnavailable

log = structlog.get_logger(__name__)

_RELEASE = status_text("""
UPDATE agent_run SET status = {queued}, lease_until = NULL, worker_id = NULL, attempt = attempt - 1,
    next_kick_at = clock_timestamp()
WHERE id = :run_pk AND attempt = :attempt AND status = {running} AND last_seq <= 1
RETURNING id
""")

_STATUS = text("SELECT status, last_seq FROM agent_run WHERE id = :run_pk")


class RunExecutor:
    """The runs of one worker process."""

    def __init__(
        self,
        kit: AgentKit,
        engine: AsyncEngine,
        leases: Leases,
        heartbeat: Heartbeat,
        writer: GroupCommitWriter,
        publisher: Publisher,
        settings: Settings,
        *,
        hint: Callable[[PromotedRun], Awaitable[object]],
    ) -> None:
        self._kit = kit
        self._engine = engine
        self._leases = leases
        self._heartbeat = heartbeat
        self._writer = writer
        self._publisher = publisher
        self._settings = settings
        self._hint = hint
        self._stops: dict[int, StopSignal] = {}
        self._titles = TitleWriter(kit, engine)
        self._tasks: set[asyncio.Task[None]] = set()
        self._hints: set[asyncio.Task[None]] = set()
        self._draining = False
        self._stopping = False

    @property
    def free(self) -> int:
        """How many more runs this process may execute."""
        return 0 if self._draining else self._settings.worker.concurrency - len(self._tasks)

    def start(self, run_pk: int) -> asyncio.Task[None] | None:
        """Execute a run in the background; ``None`` when there is no room or the process drains."""
        if self.free <= 0:
            return None
        task = asyncio.create_task(self._execute(run_pk), name=f"run-{run_pk}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self, run_pk: int) -> None:
        """Stop a run for its user, if this process executes it."""
        if stop := self._stops.get(run_pk):
            stop.set("user")

    async def drain(self, grace_seconds: float) -> None:
        """Take no more runs; let those at work end, then stop them; returns when all have ended."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        self._stopping = True
        for stop in list(self._stops.values()):
            stop.set("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._titles.stop()

    async def _execute(self, run_pk: int) -> None:
        try:
            claimed = await self._leases.claim(run_pk)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            # Still queued: the reaper hints it again.
            log.warning("claim_failed", run=run_pk, error=type(exc).__name__)
            return
        if claimed is None:
            return
        structlog.contextvars.bind_contextvars(run_id=claimed.run_id, thread_id=claimed.thread_id)
        stop = self._stops[run_pk] = StopSignal()
        if self._stopping:
            # Its claim was under way when the others were told to stop.
            stop.set("shutdown")
        try:
            await self._run(claimed, stop)
        except StoreUnavailable:
            log.error("run_abandoned", reason="Postgres stayed away; the reaper ends the run")
        except Exception:
            log.exception("run_abandoned", reason="its end could not be written; the reaper ends it")
        finally:
            self._stops.pop(run_pk, None)

    async def _run(self, claimed: ClaimedRun, stop: StopSignal) -> None:
        loop = asyncio.get_running_loop()
        owned = claimed.owned
        # First of all: a run whose input cannot be read (a newer API wrote it) must not be kept alive.
        command = RunCommand.model_validate_json(claimed.input).model_copy(
            update={
                "thread_id": claimed.thread_id,
                "run_id": claimed.run_id,
                "parent_run_id": claimed.parent_run_id,
            }
        )
        appender = self._writer.open(owned, lambda: stop.set(_reason(appender.failure)))
        unwatch = self._heartbeat.watch(owned, stop.set)
        deadline = loop.call_later(max(claimed.seconds_left, 0), stop.set, "deadline")
        checkpoints = _CheckpointSaver(self._engine, owned)
        calls_ahead = CallsAhead(
            self._engine, owned, claimed.principal, outage_seconds=self._settings.worker.outage_seconds
        )

        async def end_run_after_checkpoints(end: RunEnd) -> None:
            # T-end writes the newest state itself; an older copy must not land beside it.
            await checkpoints.settle()
            await calls_ahead.settle()
            await self._end(owned, end)
            self._titles.ended(owned, claimed.principal, end)

        pipeline = AgentScopeEventPipeline(
            RunWireState(claimed.thread_id, claimed.run_id, started=owned.last_seq > 0),
            appender,
            end_run=end_run_after_checkpoints,
            record_calls=lambda usages: self._record(claimed, usages),
        )

        def save(checkpoint: Checkpoint) -> None:
            # All that came before it has been emitted; what comes after it the state does not know.
            checkpoints.save(replace(checkpoint, message_ids=pipeline.message_ids))

        async def prepare(command: RunCommand) -> Orchestrator:
            fresh_ids = [message.id for message in _answerable(command)]
            shown = command.options().messages_snapshot != "never"
            memory = await through_outage(
                lambda: load_memory(self._engine, owned, fresh_ids, with_history=shown),
                seconds=self._settings.worker.outage_seconds,
            )
            context = ToolContext(claimed.principal, claimed.thread_id, claimed.run_id, tool_call_id="")
            return AgentScopeOrchestrator(
                self._kit.for_run(budget=self._budget(claimed), calls_ahead=calls_ahead),
                RunTask(command, context, memory),
                emit=pipeline.emit,
                durable=pipeline.durable,
                save=save,
                stop=stop,
            )

        async def release() -> bool:
            # Nothing of ours may land after another worker has begun.
            await appender.take()
            return await self._release(owned)

        runtime = AgentRouteRuntime(prepare, pipeline, stop, release=release)
        try:
            await runtime.run(command)
        finally:
            deadline.cancel()
            unwatch()
            await checkpoints.settle()
            # A run that was taken away has no end of ours to wait for them.
            await pipeline.settle()

    def _budget(self, run: ClaimedRun) -> RunBudget:
        day = self._day_limits()
        account = UserAccount(
            self._engine,
            run.principal,
            day,
            run.owned.run_pk,
            expire_seconds=max(run.seconds_left, 0) + EXPIRY_GRACE_SECONDS,
            outage_seconds=self._settings.worker.outage_seconds,
        )
        return RunBudget(
            self._kit.profile.limits,
            account if day.any else None,
            output_tokens=self._settings.limits.reserved_output_tokens,
        )

    def _day_limits(self) -> DayLimits:
        limits = self._settings.limits
        return DayLimits(limits.user_tokens_per_day, limits.user_cost_per_day)

    async def _end(self, run: OwnedRun, end: RunEnd) -> None:
        """Write T-end; an unknown outcome is settled by reading the run, never by a blind repeat."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._settings.worker.outage_seconds
        unknown = False
        while True:
            try:
                # Shielded: a cancel in the middle would leave the connection in an unknown state.
                ended = await asyncio.shield(self._end_once(run, end))
            except LeaseLost:
                if unknown and await self._ended_by_us(run, end):
                    return
                raise
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                if not _is_outage(exc) or loop.time() > give_up_at:
                    raise StoreUnavailable from exc
                log.warning("end_outcome_unknown", error=type(exc).__name__)
                unknown = True
                await asyncio.sleep(0.5)
            else:
                crash_point("end-committed")
                self._publisher.publish(ended.shown)
                if ended.promoted is not None:
                    self._promoted(ended.promoted)
                return

    def _promoted(self, promoted: PromotedRun) -> None:
        """Tell the workers of a run whose turn has come; without a word they find it within a second."""
        task = asyncio.create_task(self._hint_one(promoted))
        self._hints.add(task)
        task.add_done_callback(self._hints.discard)

    async def _hint_one(self, promoted: PromotedRun) -> None:
        await self._hint(promoted)

    async def _end_once(self, run: OwnedRun, end: RunEnd) -> Ended:
        async with self._engine.begin() as connection:
            ended = await end_and_promote(connection, run, end)
            crash_point("end-before-commit")
            return ended

    async def _ended_by_us(self, run: OwnedRun, end: RunEnd) -> bool:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_STATUS, {"run_pk": run.run_pk})).one_or_none()
        return row is not None and row.status == end.status and row.status in ENDED

    async def _record(self, run: ClaimedRun, usages: Sequence[ModelUsage]) -> None:
        for usage in usages:
            await record_call_now(
                self._engine, run.owned, run.principal, usage, budgeted=self._day_limits().any
            )

    async def _release(self, run: OwnedRun) -> bool:
        """Give a run that showed nothing back to the queue; another worker starts it."""
        async with self._engine.begin() as connection:
            row = (
                await connection.execute(_RELEASE, {"run_pk": run.run_pk, "attempt": run.attempt})
            ).one_or_none()
        return row is not None


class _CheckpointSaver:
    """Writes the newest checkpoint in the background, one at a time; older ones are skipped."""

    def __init__(self, engine: AsyncEngine, run: OwnedRun) -> None:
        self._engine = engine
        self._run = run
        self._newest: Checkpoint | None = None
        self._task: asyncio.Task[None] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        self._newest = checkpoint
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def settle(self) -> None:
        """Return when nothing is being written any more."""
        self._newest = None
        if self._task is not None:
            with contextlib.suppress(Exception):
                await self._task

    async def _write(self) -> None:
        while (checkpoint := self._newest) is not None:
            self._newest = None
            try:
                async with self._engine.begin() as connection:
                    await save_checkpoint(connection, self._run, checkpoint)
                crash_point("checkpoint-saved")
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                # The run's end writes the state again; this copy only shortens what a crash forgets.
                log.warning("checkpoint_not_saved", error=type(exc).__name__)


def _reason(failure: Exception | None) -> StopReason:
    """Tell a fence (the writer failed the run) from a cancel that the append saw."""
    return "user" if failure is None else "lost"


def _answerable(command: RunCommand) -> list[Message]:
    last_answer = max(
        (place for place, message in enumerate(command.messages) if message.role == "assistant"), default=-1
    )
    return list(command.messages[last_answer + 1 :])


def _is_outage(exc: Exception) -> bool:
    """Tell a lost connection, which a repeat may mend, from a statement that can never succeed."""
    if not isinstance(exc, DBAPIError):
        return True
    sqlstate = getattr(exc.orig, "sqlstate", None) or ""
    return exc.connection_invalidated or not sqlstate or sqlstate[:2] in ("08", "40", "53", "55", "57", "25")
