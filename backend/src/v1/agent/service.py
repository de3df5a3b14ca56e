"""Starts and stops runs: adds missing ids, checks limits, calls the ports, adds the links to the answers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable

import structlog

from core.agentscope.runtime.accept.rated import RatedAcceptance
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    AcceptedTaskResponse,
    RunCommand,
    RunStatus,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.links import events_url, history_url
from core.config import LimitSettings, RateSettings
from core.crash_points import crash_point
from core.errors import NotFound, RunAlreadyFinished
from core.identity import Principal
from core.log import note_request
from core.rates.rate_limits import RateLimits
from core.webhooks.run_webhook import RunWebhook
from v1.agent.checked_command import CheckedCommand
from v1.agent.expiring_stream import until_expiry
from v1.agent.open_streams import OpenStreams
from v1.agent.ports import EventsFacade, RunGateway
from v1.agent.stopping_stream import StoppingStream
from v1.agent.worker_watch import WorkerWatch

_LEAVING_SECONDS = 5.0

log = structlog.get_logger(__name__)


class AgentService:
    """The work of the routes that write, without HTTP. Routes that only read call their port directly."""

    def __init__(
        self,
        *,
        runtime: RunGateway,
        events: EventsFacade,
        limits: LimitSettings | None = None,
        draining: Callable[[], bool] = lambda: False,
        workers: WorkerWatch | None = None,
        streams: OpenStreams | None = None,
        rates: RateLimits | None = None,
    ) -> None:
        self._runtime = runtime
        self._events = events
        self._draining = draining
        self._workers = workers
        self._streams = streams
        self._acceptance = RatedAcceptance(runtime, rates or RateLimits(RateSettings()))
        self._leaving: set[asyncio.Task[None]] = set()
        self.limits: LimitSettings = limits or LimitSettings()

    async def enqueue_run(
        self,
        principal: Principal,
        checked: CheckedCommand,
        idempotency_key: str | None = None,
        *,
        webhook: RunWebhook | None = None,
    ) -> AcceptedTaskResponse:
        """Make a run durable and return where to follow it.

        The same key and body always return the same run, which is never executed twice. A :class:`ResumeCommand`
        answers the open interrupts of the thread.

        Args:
            principal: Who asks.
            checked: What to run; missing thread and run ids are created here.
            idempotency_key: If given, used as the key in place of the run id.
            webhook: Where the end of the run is told.

        Raises:
            AgentBackendError: As :meth:`RunGateway.accept`.
        """
        accepted = await self._accept(principal, checked, idempotency_key, webhook)
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
        self,
        principal: Principal,
        checked: CheckedCommand,
        idempotency_key: str | None = None,
        *,
        last_seen: Cursor | None = None,
        webhook: RunWebhook | None = None,
    ) -> AsyncIterator[bytes] | None:
        """Make a run durable and return its event stream, from its first event.

        All errors are raised before the iterator exists. Closing the stream stops the run only if the command requests
        this (``onDisconnect: "cancel"``).

        Args:
            principal: Who asks.
            checked: What to run; as in :meth:`enqueue_run`.
            idempotency_key: If given, used as the key in place of the run id.
            last_seen: If the request is a repeat, the last event of the run that the client has seen: the stream goes
                on from there. A cursor of an earlier run counts as absent.
            webhook: As in :meth:`enqueue_run`.

        Returns:
            ``None`` if the run has ended and has no events after ``last_seen``.

        Raises:
            AgentBackendError: As :meth:`enqueue_run` and :meth:`EventsFacade.follow`.
        """
        accepted = await self._accept(principal, checked, idempotency_key, webhook)
        frames = await self._stream_of(principal, accepted, checked.command, last_seen)
        if frames is None:
            return None
        # Inside the stopping stream: a token that expires does not mean that its user has left.
        frames = until_expiry(frames, principal, self._streams)
        if checked.command.options().on_disconnect != "cancel":
            return frames
        return StoppingStream(frames, lambda: self._left(principal, accepted))

    async def cancel(self, principal: Principal, thread_id: str, run_id: str) -> RunStatus:
        """Ask a run to stop and return its status at that moment.

        Raises:
            NotFound, RunAlreadyFinished: As :meth:`RunGateway.cancel`.
        """
        return await self._runtime.cancel(principal, thread_id, run_id)

    async def aclose(self) -> None:
        """Wait until the runs of disconnected clients were asked to stop."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_LEAVING_SECONDS)

    async def _stream_of(
        self, principal: Principal, accepted: AcceptedRun, command: RunCommand, last_seen: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        if accepted.created:
            return self._events.follow_new(principal, accepted, protocol_version=command.protocol_version)
        start = _start(accepted)
        if last_seen is not None and (start is None or last_seen > start):
            start = last_seen
        return await self._events.follow(principal, accepted.thread_id, run_id=accepted.run_id, cursor=start)

    def _left(self, principal: Principal, accepted: AcceptedRun) -> None:
        """Stop the run of a client that disconnected, unless the process disconnected the client because it stops."""
        if self._draining():
            return
        # A task of its own: the stream's is being cancelled.
        task = asyncio.create_task(self._stop_left(principal, accepted))
        self._leaving.add(task)
        task.add_done_callback(self._stopped)

    async def _stop_left(self, principal: Principal, accepted: AcceptedRun) -> None:
        # The run may have just ended; an interrupt at its end then stays open.
        with contextlib.suppress(RunAlreadyFinished, NotFound):
            await self._runtime.cancel(principal, accepted.thread_id, accepted.run_id, withdraw=False)
            log.info("run_left", run_id=accepted.run_id, thread_id=accepted.thread_id)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("run_left_running", exc_info=error)

    async def _accept(
        self,
        principal: Principal,
        checked: CheckedCommand,
        idempotency_key: str | None,
        webhook: RunWebhook | None,
    ) -> AcceptedRun:
        command = checked.command
        complete = command.model_copy(
            update={
                "thread_id": command.thread_id or f"thread-{uuid.uuid4().hex}",
                "run_id": command.run_id or f"run-{uuid.uuid4().hex}",
            }
        )
        note_request(thread_id=complete.thread_id, run_id=complete.run_id)
        key, digest = idempotency_key or complete.run_id or "", checked.request_hash
        accepted = await self._acceptance.accept(
            principal, complete, idempotency_key=key, request_hash=digest, webhook=webhook
        )
        if self._workers is not None and accepted.created:
            self._workers.note(accepted.thread_id, accepted.run_id)
        return accepted


def _start(accepted: AcceptedRun) -> Cursor | None:
    """Return the cursor before the run's first event; a waiting run has no cursor yet."""
    return None if accepted.ordinal is None else Cursor(accepted.ordinal, 0)
