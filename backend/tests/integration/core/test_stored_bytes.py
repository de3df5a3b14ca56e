"""What users and tenants have stored is counted exactly, in whatever order things come and go."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.memory_file_store import MemoryStore
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import eventually

from core.config import DatabaseSettings, FileSettings, LimitSettings
from core.database import create_engine
from core.files.catalogue import drop_unnamed, leave_thread, name_files
from core.files.library import FileLibrary
from core.identity import LOCAL, Principal
from core.storage_errors import StorageQuotaExceeded
from core.stored_bytes import add_up, find_drift, refuse_full

_tenants = itertools.count(1)

KINDS = (
    "upload",
    "delete file",
    "expire files",
    "thread",
    "messages",
    "messages that are rolled back",
    "change message",
    "delete message",
    "state",
    "delete thread",
    "remember",
    "remember otherwise",
    "forget",
    "add up",
)
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 40)), max_size=40)


class World:
    """Two users of one tenant, and a model of what they have stored beside files."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.tenant = f"tenant-{next(_tenants)}"
        self.users = (Principal(self.tenant, "ada"), Principal(self.tenant, "eve"))
        self.library = FileLibrary(engine, MemoryStore(), FileSettings(unused_seconds=60), LimitSettings())
        self.threads: dict[int, tuple[Principal, int, dict[int, int]]] = {}
        """Of each thread: whose, the bytes of its state, and those of its messages."""
        self.notes: dict[int, tuple[Principal, int]] = {}
        self._numbers = itertools.count(1)

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        async with self.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def step(self, kind: str, which: int, size: int) -> None:
        await getattr(self, kind.replace(" ", "_"))(self.users[which % 2], which, "x" * size)

    async def upload(self, user: Principal, which: int, words: str) -> None:
        # Few contents: some come again.
        async def content() -> AsyncIterator[bytes]:
            yield f"{which}{words[:2]}".encode()

        file, _ = await self.library.save(user, content(), lambda: ("a.txt", "text/plain"))
        if which == 3 and (mine := [name for name, thread in self.threads.items() if thread[0] == user]):
            async with self.engine.begin() as connection:
                await name_files(connection, user, mine[0], [file.file_id])

    async def delete_file(self, user: Principal, which: int, words: str) -> None:
        page = await self.library.catalogue.list_page(user, limit=10, before=None)
        for file in page[which : which + 1]:
            await self.library.delete(user, file.file_id)

    async def expire_files(self, *_: object) -> None:
        await self.sql("UPDATE agent_file SET unused_since = unused_since - interval '1 day'")
        await self.library.clean_up()

    async def thread(self, user: Principal, which: int, words: str) -> None:
        state = json.dumps({"words": words}) if words else None
        (row,) = await self.sql(
            """INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, state)
            VALUES (:tenant, :user, :name, CAST(:state AS jsonb)) RETURNING id""",
            tenant=user.tenant_id,
            user=user.user_id,
            name=f"t-{next(self._numbers)}",
            state=state,
        )
        self.threads[row.id] = (user, len(state or ""), {})

    async def messages(self, user: Principal, which: int, words: str) -> None:
        for thread, (_, _, messages) in list(self.threads.items())[which : which + 1]:
            rows = await self.sql(
                _MESSAGES, thread=thread, words=json.dumps(words), first=next(self._numbers) * 10
            )
            messages.update({row.id: 2 * len(json.dumps(words)) + len('{"name": "n"}') for row in rows})

    async def messages_that_are_rolled_back(self, user: Principal, which: int, words: str) -> None:
        for thread in list(self.threads)[:1]:
            async with self.engine.connect() as connection:
                values = {"thread": thread, "words": json.dumps(words), "first": next(self._numbers) * 10}
                await connection.execute(text(_MESSAGES), values)
                await connection.rollback()

    async def change_message(self, user: Principal, which: int, words: str) -> None:
        for _, _, messages in list(self.threads.values())[:1]:
            for message in list(messages)[which : which + 1]:
                await self.sql(
                    "UPDATE agent_chat_message SET content = CAST(:words AS jsonb), tool_calls = NULL WHERE id = :id",
                    words=json.dumps(words),
                    id=message,
                )
                messages[message] = len(json.dumps(words)) + len('{"name": "n"}')

    async def delete_message(self, user: Principal, which: int, words: str) -> None:
        for thread, (_, _, messages) in list(self.threads.items())[:1]:
            await self.sql("DELETE FROM agent_chat_message WHERE session_id = :thread", thread=thread)
            messages.clear()

    async def state(self, user: Principal, which: int, words: str) -> None:
        for thread, (owner, _, messages) in list(self.threads.items())[which : which + 1]:
            state = json.dumps({"words": words}) if words else None
            await self.sql(
                "UPDATE agent_chat_session SET state = CAST(:state AS jsonb) WHERE id = :id",
                state=state,
                id=thread,
            )
            self.threads[thread] = (owner, len(state or ""), messages)

    async def delete_thread(self, user: Principal, which: int, words: str) -> None:
        for thread in list(self.threads)[which : which + 1]:
            async with self.engine.begin() as connection:
                named = await leave_thread(connection, thread)
                await connection.execute(
                    text("DELETE FROM agent_chat_session WHERE id = :id"), {"id": thread}
                )
                await drop_unnamed(connection, named)
            del self.threads[thread]

    async def remember(self, user: Principal, which: int, words: str) -> None:
        (row,) = await self.sql(
            """INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key)
            VALUES (:tenant, :user, :words, :key) RETURNING id""",
            tenant=user.tenant_id,
            user=user.user_id,
            words=words,
            key=f"{self.tenant}-{next(self._numbers)}",
        )
        self.notes[row.id] = (user, len(words))

    async def remember_otherwise(self, user: Principal, which: int, words: str) -> None:
        for note, (owner, _) in list(self.notes.items())[:1]:
            await self.sql("UPDATE agent_memory SET text = :words WHERE id = :id", words=words, id=note)
            self.notes[note] = (owner, len(words))

    async def forget(self, user: Principal, which: int, words: str) -> None:
        for note in list(self.notes)[:1]:
            await self.sql("DELETE FROM agent_memory WHERE id = :id", id=note)
            del self.notes[note]

    async def add_up(self, *_: object) -> None:
        await add_up(self.engine)

    async def check(self) -> None:
        """Compare the counts with the model, and with what the database finds when it counts anew."""
        expected: list[int] = []
        for user in self.users:
            (files,) = await self.sql(
                """SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM agent_file
                WHERE state = 'ready' AND (tenant_id, user_id) = (:tenant, :user)""",
                tenant=user.tenant_id,
                user=user.user_id,
            )
            threads = sum(
                state + sum(sizes.values()) for owner, state, sizes in self.threads.values() if owner == user
            )
            notes = sum(size for owner, size in self.notes.values() if owner == user)
            expected.append(files.bytes + threads + notes)
        (found,) = await self.sql(
            "SELECT agent_stored(:t, 'ada') AS ada, agent_stored(:t, 'eve') AS eve, agent_stored(:t, NULL) AS everybody",
            t=self.tenant,
        )
        assert (found.ada, found.eve, found.everybody) == (*expected, sum(expected))
        async with self.engine.connect() as connection:
            assert await find_drift(connection, repair=False) == []


