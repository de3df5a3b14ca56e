"""A worker whose every step a test decides: it claims, appends, shows and ends a run, or stops anywhere between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.stack import Stack

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import AppendBatch
from core.agentscope.events.ending import end_and_promote
from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.events.redis_bus import RedisBus, channel_name, stream_key
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.leases import ClaimedRun, Leases
from core.agentscope.runtime.work.reaper import Reaper
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.agentscope.schemas.internal_events import RunFailed, RunFinished, RunStarted, TextDelta, TextEnded
from core.broker import create_broker
from core.config import Settings
from core.database import create_engine
from core.errors import LeaseLost
from core.identity import Principal
from core.redis_client import create_redis
from core.store_clock import StoreClock
from models import AgentChatSession, AgentRun

Shown = Literal["all", "stream", "bell", "nothing"]
"""What of a flush reaches Redis: the stream, the doorbell, both, or nothing."""


class ManualWorker:
    """Open it with ``manual_worker``."""

    def __init__(
        self, settings: Settings, engine: AsyncEngine, redis: Redis, store: PostgresAppendStore
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.redis = redis
        self.store = store
        self.bus = RedisBus(redis, settings.redis)
        self.leases = Leases(engine, settings, "manual", StoreClock())

    async def claim(self, run_pk: int) -> ManualRun | None:
        """Claim a queued run; ``None`` when it is not to be had."""
        claimed = await self.leases.claim(run_pk)
        return None if claimed is None else ManualRun(self, claimed)

    async def live_run(self, principal: Principal, thread_id: str) -> int:
        """Return the row of the thread's live run, which there has to be."""
        query = (
            select(AgentRun.id)
            .join(AgentChatSession, AgentChatSession.id == AgentRun.session_id)
            .where(
                AgentChatSession.tenant_id == principal.tenant_id,
                AgentChatSession.user_id == principal.user_id,
                AgentChatSession.thread_id == thread_id,
                AgentRun.status.in_(("queued", "running")),
            )
        )
        async with self.engine.connect() as connection:
            return (await connection.execute(query)).scalar_one()

    async def show(self, batch: StreamBatch, shown: Shown = "all") -> None:
        """Put durable events into Redis, or only a part of what belongs there."""
        redis = self.settings.redis
        if shown == "all":
            await self.bus._send([batch])
        elif shown == "stream":
            for place, payload in enumerate(batch.payloads):
                entry_id = f"{batch.ordinal}-{batch.first_seq + place}"
                await self.redis.xadd(stream_key(redis, batch.session_id), {"p": payload}, id=entry_id)
        elif shown == "bell":
            message = "\n".join([f"{batch.ordinal} {batch.first_seq}", *batch.payloads])
            await self.redis.publish(channel_name(redis, batch.session_id), message)


