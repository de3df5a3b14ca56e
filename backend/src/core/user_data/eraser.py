"""Erases users: everything that belongs to one, store by store, with a receipt.

Rules:

1. It begins with a row and a lock (``Erasures.begin``): from then on, nothing new of the user is written.
2. Every run of the user ends first, so that their workers are fenced. Then go the files (bytes, then rows), the threads
   with their logs, what belongs to the user alone, and what Redis knows. What model calls and transcriptions cost stays,
   booked for nobody.
3. Each step can be repeated, and counts what it removes in the transaction that removes it. So whoever dies in between,
   the next one goes on, and the receipt is complete. Two at once remove each thing once.
4. At the end, the tables are looked through for rows of the user. Only then it is over, and the row forgets who it was.

What the service wrote elsewhere is not reached: traces that an operator collects, backups, and what tools sent. See
docs/adr/0065.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.runtime.accept.threads import ThreadRemoval
from core.errors import FilesUnavailable, NotFound
from core.files.user_files import Noted
from core.identity import Principal
from core.store_failure import is_store_failure
from core.user_data.erasures import AskedBy, Erasure, Erasures, note
from core.user_data.redis_traces import RedisTraces
from core.user_data.rows import RowEraser
from core.user_data.tables import BOOKED, CONNECTIONS, FILES, OF_USER

log = structlog.get_logger(__name__)

_ROUNDS = 5
"""What a late writer leaves behind a step, the next round takes."""


class Threads(Protocol):
    """The threads of users: ``AgentThreads``."""

    async def end_runs(self, principal: Principal, thread_id: str) -> object: ...

    async def delete_thread(
        self, principal: Principal, thread_id: str, removal: ThreadRemoval | None = None
    ) -> None: ...


class Files(Protocol):
    """The files of users: ``FileLibrary``."""

    async def erase(self, principal: Principal, note: Noted) -> bool: ...


class Grants(Protocol):
    """The users' logins at other servers."""

    async def servers_of(self, principal: Principal) -> list[str]:
        """Return the servers to which a user is connected."""
        ...

    async def withdraw(self, principal: Principal, server: str) -> bool:
        """End a grant where it was given, best effort; returns whether it was taken back."""
        ...


class ErasureWaits(Exception):
    """A store does not answer, or an upload still writes. The erasure goes on later. ``store`` says what for."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.store = store


class Eraser:
    """Erases the users of a deployment.

    Args:
        erasures: The rows of erasures.
        threads: Ends runs and deletes threads.
        files: ``None`` if no file store is set.
        grants: Withdraws the users' logins.
        redis: What Redis knows.
        settle_seconds: After this time every process refuses the user's requests; only then Redis is looked through.
    """

    def __init__(
        self,
        erasures: Erasures,
        threads: Threads,
        files: Files | None,
        grants: Grants,
        redis: RedisTraces,
        *,
        settle_seconds: float = 1.5,
    ) -> None:
        self.erasures = erasures
        self._settle_seconds = settle_seconds
        self._threads = threads
        self._files = files
        self._grants = grants
        self._redis = redis

    async def begin(self, principal: Principal, asked_by: AskedBy) -> Erasure:
        """Begin an erasure, or find the one that is under way."""
        return await self.erasures.begin(principal, asked_by)

    async def complete(self, erasure: Erasure) -> Erasure:
        """Erase all that is left; returns the erasure as it is then.

        Raises:
            ErasureWaits: A store does not answer now. What was removed stays removed, and counted.
        """
        rows = RowEraser(self.erasures.engine, erasure.erasure_id, erasure.principal)
        settled = asyncio.get_running_loop().time() + self._settle_seconds
        try:
            for _ in range(_ROUNDS):
                await self._round(erasure, rows, settled)
                if not await rows.left():
                    await self.erasures.finish(erasure.erasure_id)
                    done = await self.erasures.get(erasure.erasure_id)
                    log.info("user_erased", erasure=done.erasure_id, by=done.asked_by, removed=done.counts)
                    return done
            raise ErasureWaits("postgres: " + ", ".join(await rows.left()))
        except FilesUnavailable as exc:
            raise ErasureWaits("files") from exc
        except (RedisError, OSError, TimeoutError) as exc:
            raise ErasureWaits("postgres" if is_store_failure(exc) else "redis") from exc
        except Exception as exc:
            if not is_store_failure(exc):
                raise
            raise ErasureWaits("postgres") from exc
        finally:
            # Also if this process is told to stop: the next one need not wait.
            await asyncio.shield(self._let_go(erasure))

    async def _round(self, erasure: Erasure, rows: RowEraser, settled: float) -> None:
        principal = erasure.principal
        await self._end_runs(principal, rows)
        await self._erase_files(erasure)
        await self._erase_threads(erasure, rows)
        await self._erase_connections(erasure, rows)
        for table in OF_USER:
            await rows.delete(table)
        for table in BOOKED:
            await rows.book_for_nobody(table)
        await rows.forget_author()
        await asyncio.sleep(max(0.0, settled - asyncio.get_running_loop().time()))
        await self.erasures.note(erasure.erasure_id, await self._redis.erase(principal))
        await rows.stop_counting()

    async def _end_runs(self, principal: Principal, rows: RowEraser) -> None:
        after = 0
        while (thread := await rows.next_thread(after)) is not None:
            after = thread.id
            try:
                await self._threads.end_runs(principal, thread.thread_id)
            except NotFound:
                continue  # another process was faster

    async def _erase_files(self, erasure: Erasure) -> None:
        if self._files is None:
            return  # rows of a store that is set no more are found at the end

        async def counted(connection: AsyncConnection, files: int, uses: int) -> None:
            counts = {FILES: files, "files: bytes of": files, "agent_file_use": uses}
            await note(connection, erasure.erasure_id, counts)

        if not await self._files.erase(erasure.principal, counted):
            raise ErasureWaits("uploads")

    async def _erase_threads(self, erasure: Erasure, rows: RowEraser) -> None:
        while (thread := await rows.next_thread()) is not None:
            await self._redis.drop_tail(thread.id)
            try:
                await self._threads.delete_thread(erasure.principal, thread.thread_id, rows)
            except NotFound:
                continue
            await self.erasures.note(erasure.erasure_id, {"redis: newest events of threads": 1})

    async def _erase_connections(self, erasure: Erasure, rows: RowEraser) -> None:
        for server in await self._grants.servers_of(erasure.principal):
            taken_back = await self._grants.withdraw(erasure.principal, server)
            count = {"grants: withdrawn" if taken_back else "grants: not withdrawn": 1}
            await self.erasures.note(erasure.erasure_id, count)
        await rows.delete(CONNECTIONS)

    async def _let_go(self, erasure: Erasure) -> None:
        try:
            await self.erasures.let_go(erasure.erasure_id)
        except Exception as exc:  # noqa: BLE001  it is free by itself after a minute
            log.warning("erasure_not_let_go", error=type(exc).__name__)