_MESSAGES = """
INSERT INTO agent_chat_message (session_id, position, message_id, ordinal, role, content, tool_calls, extra)
SELECT :thread, :first + n, 'm-' || (:first + n), 1, 'user', CAST(:words AS jsonb), CAST(:words AS jsonb),
    '{"name": "n"}'
FROM generate_series(1, 2) AS n RETURNING id
"""


@pytest.fixture(scope="module")
def database(databases: ScratchDatabases) -> Iterator[str]:
    with databases.migrated() as url:
        yield url


def an_engine(url: str) -> AsyncEngine:
    return create_engine(DatabaseSettings(url=SecretStr(url)), application_name="test")


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=25)
@given(steps=STEPS, check_each=st.booleans())
def test_whatever_comes_and_goes_the_count_is_the_sum(
    database: str, steps: list[tuple[str, int, int]], check_each: bool
) -> None:
    async def play() -> None:
        engine = an_engine(database)
        try:
            world = World(engine)
            for step in steps:
                await world.step(*step)
                if check_each:
                    await world.check()
            await world.check()
            await add_up(engine)
            await world.check()
        finally:
            await engine.dispose()

    asyncio.run(play())


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = an_engine(database_url)
    yield engine
    await engine.dispose()


async def test_every_step_of_the_property_does_something(engine: AsyncEngine) -> None:
    world = World(engine)
    for kind in KINDS:
        await world.step(kind, 0, 5)
        await world.check()


