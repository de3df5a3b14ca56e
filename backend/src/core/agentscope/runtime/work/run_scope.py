"""One run in a worker process: what belongs to it alone, and what its runtime asks for.

``AgentRouteRuntime`` decides how the run goes; the scope loads its memory, keeps its lease and its deadline, saves
its checkpoints and ends it. Everything here lives as long as the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.append_writer import GroupCommitWriter
from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.events.ledger.budget_store import DayLimits
from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.events.ledger.ledger import CallLine, CallLines, record_call_now
from core.agentscope.events.pipeline import AgentScopeEventPipeline
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.status_sql import status_text
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.runtime.agent.agent_kits import AgentKits
from core.agentscope.runtime.agent.thread_memory import ThreadMemory, first_memory, load_memory
from core.agentscope.runtime.agent.titles import TitleWriter
from core.agentscope.runtime.agent_route_runtime import AgentRouteRuntime, Orchestrator
from core.agentscope.runtime.model.file_contents import LoadFiles
from core.agentscope.runtime.orchestrator import AgentScopeOrchestrator, RunTask
from core.agentscope.runtime.profile.profile import Limits
from core.agentscope.runtime.profile.run_budget import EXPIRY_GRACE_SECONDS, RunBudget, UserAccount
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.runtime.work.checkpoint_saver import CheckpointSaver
from core.agentscope.runtime.work.leases import ClaimedRun, Heartbeat
from core.agentscope.runtime.work.run_ending import RunEnding
from core.agentscope.runtime.work.run_span import RunSpan, run_span
from core.agentscope.schemas.agent_runtime import CLAIMS, RunCommand
from core.agentscope.schemas.internal_events import ModelUsage
from core.agentscope.schemas.messages import Message
from core.agentscope.tools.spec import ToolContext
from core.config import Settings
from core.errors import LeaseLost, RunFailure, StoreUnavailable
from core.files.contents import FileContents
from core.outage import through_outage

log = structlog.get_logger(__name__)

_RELEASE = status_text("""
UPDATE agent_run SET status = {queued}, lease_until = NULL, worker_id = NULL,
    -- The attempt stays used: were its number given again, whatever of it still comes would pass the fence.
    released = released + 1, next_hint_at = clock_timestamp()
