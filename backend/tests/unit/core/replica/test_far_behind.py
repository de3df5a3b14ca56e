"""Only readers that are far behind ask the replica: the question would cost the primary as much as a short page."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.gate import Gate
from core.replica.reasons import NotFromReplica, Reason
from core.replica.replica import Read, Replica


class AskedReplica(Replica):
    """Notes who asks, and never answers."""

    def __init__(self) -> None:
        engine = create_async_engine("postgresql+asyncpg://nowhere/")
        super().__init__(engine, engine)
        self.asked = 0

    def _require(self, read: Read, *, open_if: Collection[Reason | None]) -> None:
        assert read == "events"
        assert "behind" in open_if
        self.asked += 1
        raise NotFromReplica("resting")


@pytest.mark.parametrize(
    ("after", "upto", "asks"),
    [
        ("0-0", "0-0", False),
        ("3-5", "3-5", False),
        ("3-5", "2-900", False),
        ("3-5", "3-104", False),
        ("3-5", "3-105", True),
        ("3-50", "4-99", False),
        ("3-50", "4-100", True),
        ("3-50", "5-1", True),
        ("0-0", "2-1", True),
        # Over the beginning of an epoch.
        ("3-50", "1000001-5", True),
    ],
)
async def test_a_reader_asks_the_replica_if_it_lacks_a_page(after: str, upto: str, asks: bool) -> None:
    replica = AskedReplica()
    store = EventStore(replica._primary, Gate(1, 1.0), replica=replica)
    place = Cursor.parse(after)

    assert await store.replica_page(7, place, 100, 1 << 20, upto=Cursor.parse(upto)) == []
    assert replica.asked == int(asks)


async def test_without_a_replica_nothing_is_asked() -> None:
    store = EventStore(create_async_engine("postgresql+asyncpg://nowhere/"), Gate(1, 1.0))

    assert await store.replica_page(7, Cursor.START, 100, 1 << 20, upto=Cursor(9, 9)) == []