async def test_two_who_write_for_one_user_do_not_wait_for_each_other(
    engine: AsyncEngine, database_url: str
) -> None:
    world = World(engine)
    await world.thread(world.users[0], 0, "")
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            thread = next(iter(world.threads))
            await connection.execute("UPDATE agent_chat_session SET state = '{}' WHERE id = $1", thread)
            # With the change of the first one uncommitted, others of the user and the tenant write, and all is added up.
            for user in world.users:
                await world.thread(user, 0, "words")
                await world.remember(user, 0, "words")
            await world.add_up()
            await world.check()
    finally:
        await connection.close()
    (owner, _, messages) = world.threads[thread]
    world.threads[thread] = (owner, 2, messages)
    await world.check()


async def test_two_workers_add_up_at_once(engine: AsyncEngine) -> None:
    world = World(engine)
    for place in range(20):
        await world.remember(world.users[place % 2], 0, "words")

    added = await asyncio.gather(*(add_up(engine) for _ in range(4)))

    assert sum(added) == 20
    await world.check()


async def test_a_wrong_count_is_found_and_repaired_while_others_write(
    engine: AsyncEngine, database_url: str
) -> None:
    world = World(engine)
    ada = world.users[0]
    await world.thread(ada, 0, "words")
    await world.add_up()
    await world.sql("UPDATE agent_stored_user SET bytes = bytes + 7")
    await world.sql("UPDATE agent_stored_tenant SET bytes = bytes + 7")

    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("UPDATE agent_chat_session SET state = '{}'")
            async with engine.begin() as connection:
                (drift,) = await find_drift(connection, repair=True)
    finally:
        await other.close()

    assert (drift.tenant_id, drift.user_id, drift.counted - drift.stored) == (
        ada.tenant_id,
        ada.user_id,
        7,
    )
    thread = next(iter(world.threads))
    world.threads[thread] = (ada, 2, {})
    await world.check()


async def test_two_who_repair_at_once_repair_once(engine: AsyncEngine) -> None:
    world = World(engine)
    await world.thread(world.users[0], 0, "words")
    await world.add_up()
    await world.sql("UPDATE agent_stored_user SET bytes = bytes + 7")
    await world.sql("UPDATE agent_stored_tenant SET bytes = bytes + 7")

    async def repair() -> int:
        async with engine.begin() as connection:
            return len(await find_drift(connection, repair=True))

    async def second_has_looked() -> bool:
        return second.done() or bool(await world.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))

    async with engine.begin() as connection:
        assert len(await find_drift(connection, repair=True)) == 1
        second = asyncio.create_task(repair())
        await eventually(second_has_looked)
    assert await second == 0
    await world.check()


@pytest.mark.parametrize(
    ("limits", "more", "refused"),
    [
        ({"user_stored_bytes": 10}, 1, "You have 10 bytes"),
        ({"user_stored_bytes": 12}, 3, "You have 10 bytes"),
        ({"user_stored_bytes": 12}, 2, None),
        ({"user_stored_bytes": 0, "tenant_stored_bytes": 20}, 1, "Your organisation has 20 bytes"),
        ({"user_stored_bytes": 0, "tenant_stored_bytes": 21}, 1, None),
        ({"user_stored_bytes": 0}, 1 << 40, None),
    ],
)
async def test_who_would_store_more_than_a_limit_is_refused(
    engine: AsyncEngine, limits: dict[str, int], more: int, refused: str | None
) -> None:
    world = World(engine)
    for user in world.users:
        await world.remember(user, 0, "ten bytes.")
    async with engine.connect() as connection:
        chosen = LimitSettings.model_validate(limits)
        if refused is None:
            await refuse_full(connection, world.users[0], chosen, more)
        else:
            with pytest.raises(StorageQuotaExceeded, match=refused):
                await refuse_full(connection, world.users[0], chosen, more)
        # Local mode has one user, and a disk of its own.
        await refuse_full(connection, LOCAL, LimitSettings(user_stored_bytes=1), 1 << 40)
