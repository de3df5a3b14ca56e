"""Starts and stops runs: fills in ids, checks what HTTP cannot, asks the ports, writes the links."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable

import structlog

from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    AcceptedTaskResponse,
    RunCommand,
    RunOptions,
    RunStatus,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.links import events_url, history_url
from core.config import LimitSettings
from core.crash_points import crash_point
from core.errors import NotFound, RunAlreadyFinished
from core.identity import Principal
from core.json_body import canonical_hash
from core.validation import parse
from v1.agent.limits import check_limits, check_tools
from v1.agent.ports import EventsFacade, RunGateway
from v1.agent.stopping_stream import StoppingStream

_LEAVING_SECONDS = 5.0

log = structlog.get_logger(__name__)


class AgentService:
    """What the routes that change something do, without HTTP. Routes that read ask their port."""

    def __init__(
        self,
        *,
        runtime: RunGateway,
        events: EventsFacade,
        limits: LimitSettings | None = None,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._events = events
        self._draining = draining
        self._leaving: set[asyncio.Task[None]] = set()
        self.limits: LimitSettings = limits or LimitSettings()

    async def enqueue_run(
        self, principal: Principal, command: RunCommand, idempotency_key: str | None = None
    ) -> AcceptedTaskResponse:
        """Make a run durable and return where to follow it.

        The same key and body give the same run for ever; it is never executed
        twice. A :class:`ResumeCommand` answers the thread's open interrupts.

        Args:
            principal: Who asks.
            command: What to run; missing thread and run ids are made here.
            idempotency_key: Wins over the run id as the key, when given.

        Raises:
            LimitExceeded, InvalidRequest: The command brings too much, or an option it cannot have.
            AgentBackendError: As :meth:`RunGateway.accept`.
        """
        accepted = await self._accept(principal, command, idempotency_key)
        start = _start(accepted)
        crash_point("accept-answered")
        return AcceptedTaskResponse(
            task_id=accepted.task_id,
            thread_id=accepted.thread_id,
            run_id=accepted.run_id,
            status=accepted.status,
            events_url=events_url(accepted.thread_id, accepted.run_id),
            history_url=history_url(accepted.thread_id),
            cursor=None if start is None else str(start),
        )

    async def stream_run(
        self, principal: Principal, command: RunCommand, idempotency_key: str | None = None
    ) -> AsyncIterator[bytes] | None:
        """Make a run durable and return its event stream, from its first event.

        Everything is refused before the iterator exists. Leaving the stream stops
        the run only if the command says so (``onDisconnect: "cancel"``).

        Raises:
            AgentBackendError: As :meth:`enqueue_run` and :meth:`EventsFacade.follow`.
        """
        accepted = await self._accept(principal, command, idempotency_key)
        frames = await self._events.follow(
            principal, accepted.thread_id, run_id=accepted.run_id, cursor=_start(accepted)
        )
        if frames is None or command.options().on_disconnect != "cancel":
            return frames
        return StoppingStream(frames, lambda: self._left(principal, accepted))

    async def cancel(self, principal: Principal, thread_id: str, run_id: str) -> RunStatus:
        """Ask a run to stop and return its status at that moment.

        Raises:
            NotFound, RunAlreadyFinished: As :meth:`RunGateway.cancel`.
        """
        return await self._runtime.cancel(principal, thread_id, run_id)

    async def aclose(self) -> None:
        """Return when the runs of clients that have left were asked to stop."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_LEAVING_SECONDS)

    def _left(self, principal: Principal, accepted: AcceptedRun) -> None:
        """Stop the run of a client that has left; not of one that a stopping process sends away."""
        if self._draining():
            return
        # A task of its own: the stream's is being cancelled.
        task = asyncio.create_task(self._stop_left(principal, accepted))
        self._leaving.add(task)
        task.add_done_callback(self._stopped)

    async def _stop_left(self, principal: Principal, accepted: AcceptedRun) -> None:
        # It may have ended just now; then a question it ended with stays open.
        with contextlib.suppress(RunAlreadyFinished, NotFound):
            await self._runtime.cancel(principal, accepted.thread_id, accepted.run_id, withdraw=False)
            log.info("run_left", run_id=accepted.run_id, thread_id=accepted.thread_id)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("run_left_running", exc_info=error)

    async def _accept(
        self, principal: Principal, command: RunCommand, idempotency_key: str | None
    ) -> AcceptedRun:
        check_limits(command, self.limits)
        check_tools(command)
        parse(RunOptions, command.forwarded_props, prefix="/forwardedProps")
        # Hashed before ids are made: a client that repeats a request whose answer it
        # never got sends the same key and, again, no ids.
        request_hash = canonical_hash(command.wire())
        complete = command.model_copy(
            update={
                "thread_id": command.thread_id or f"thread-{uuid.uuid4().hex}",
                "run_id": command.run_id or f"run-{uuid.uuid4().hex}",
            }
        )
        return await self._runtime.accept(
            principal,
            complete,
            idempotency_key=idempotency_key or complete.run_id or "",
            request_hash=request_hash,
        )


def _start(accepted: AcceptedRun) -> Cursor | None:
    """Return the place before the run's first event; a waiting run has none yet."""
    return None if accepted.ordinal is None else Cursor(accepted.ordinal, 0)
