"""One run from its first event to its last: exactly one terminal event, whatever happens between.

The orchestrator returns how a successful run ends. Every other end (a failure, a stop, a lost lease) is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.stop_signal import RunStopped, StopSignal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent, RunCommand
from core.agentscope.schemas.internal_events import RunFailed, RunFinished, RunStarted
from core.crash_points import crash_point
from core.errors import AgentBackendError, LeaseLost, RunTimeout, WorkerShutdown

log = structlog.get_logger(__name__)


class Orchestrator(Protocol):
    """Goes through a run's stages."""

    async def run(self) -> RunFinished: ...

    def checkpoint(self) -> Checkpoint | None: ...


class Pipeline(Protocol):
    """Where a run's events go."""

    @property
    def visible(self) -> bool: ...

    async def emit(self, event: InternalRuntimeEvent) -> None: ...

    async def finish(self, event: RunFinished | RunFailed, checkpoint: Checkpoint | None = None) -> None: ...


class AgentRouteRuntime:
    """Executes one claimed run.

    Args:
        prepare: Loads what the run needs and returns its orchestrator. Called after ``RUN_STARTED`` was emitted,
            so the user sees the run start before the loading is done.
        pipeline: Codec, store and bus of this run.
        stop: Says when and why the run should stop.
        release: Returns a run that showed nothing to the queue; False when that is no longer possible.
    """

    def __init__(
        self,
        prepare: Callable[[RunCommand], Awaitable[Orchestrator]],
        pipeline: Pipeline,
        stop: StopSignal,
        *,
        release: Callable[[], Awaitable[bool]],
    ) -> None:
        self._prepare = prepare
        self._pipeline = pipeline
        self._stop = stop
        self._release = release
        self._orchestrator: Orchestrator | None = None

    async def run(self, command: RunCommand) -> None:
        """Execute the run to its end; returns without a terminal event when another process has the run now.

        Raises:
            StoreUnavailable: Postgres was unavailable for too long; the reaper ends the run.
        """
        try:
            end = await self._run(command)
            if end is not None:
                await self._pipeline.finish(end, self._checkpoint())
        except LeaseLost:
            # Another worker or the reaper owns the run now. Only that process may write its end.
            log.warning("run_lost", run_id=command.run_id)

    async def _run(self, command: RunCommand) -> RunFinished | RunFailed | None:
        try:
            await self._pipeline.emit(
                RunStarted(
                    thread_id=command.thread_id or "",
                    run_id=command.run_id or "",
                    parent_run_id=command.parent_run_id,
                )
            )
            crash_point("run-started")
            self._orchestrator = await self._stop.guard(self._prepare(command))
            return await self._orchestrator.run()
        except LeaseLost:
            raise
        except RunStopped:
            return await self._stopped()
        except AgentBackendError as exc:
            log.warning("run_failed", run_id=command.run_id, code=exc.code)
            return RunFailed(code=exc.code, message=exc.detail)
        except Exception:
            if self._stop.is_set:
                # A failure while the run is being stopped is a consequence of the stop.
                return await self._stopped()
            log.exception("run_failed", run_id=command.run_id, code="internal-error")
            return RunFailed(code="internal-error", message="The run failed with an internal error.")

    async def _stopped(self) -> RunFinished | RunFailed | None:
        match self._stop.reason:
            case "user":
                return RunFinished(outcome="cancelled")
            case "deadline":
                return RunFailed(code=RunTimeout.code, message="The run exceeded its time limit.")
            case "shutdown":
                if not self._pipeline.visible and await self._release():
                    return None
                return RunFailed(
                    code=WorkerShutdown.code,
                    message="The server was stopped during this run. Start a new run.",
                )
            case _:
                raise LeaseLost

    def _checkpoint(self) -> Checkpoint | None:
        return None if self._orchestrator is None else self._orchestrator.checkpoint()
