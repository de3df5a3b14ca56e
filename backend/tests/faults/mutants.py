"""The service with one promise broken on purpose, so that the checker can prove it would notice.

A mutant is applied inside a process that is about to start, and lives nowhere
else: the product has no switch for any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events import append_store, hub, reader, run_end, store
from core.agentscope.events.append_writer import AppendBatch, GroupCommitWriter, RunAppender
from core.agentscope.events.ending import Ended
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.owned_run import Claim, StreamBatch
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.runtime.agent import toolkit
from core.agentscope.runtime.stop_signal import StopReason
from core.agentscope.runtime.work import leases, reaper, run_ending


def apply_mutant(name: str) -> None:
    """Break this process.

    Raises:
        KeyError: There is no such mutant.
    """
    MUTANTS[name]()


def _without(source: object, *parts: tuple[str, str]) -> str:
    """Return a statement with parts replaced; fails when the product no longer says it this way."""
    changed = str(source)
    for part, other in parts:
        if part not in changed:
            raise AssertionError(f"the mutant does not fit any more: {part!r} is not in {changed}")
        changed = changed.replace(part, other)
    return changed


def no_fence() -> None:
    """Appends go through for whoever sends them, and nobody tells a worker that it lost a run."""
    append_store._APPEND = _without(
        append_store._APPEND,
        (" AND r.attempt = f.attempt AND r.status = 'running' AND r.last_seq = f.base", ""),
        (
            "lease_until = clock_timestamp() +",
            "lease_until = CASE WHEN r.status = 'running' THEN clock_timestamp() END +",
        ),
    )
    tell = leases.Heartbeat._tell

    def tell_all_but_losses(
        self: leases.Heartbeat, key: tuple[int, int], on_signal: leases.OnSignal, reason: StopReason
    ) -> None:
        if reason != "lost":
            tell(self, key, on_signal, reason)

    leases.Heartbeat._tell = tell_all_but_losses


def split_end() -> None:
    """The last events are committed on their own, before the rest of the end."""
    insert = run_end._insert_events

    async def insert_elsewhere(connection: Any, *rest: Any) -> None:
        async with connection.engine.begin() as other:
            await insert(other, *rest)

    run_end._insert_events = insert_elsewhere
    run_ending.__dict__["may_be_usual"] = lambda _end: False


def publish_first() -> None:
    """Events are shown before they are committed."""
    commit = GroupCommitWriter._commit

    async def publish_and_commit(
        self: GroupCommitWriter,
        batches: dict[Claim, AppendBatch],
        appenders: dict[Claim, RunAppender],
        *,
        unknown: bool = False,
    ) -> None:
        publisher = self._publisher
        assert isinstance(publisher, RedisBus)
        await publisher._send(
            [
                StreamBatch(batch.session_id, batch.ordinal, appenders[claim].last_seq + 1, batch.payloads)
                for claim, batch in batches.items()
            ]
        )
        await commit(self, batches, appenders, unknown=unknown)

    GroupCommitWriter._commit = publish_and_commit


def no_gap_rule() -> None:
    """A reader takes whatever comes next, also when something is missing before it."""
    after = hub.Tail.after

    def after_any(self: hub.Tail, position: Any, *, at_end_of_run: bool) -> list[Envelope]:
        if live := after(self, position, at_end_of_run=at_end_of_run):
            return live
        return [item for item in self._window if (item.ordinal, item.seq) > (position.ordinal, position.seq)]

    async def any_from_redis(self: reader.ThreadReader) -> list[Envelope]:
        return await self._bus.read(self._session_id, self._position, self._settings.page_events)

    hub.Tail.after = after_any
    reader.ThreadReader._from_redis = any_from_redis


def claim_any() -> None:
    """A run is claimed whatever its status is."""
    leases._FIND_QUEUED = _without(leases._FIND_QUEUED, (" AND status = 'queued'", ""))
    leases._CLAIM = (
        _without(leases._CLAIM, (" AND r.status = 'queued' AND r.attempt - r.released < $5", ""))
        # The driver refuses a parameter that nothing uses.
        .replace("s.id = r.session_id", "s.id = r.session_id AND $5::int > 0", 1)
    )


def any_tenant() -> None:
    """A thread is found for whoever asks, and its tail with it."""
    store._THREAD = _without(
        store._THREAD,
        ("s.tenant_id = $1 AND s.user_id = $2 AND", "$1::text <> $2::text || '-' AND"),
    )


def blind_retry() -> None:
    """An append of unknown outcome is sent again without a look, and nothing says where it belongs."""

    async def believe_nothing(
        self: GroupCommitWriter, batches: dict[Claim, AppendBatch], appenders: dict[Claim, RunAppender]
    ) -> bool:
        await asyncio.sleep(0)
        return True

    append_store._APPEND = _without(append_store._APPEND, (" AND r.last_seq = f.base", ""))
    setattr(GroupCommitWriter, "_settle", believe_nothing)  # noqa: B010  a mutant on purpose


def requeue_any() -> None:
    """The reaper takes every lost run for one that showed nothing."""
    end_lost = reaper.Reaper._end_lost

    class Pristine:
        def __init__(self, run: Any) -> None:
            self._run = run
            self.last_seq = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._run, name)

    async def end_pristine(
        self: reaper.Reaper,
        found: Any,
        connection: AsyncConnection,
        run: Any,
        thread_id: str,
        now: datetime,
        *,
        dead_worker: str | None = None,
        rescue: bool = False,
    ) -> Ended | None:
        pristine: Any = Pristine(run)
        return await end_lost(
            self, found, connection, pristine, thread_id, now, dead_worker=dead_worker, rescue=rescue
        )

    reaper.Reaper._end_lost = end_pristine


def no_gate() -> None:
    """A tool acts at once, whether its call is durable or not."""

    async def enter_at_once(self: toolkit.ToolGate, tool_call_id: str) -> bool:
        await asyncio.sleep(0)
        return self.calls.take()

    toolkit.ToolGate.enter = enter_at_once


MUTANTS: dict[str, Callable[[], None]] = {
    "no-fence": no_fence,
    "split-end": split_end,
    "publish-first": publish_first,
    "no-gap-rule": no_gap_rule,
    "claim-any": claim_any,
    "any-tenant": any_tenant,
    "blind-retry": blind_retry,
    "requeue-any": requeue_any,
    "no-gate": no_gate,
}