class ManualRun:
    """A claimed run."""

    def __init__(self, worker: ManualWorker, claimed: ClaimedRun) -> None:
        self.owned = claimed.owned
        self.claimed = claimed
        self.last_seq = claimed.owned.last_seq
        """Where this worker believes the log to stand."""
        self._worker = worker
        self._state = RunWireState(claimed.thread_id, claimed.run_id, started=claimed.owned.last_seq > 0)
        self._fold = HistoryFold()

    async def start(self, shown: Shown = "all") -> None:
        """Write ``RUN_STARTED``."""
        started = RunStarted(thread_id=self.claimed.thread_id, run_id=self.claimed.run_id)
        await self.write(started, shown=shown)

    async def say(self, *words: str, message_id: str = "m-1", shown: Shown = "all") -> None:
        """Write words of a message in one flush, each an event of its own; leaves the message open."""
        await self.write(*(TextDelta(message_id=message_id, delta=word) for word in words), shown=shown)

    async def write(self, *events: InternalRuntimeEvent, shown: Shown = "all") -> None:
        """Append events in one flush, then show them.

        Raises:
            LeaseLost: The run is not this worker's any more; nothing was written.
        """
        await self.append(self._encode(*events), shown)

    async def append(self, wire: Sequence[AgUiWireEvent], shown: Shown = "all") -> None:
        """As ``write``, with wire events."""
        batch = AppendBatch(
            self.owned.run_pk,
            self.owned.session_id,
            self.owned.ordinal,
            self.owned.attempt,
            self.last_seq,
            [event.type for event in wire],
            [event.to_json() for event in wire],
        )
        result = (await self._worker.store.append([batch])).get(batch.claim)
        if result is None:
            raise LeaseLost
        self.last_seq = result.base + len(wire)
        flush = StreamBatch(batch.session_id, batch.ordinal, result.base + 1, batch.payloads)
        await self._worker.show(flush, shown)

    async def finish(self, event: RunFinished | RunFailed | None = None, shown: Shown = "all") -> None:
        """Close the open message and end the run.

        Raises:
            LeaseLost: The run is not this worker's any more; nothing was written.
        """
        event = event or RunFinished()
        wire = self._encode(event)
        failed = isinstance(event, RunFailed)
        end = RunEnd(
            status="failed" if failed else _STATUS[event.outcome],
            events=wire,
            messages=self._fold.snapshot(),
            error_code=event.code if failed else None,
            interrupts=() if failed or event.outcome != "interrupt" else tuple(self._state.interrupts),
        )
        async with self._worker.engine.begin() as connection:
            ended = await end_and_promote(connection, self.owned, end)
        for batch in ended.shown:
            await self._worker.show(batch, shown)

    async def end_message(self, message_id: str = "m-1", **metadata: Any) -> None:
        """Close a message."""
        await self.write(TextEnded(message_id=message_id, metadata=metadata or None))

    def _encode(self, *events: InternalRuntimeEvent) -> list[AgUiWireEvent]:
        wire = [item for event in events for item in to_agui_wire(event, self._state, timestamp_ms=1)]
        for item in wire:
            self._fold.apply(item)
        return wire


_STATUS: dict[str, Any] = {"success": "succeeded", "cancelled": "cancelled", "interrupt": "interrupted"}


@asynccontextmanager
async def manual_worker(settings: Settings) -> AsyncIterator[ManualWorker]:
    """Open a worker over the stores of these settings."""
    engine = create_engine(settings.database, application_name="agentroute-manual")
    redis = create_redis(settings.redis)
    store = PostgresAppendStore(settings.database, lease_seconds=settings.worker.lease_seconds)
    try:
        yield ManualWorker(settings, engine, redis, store)
    finally:
        await store.close()
        await redis.aclose(close_connection_pool=True)
        await engine.dispose()


@asynccontextmanager
async def manual_reaper(
    settings: Settings, *, turns: Callable[[ManualWorker], Turns] | None = None
) -> AsyncIterator[Reaper]:
    """Open a reaper that does only what it is told, on connections of its own.

    Args:
        settings: Of its stores.
        turns: Makes its turns; without it, it hears nothing of others.
    """
    async with manual_worker(settings) as worker:
        broker = create_broker(settings.redis)
        hints = HintSender(broker, worker.redis, settings.redis)
        try:
            yield Reaper(
                worker.engine,
                hints,
                worker.bus,
                settings,
                start_run=lambda *_run: False,
                turns=None if turns is None else turns(worker),
            )
        finally:
            await broker.shutdown()


@dataclass
class Scene:
    """An API process, and a worker that does what the test says."""

    stack: Stack
    worker: ManualWorker

    async def claimed(self, thread: str) -> ManualRun:
        """Start a run and claim it; its first event is committed."""
        reply = await self.stack.post_run("hello", thread=thread)
        assert reply.status == 202, reply.body
        run = await self.worker.claim((await self.stack.runs(thread))[-1]["id"])
        assert run is not None
        await run.start()
        return run
