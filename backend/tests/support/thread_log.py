"""The log of a thread, its Redis tail and its hub, in memory: for tests of readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine

from core.agentscope.events.envelope import Envelope, first_bytes
from core.agentscope.events.hub import ThreadHub
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings, StreamSettings
from core.gate import Gate

SESSION = 7


class MemoryLog(EventStore):
    """Twin of the store's pages: what is appended is committed."""

    def __init__(self, events: Sequence[Envelope] = ()) -> None:
        super().__init__(create_async_engine("postgresql+asyncpg://nowhere/"), Gate(1, 1.0))
        self.events: list[Envelope] = list(events)
        self.reads: list[Cursor] = []
        self.failure: Exception | None = None

    async def page(self, session_id: int, after: Cursor, limit: int, max_bytes: int) -> list[Envelope]:
        assert session_id == SESSION
        self.reads.append(after)
        if self.failure is not None:
            raise self.failure
        following = [event for event in self.events if event.cursor > after][:limit]
        return first_bytes(following, max_bytes)


class MemoryTail(RedisBus):
    """Twin of the Redis stream: holds what it was given, and may have forgotten the rest."""

    def __init__(self, events: Sequence[Envelope] = ()) -> None:
        super().__init__(Redis(), RedisSettings())
        self.events: list[Envelope] = list(events)

    async def read(self, session_id: int, after: Cursor, count: int) -> list[Envelope]:
        return sorted(event for event in self.events if event.cursor > after)[:count]


class QuietHub(ThreadHub):
    """A hub without Redis: its readers are subscribed at once, and a test rings the bells itself."""

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__(Redis(), self._none_moved, self._first_epoch, RedisSettings(), settings)
        self.epoch.see(0)

    async def _none_moved(self, _known: Mapping[int, Cursor]) -> dict[int, Cursor | None]:
        return {}

    async def _first_epoch(self) -> int:
        return 0

    async def _subscribe(self, session_id: int) -> None:
        self._tails[session_id].subscribed.set()


def event(ordinal: int, seq: int, kind: str = "CUSTOM", **members: Any) -> Envelope:
    """Return an event in its place."""
    return Envelope(ordinal, seq, orjson.dumps({"type": kind, **members, "place": f"{ordinal}-{seq}"}))


def run(ordinal: int, length: int, *, ended: bool = True) -> list[Envelope]:
    """Return the events of one run, the last of them terminal if it has ended."""
    events = [event(ordinal, seq) for seq in range(1, length + 1)]
    if ended:
        events[-1] = event(ordinal, length, "RUN_FINISHED")
    return events


@st.composite
def logs(draw: st.DrawFn, *, ended: bool = False) -> list[Envelope]:
    """Logs of one to three runs; the last one may still be at work."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    last_ended = ended or draw(st.booleans())
    runs = [
        run(place, length, ended=place < len(lengths) or last_ended)
        for place, length in enumerate(lengths, start=1)
    ]
    return [item for events in runs for item in events]


def bells(log: Sequence[Envelope]) -> st.SearchStrategy[list[list[Envelope]]]:
    """Doorbell messages about a log: lost, repeated and out of order, each about one run."""

    def bell(start: int, length: int) -> list[Envelope]:
        return [item for item in log[start : start + length] if item.ordinal == log[start].ordinal]

    return st.lists(st.builds(bell, st.integers(0, len(log) - 1), st.integers(1, 6)), max_size=2 * len(log))
