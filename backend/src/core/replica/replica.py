"""The replica of a process: snapshots of it that are recent enough, and why there is none.

Rules:

1. Nobody trusts the replica. Each read first asks the primary how far it is, which takes no table of any size. A snapshot
   of the replica counts if every transaction has ended in it that could be seen at the primary, or if it was taken after
   the replica had replayed what the primary had written; on the history of the primary. So it has every commit that
   could be seen when the read began: its answer is one that the primary could have given.
2. The log of a thread needs less. It only grows at its end, so what an older snapshot has behind a cursor is right, and
   the rest is read from the primary. That the thread is still there, the primary says.
3. Whatever goes wrong ends in ``NotFromReplica``, and the caller reads from the primary. After a failure that is not of
   one read alone, nobody tries for a while: then ``run`` looks, not a user.
4. Transactions are read-only, and nothing that is read here decides about a write.

See docs/adr/0071.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, TypeVar

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.direct_sql import fetch
from core.errors import AgentBackendError
from core.gate import Gate
from core.metrics.catalogue import REPLICA_READS
from core.replica.place import LOOK_SQL, PLACE_SQL, Look, Place
from core.replica.reasons import PASSING, NotFromReplica, Reason, reason_of
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

Read = Literal["events", "export", "history", "search", "usage"]
"""What may come from the replica, as metrics call it."""
Found = TypeVar("Found")

LOOK_SECONDS = 1.0
"""How often ``run`` looks; varied, so that processes do not look together."""
MOST_REST_SECONDS = 30.0
"""After failures in a row, nobody looks for so long at most."""
_PAUSES = (0.0, 0.005, 0.01, 0.02)
"""What a read waits for a replica that is a moment behind, between its looks."""
_FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
_LOOK = text(LOOK_SQL)


class Replica:
    """The replica. Nobody uses it before the first look of :meth:`run`.

    Args:
        primary: The engine of the process.
        engine: Of the replica. Every wait on it is bounded.
        clock: Seconds.
    """

    def __init__(
        self, primary: AsyncEngine, engine: AsyncEngine, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._clock = clock
        self._closed: Reason | None = "resting"
        self._rests_until = float("-inf")
        self._failures = 0
        self._lag_seconds: float | None = None

    @property
    def state(self) -> Reason | None:
        """Why it is not used now; ``None`` if it is."""
        return self._closed

    @property
    def lag_seconds(self) -> float | None:
        """How old its newest commit was at the last look, if it lacked one; ``None`` if it did not say."""
        return self._lag_seconds

    @asynccontextmanager
    async def snapshot(self, read: Read) -> AsyncIterator[AsyncConnection]:
        """Open a snapshot that has every commit which could be seen before.

        What the database raises inside the context is ``NotFromReplica`` outside of it.

        Raises:
            NotFromReplica: The read has to be made at the primary.
            Exception: What the primary raises that is away or full, as the read itself would.
        """
        self._require(read, open_if={None})
        place = await self._ask()
        with self._counted(read):
            told = _told(place)
            async with self._engine.connect() as connection:
                await self._catch_up(connection, told)
                yield connection

    @asynccontextmanager
    async def log_snapshot(self, session_id: int, ordinal: int, gate: Gate) -> AsyncIterator[AsyncConnection]:
        """Open a snapshot in which the log of a thread is as it was at some time, or ends earlier. Else as ``snapshot``.

        Args:
            session_id: The thread, which is there, with the log from ``ordinal`` on.
            ordinal: The run of the reader's cursor.
            gate: What reads of streams pass on their way to the primary.

        Raises:
            NotFromReplica: The read has to be made at the primary.
            Overloaded: There was no place at the gate.
        """
        # However far behind: see rule 2.
        self._require("events", open_if={None, "behind"})
        async with gate:
            place = await self._ask(session_id, ordinal)
        with self._counted("events"):
            told = _told(place)
            if not told.is_kept:
                raise NotFromReplica("gone")
            async with self._engine.connect() as connection:
                await self._look(connection, told)
                yield connection

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            if self._clock() >= self._rests_until:
                await self.look()
            await asyncio.sleep(LOOK_SECONDS * _varied())

    async def look(self) -> None:
        """See whether the replica can be used now."""
        try:
            place = await self._ask()
        except _FAILURES:
            # The primary is away or full, which says nothing about the replica.
            return
        try:
            told = _told(place)
            async with self._engine.connect() as connection:
                await self._catch_up(connection, told)
        except _Behind as exc:
            self._close(exc.reason, exc)
            self._lag_seconds = exc.lag_seconds
        except NotFromReplica as exc:
            self._close(exc.reason, exc)
        except _FAILURES as exc:
            self._close(reason_of(exc), exc)
        else:
            self._lag_seconds = 0.0
            if self._closed is not None:
                log.info("replica_used", after=self._closed)
            self._closed = None

    def _require(self, read: Read, *, open_if: Collection[Reason | None]) -> None:
        if self._closed not in open_if:
            REPLICA_READS.add(read, "resting")
            raise NotFromReplica("resting")

    async def _ask(self, session_id: int | None = None, ordinal: int | None = None) -> Place | None:
        """Ask the primary for its place; ``None`` if it does not know such a question."""
        try:
            rows = await fetch(self._primary, PLACE_SQL, session_id, ordinal)
        except _FAILURES as exc:
            if is_store_failure(exc):
                raise
            log.warning("place_not_told", error=type(exc).__name__)
            return None
        return Place.of(rows[0]) if rows else None

    async def _look(self, connection: AsyncConnection, place: Place) -> Look:
        """Begin a transaction with a look at a replica that is on the history of the primary."""
        rows = (await connection.execute(_LOOK)).mappings().all()
        if not rows:
            raise NotFromReplica("other-schema")
        look = Look.of(rows[0])
        if not look.is_replica:
            raise NotFromReplica("promoted")
        if (look.epoch, look.began_at) != (place.epoch, place.began_at):
            raise NotFromReplica("other-history")
        if look.revision != place.revision:
            raise NotFromReplica("other-schema")
        return look

    async def _catch_up(self, connection: AsyncConnection, place: Place) -> None:
        """Leave the connection in a transaction whose snapshot has everything up to a place."""
        reached, lag_seconds = set[str](), 0.0
        for pause in _PAUSES:
            if pause:
                await asyncio.sleep(pause)
            for _ in range(2):
                look = await self._look(connection, place)
                # All that could be seen has ended in this snapshot; or the same server process had replayed it before
                # this snapshot was taken. What it says of its position now is newer than the snapshot.
                if look.complete_before >= place.visible_before or look.server in reached:
                    return
                await connection.rollback()
                if look.replayed < place.written:
                    lag_seconds = look.lag_seconds
                    break
                reached.add(look.server)
        raise _Behind(lag_seconds)

    @contextmanager
    def _counted(self, read: Read) -> Iterator[None]:
        try:
            yield
        except NotFromReplica as exc:
            self._leave(read, exc.reason, exc)
            raise
        except _FAILURES as exc:
            reason = reason_of(exc)
            self._leave(read, reason, exc)
            raise NotFromReplica(reason) from exc
        except AgentBackendError:
            # An answer, such as that there is no such thread.
            self._count_answer(read)
            raise
        else:
            self._count_answer(read)

    def _count_answer(self, read: Read) -> None:
        REPLICA_READS.add(read, "replica")
        self._failures = 0

    def _leave(self, read: Read, reason: Reason, error: Exception) -> None:
        REPLICA_READS.add(read, reason)
        if reason not in PASSING:
            self._close(reason, error)

    def _close(self, reason: Reason, error: Exception) -> None:
        """Use the replica no more until a look finds it in order."""
        changed, self._closed = self._closed != reason, reason
        if reason == "behind":
            # It comes and goes.
            if changed:
                log.info("replica_left_out", reason=reason)
            return
        if changed:
            cause = error.__cause__ or error
            log.warning("replica_left_out", reason=reason, error=type(cause).__name__)
        self._lag_seconds = None
        self._failures += 1
        rest = min(LOOK_SECONDS * 2.0 ** min(self._failures, 10), MOST_REST_SECONDS)
        self._rests_until = self._clock() + rest * _varied()


class _Behind(NotFromReplica):
    """The replica lacks something. ``lag_seconds``: the age of its newest commit."""

    def __init__(self, lag_seconds: float) -> None:
        super().__init__("behind")
        self.lag_seconds = lag_seconds


async def read_either(
    replica: Replica | None,
    read: Read,
    primary: AsyncEngine,
    work: Callable[[AsyncConnection], Awaitable[Found]],
) -> Found:
    """Read in a snapshot of the replica, or in a transaction of the primary if there is none.

    Args:
        replica: ``None``: the deployment has none.
        read: What it is, for metrics.
        primary: The engine, with the isolation that the read needs.
        work: Reads. It may be called twice.
    """
    if replica is not None:
        try:
            async with replica.snapshot(read) as connection:
                return await work(connection)
        except NotFromReplica:
            pass
    async with primary.connect() as connection:
        return await work(connection)


def _told(place: Place | None) -> Place:
    if place is None or not place.is_told:
        raise NotFromReplica("untold")
    return place


def _varied() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  not for security