WHERE id = :run_pk AND attempt = :attempt AND status = {running} AND last_seq <= 1
RETURNING id
""")


@dataclass(frozen=True, slots=True)
class RunServices:
    """What the runs of a worker process share."""

    kits: AgentKits
    engine: AsyncEngine
    lines: CallLines
    heartbeat: Heartbeat
    writer: GroupCommitWriter
    ending: RunEnding
    titles: TitleWriter
    settings: Settings
    files: FileContents | None = None


class RunScope:
    """The resources of one claimed run, and the callbacks of its runtime.

    Args:
        run: Claimed by this process.
        stop: Set when the run should stop.
        services: Of the process.
        begun: Called when a first model call may be sent.
    """

    def __init__(
        self, run: ClaimedRun, stop: StopSignal, services: RunServices, begun: Callable[[], None]
    ) -> None:
        self._run = run
        self._owned = run.owned
        self._stop = stop
        self._services = services
        self._claims: dict[str, Any] = {}
        self._span = RunSpan()
        self._outage_seconds = services.settings.worker.outage_seconds
        self._appender = services.writer.open(run.owned, self._stopped_by_writer)
        self._appender.accepted_at = asyncio.get_running_loop().time() - run.age_seconds
        self._checkpoints = CheckpointSaver(services.engine, run.owned)
        self._calls_ahead = CallsAhead(
            services.lines, run.owned, run.principal, outage_seconds=self._outage_seconds, begun=begun
        )
        self._pipeline = AgentScopeEventPipeline(
            RunWireState(run.thread_id, run.run_id, started=run.owned.last_seq > 0),
            self._appender,
            end_run=self.end_after_checkpoints,
            record_calls=self.record,
        )

    async def execute(self) -> None:
        """Execute the run to its end; returns without an end when the run is no longer ours.

        Raises:
            pydantic.ValidationError: The run's input cannot be read. The reaper gives the run to another worker.
            StoreUnavailable: Postgres was unavailable for too long; the reaper ends the run.
        """
        # First of all: a run whose input cannot be read (a newer API wrote it) must not be kept alive.
        command = self._command()
        with run_span(self._run, command, self._agent_name) as self._span:
            await self._execute(command)

    def _agent_name(self) -> str | None:
        kit = self._services.kits.find(self._owned.agent_id)
        return None if kit is None else kit.profile.name

    async def _execute(self, command: RunCommand) -> None:
        runtime = AgentRouteRuntime(self.prepare, self._pipeline, self._stop, release=self.release)
        try:
            with self._watched():
                await self._run_to_end(runtime, command)
        finally:
            await self._checkpoints.settle()
            # A run that was taken away has no end of ours to wait for them.
            await self._pipeline.settle()
            if (trace := self._appender.trace) is not None:
                trace.record(asyncio.get_running_loop().time())

    async def _run_to_end(self, runtime: AgentRouteRuntime, command: RunCommand) -> None:
        try:
            await runtime.run(command)
        except StoreUnavailable:
            raise
        except RunFailure as exc:
            await self._fail(exc)
        except Exception as exc:
            log.exception("run_end_failed")
            await self._fail(exc)
        else:
            if (failure := self._broken_by()) is not None:
                await self._fail(failure)

    async def prepare(self, command: RunCommand) -> Orchestrator:
        """Load what the run needs, and return its orchestrator.

        Raises:
            AgentMissing: The run's agent was taken away since the run was accepted.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
        """
        memory = await self._memory(command)
        kit = self._services.kits.get(self._owned.agent_id)
        self._checkpoints.begin(memory.stored_parts)
        mcp_tools = await kit.tools_for(self._run.principal)
        context = ToolContext(self._run.principal, self._run.thread_id, self._run.run_id, tool_call_id="")
        return AgentScopeOrchestrator(
            kit.for_run(
                budget=self._budget(kit.profile.limits),
                calls_ahead=self._calls_ahead,
                announce=self._pipeline.emit,
                files=self._load_files(),
                mcp_tools=mcp_tools,
                decided=[call.tool_name for call in memory.gated_calls],
            ),
            RunTask(command, context, memory, self._claims),
            emit=self._pipeline.emit,
            durable=self._pipeline.durable,
            save=self.save,
            stop=self._stop,
        )

    async def _memory(self, command: RunCommand) -> ThreadMemory:
        fresh_ids = [message.id for message in _answerable(command)]
        shown = command.options().messages_snapshot != "never"
        if not shown and (empty := first_memory(self._owned, command)) is not None:
            return empty
        room = self._services.settings.worker.max_event_bytes if shown else 0
        return await through_outage(
            lambda: load_memory(self._services.engine, self._owned, fresh_ids, history_bytes=room),
            seconds=self._outage_seconds,
            what="memory",
        )

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the agent's state in the background."""
        # All that came before it has been emitted; what comes after it the state does not know.
        self._checkpoints.save(replace(checkpoint, message_ids=self._pipeline.message_ids))

    async def end_after_checkpoints(self, end: RunEnd) -> None:
        """Write T-end. See ``RunEnding.write``."""
        # T-end writes the newest state itself; an older copy must not land beside it.
        await self._checkpoints.settle()
        if end.checkpoint is not None:
            end = replace(end, checkpoint=self._checkpoints.difference(end.checkpoint))
        await self._calls_ahead.settle()
        await self._services.ending.write(self._owned, end)
        self._span.ended(end)
        self._services.titles.ended(self._owned, self._run.principal, end)

    async def record(self, usages: Sequence[ModelUsage]) -> None:
        """Put model calls into the ledger as they end."""
        for usage in usages:
            line = CallLine(self._owned, self._run.principal, usage)
            if self._day_limits().any or not await self._services.lines.record(line):
                await record_call_now(self._services.engine, self._owned, self._run.principal, usage)

    async def release(self) -> bool:
        """Give a run that showed nothing back to the queue; False when that is not possible any more."""
        # Nothing of ours may land after another worker has begun.
        await self._appender.take()
        async with self._services.engine.begin() as connection:
            key = {"run_pk": self._owned.run_pk, "attempt": self._owned.attempt}
            row = (await connection.execute(_RELEASE, key)).one_or_none()
        return row is not None

    def _load_files(self) -> LoadFiles | None:
        files = self._services.files
        return None if files is None else partial(files.load, self._run.principal)

    def _command(self) -> RunCommand:
        run = self._run
        names = {"thread_id": run.thread_id, "run_id": run.run_id, "parent_run_id": run.parent_run_id}
        given = orjson.loads(run.input)
        self._claims = given.pop(CLAIMS, None) or {}
        return RunCommand.model_validate(given).model_copy(update=names)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep the lease, and stop the run at its deadline."""
        unwatch = self._services.heartbeat.watch(self._owned, self._stop.set)
        seconds_left = max(self._run.seconds_left, 0)
        deadline = asyncio.get_running_loop().call_later(seconds_left, self._stop.set, "deadline")
        try:
            yield
        finally:
            deadline.cancel()
            unwatch()

    def _stopped_by_writer(self) -> None:
        """Tell a fence (the writer failed the run) from a cancel that the append saw."""
        self._stop.set("user" if self._appender.failure is None else "lost")

    def _broken_by(self) -> Exception | None:
        """Tell a run whose events no database takes from one that is not ours, or that Postgres left."""
        failure = self._appender.failure
        return None if isinstance(failure, LeaseLost | StoreUnavailable) else failure

    async def _fail(self, cause: Exception) -> None:
        try:
            await self._services.ending.fail(self._run, cause)
        except LeaseLost:
            log.warning("run_lost", run_id=self._run.run_id)

    def _budget(self, limits: Limits) -> RunBudget:
        day = self._day_limits()
        account = UserAccount(
            self._services.engine,
            self._run.principal,
            day,
            self._owned.run_pk,
            expire_seconds=max(self._run.seconds_left, 0) + EXPIRY_GRACE_SECONDS,
            outage_seconds=self._outage_seconds,
        )
        return RunBudget(
            limits,
            account if day.any else None,
            output_tokens=self._services.settings.limits.reserved_output_tokens,
        )

    def _day_limits(self) -> DayLimits:
        limits = self._services.settings.limits
        return DayLimits(limits.user_tokens_per_day, limits.user_cost_per_day)


def _answerable(command: RunCommand) -> list[Message]:
    last_answer = max(
        (place for place, message in enumerate(command.messages) if message.role == "assistant"), default=-1
    )
    return list(command.messages[last_answer + 1 :])
