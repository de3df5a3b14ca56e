"""The log is partitioned while the service runs: from every step on, with events of before, beside old processes."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.stack import OpenStack, Stack, eventually

from agentroute import log_partitioning
from agentroute.log_check import check_log_parts
from agentroute.log_partitioning import PartitioningError, partition_log
from agentroute.migrations import MigrationError, downgrade
from core.agentscope.events import store
from core.agentscope.events.log_parts import tend_parts
from core.agentscope.events.queries import run_facts
from core.agentscope.events.retention import EventRetention, prune_events
from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.config import DatabaseSettings
from core.database import create_engine
from core.gate import Gate

# What the release before sends.
OLD_APPEND = """INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload)
    VALUES ($1, $2, $3, 1, 'CUSTOM', '{}')"""
OLD_PRUNE = """DELETE FROM agent_run_event WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM agent_run_event WHERE session_id = $1 AND ordinal <= $2 LIMIT 5000))"""
TWICE = """INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload, log_part)
    SELECT session_id, ordinal, {}, attempt, type, payload, log_part FROM agent_run_event WHERE session_id = $1 AND"""
PARTS = "SELECT relid::text AS part FROM pg_partition_tree('agent_run_event') WHERE isleaf ORDER BY 1"


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A service with a conversation of before, whose log is partitioned now."""
    async with open_stack() as stack:
        await stack.stream_run("hello", thread="before")
        await partition_log(stack.settings.database)
        yield stack


async def parts(stack: Stack) -> list[str]:
    return [row["part"] for row in await stack.fetch(PARTS)]


async def next_part(engine: AsyncEngine) -> None:
    opened, _ = await tend_parts(engine, days=7, seconds=0)
    assert opened


@asynccontextmanager
async def engine_of(settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings, application_name="test")
    try:
        yield engine
    finally:
        await engine.dispose()


async def age(stack: Stack, days: int) -> None:
    """Let all parts so far be so many days older."""
    await stack.fetch("UPDATE agent_log_part SET opened_at = opened_at - $1 * interval '1 day'", days)


async def session_id(stack: Stack, thread: str) -> int:
    (row,) = await stack.fetch("SELECT id FROM agent_chat_session WHERE thread_id = $1", thread)
    return row["id"]


async def stored(stack: Stack, thread: str) -> list[tuple[str, int, int]]:
    rows = await stack.fetch(
        """SELECT tableoid::regclass::text AS part, ordinal, seq FROM agent_run_event WHERE session_id = $1
        ORDER BY ordinal, seq""",
        await session_id(stack, thread),
    )
    return [(row["part"], row["ordinal"], row["seq"]) for row in rows]


async def replayed(stack: Stack, thread: str) -> list[str]:
    """Return the cursors of all events that readers get, page by page and run by run."""
    async with engine_of(stack.settings.database) as engine:
        reader, after, found = EventStore(engine, Gate(1, 1)), Cursor(0, 0), list[str]()
        while page := await reader.page(await session_id(stack, thread), after, 7, 1 << 20):
            found += [str(envelope.cursor) for envelope in page]
            after = page[-1].cursor
    streamed: list[str] = []
    for run in await stack.runs(thread):
        streamed += (await stack.read_events(thread, run["run_id"])).cursors
    assert streamed == found
    return found


async def test_a_conversation_goes_on_over_parts_and_is_replayed_as_one(stack: Stack) -> None:
    async with engine_of(stack.settings.database) as engine:
        thread = stack.new_id("over")
        await stack.stream_run("hello", thread=thread)
        await next_part(engine)
        await stack.stream_run("hello again", thread=thread)
        await next_part(engine)
        await stack.stream_run("and again", thread=thread)

    found = await stored(stack, thread)
    assert len({part for part, _, _ in found}) == 3
    # Each run is in one part.
    assert len({(part, ordinal) for part, ordinal, _ in found}) == 3
    assert await replayed(stack, thread) == [f"{ordinal}-{seq}" for _, ordinal, seq in found]


async def test_what_was_there_before_is_read_as_ever(stack: Stack) -> None:
    found = await stored(stack, "before")
    assert {part for part, _, _ in found} == {"agent_run_event_0"}
    assert await replayed(stack, "before") == [f"{ordinal}-{seq}" for _, ordinal, seq in found]


async def test_the_log_refuses_what_is_twice(stack: Stack) -> None:
    thread = stack.new_id("twice")
    await stack.stream_run("hello", thread=thread)
    for event in ("seq = 1", "type = 'RUN_STARTED'", "type = 'RUN_FINISHED'"):
        seq = "seq" if event == "seq = 1" else "seq + 1000"
        with pytest.raises(asyncpg.UniqueViolationError):
            await stack.fetch(f"{TWICE.format(seq)} {event}", await session_id(stack, thread))


async def test_a_part_is_dropped_when_all_its_runs_are_past_their_retention(stack: Stack) -> None:
    old, young = stack.new_id("old"), stack.new_id("young")
    async with engine_of(stack.settings.database) as engine:
        await next_part(engine)
        first = await stack.stream_run("hello", thread=old)
        await stack.stream_run("hello", thread=young)
        ((part, _, _), *_) = await stored(stack, old)
        await next_part(engine)
        last = await stack.stream_run("hello again", thread=old)
        await stack.fetch(
            "UPDATE agent_run SET ended_at = ended_at - interval '20 days' WHERE ordinal = 1 AND session_id = $1",
            await session_id(stack, old),
        )
        await age(stack, 10)
        before = await stack.history(old)

        async def retain() -> None:
            retention = EventRetention(engine, days=7)
            while not (await retention.step(batch=50))[1]:
                pass
            await tend_parts(engine, days=7, seconds=1e9)

        await retain()
        assert part in await parts(stack)
        # Refused, although the rows are there: the part waits for the other thread.
        gone = await stack.read_events(old, first.events[0]["runId"], first.cursors[0])
        gone.problem(410, "events-expired")

        await stack.fetch(
            """UPDATE agent_run SET ended_at = ended_at - interval '10 days'
            WHERE log_part <= (SELECT max(log_part) FROM agent_run WHERE session_id = $1)""",
            await session_id(stack, young),
        )
        await retain()

    assert part not in await parts(stack)
    assert "agent_run_event_0" not in await parts(stack)
    for cursor in (None, first.cursors[0], first.cursors[-2]):
        gone = await stack.read_events(old, first.events[0]["runId"], cursor)
        gone.problem(410, "events-expired")
    assert (await stack.read_events(old, last.events[0]["runId"])).cursors == last.cursors
    assert await stack.history(old) == before
    await stack.stream_run("and again", thread=old)


async def test_a_run_that_waits_gets_the_newest_span_and_keeps_no_part(stack: Stack) -> None:
    thread = stack.new_id("waits")
    async with engine_of(stack.settings.database) as engine:
        await next_part(engine)
        await stack.stream_run("hello", thread=thread)
        await stack.fetch(
            """INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash,
                input, status, next_hint_at, queue_deadline_at)
            SELECT session_id, tenant_id, user_id, 'later', '', 'later', '', '{}', 'waiting', now(), now()
            FROM agent_run WHERE session_id = $1""",
            await session_id(stack, thread),
        )
        await next_part(engine)
        await age(stack, 30)
        await stack.fetch(
            "UPDATE agent_run SET ended_at = now() - interval '30 days' WHERE ended_at IS NOT NULL"
        )
        await stack.fetch("UPDATE agent_chat_session SET pruned_ordinal = last_ordinal")
        await tend_parts(engine, days=7, seconds=1e9)
        (newest,) = await stack.fetch("SELECT max(log_part) AS log_part FROM agent_log_part")
        waiting = [run for run in await stack.runs(thread) if run["status"] == "waiting"]
        await stack.fetch("DELETE FROM agent_run WHERE status = 'waiting'")

    assert await parts(stack) == [f"agent_run_event_{newest['log_part']}"]
    assert [run["log_part"] for run in waiting] == [newest["log_part"]]


async def test_if_nobody_opens_a_part_runs_go_on_and_doctor_says_so(stack: Stack) -> None:
    async with engine_of(stack.settings.database) as engine:
        await next_part(engine)
    assert [result.ok for result in await check_log_parts(stack.settings)] == [True]
    await age(stack, 5)
    (told,) = await check_log_parts(stack.settings)
    assert not told.ok
    thread = stack.new_id("nobody")
    await stack.stream_run("hello", thread=thread)
    async with engine_of(stack.settings.database) as engine:
        assert await tend_parts(engine, days=7) == (True, 0)
        assert await tend_parts(engine, days=7) == (False, 0)
    assert [result.ok for result in await check_log_parts(stack.settings)] == [True]


async def test_a_reader_that_holds_the_log_keeps_a_part_and_nobody_waits_behind_it(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
    async with engine_of(stack.settings.database) as engine:
        await next_part(engine)
        await age(stack, 30)
        await stack.fetch("UPDATE agent_chat_session SET pruned_ordinal = last_ordinal")
        there = await parts(stack)
        async with connection.transaction():
            await connection.fetch("SELECT FROM agent_run_event LIMIT 1")
            assert await tend_parts(engine, days=7, seconds=1e9) == (False, 0)
            assert await parts(stack) == there
        _, dropped = await tend_parts(engine, days=7, seconds=1e9)
        assert dropped == len(there) - 1
    await connection.close()


async def test_what_the_release_before_sends_is_kept_or_refused(stack: Stack) -> None:
    mine, other = stack.new_id("mine"), stack.new_id("other")
    async with engine_of(stack.settings.database) as engine:
        await stack.stream_run("hello", thread=other)
        await next_part(engine)
        await stack.stream_run("hello", thread=mine)
        await next_part(engine)
    before = await stored(stack, mine)
    # A worker of before goes on with a run of an older log_part.
    await stack.fetch(OLD_APPEND, await session_id(stack, mine), 1, 1000)
    assert await replayed(stack, mine) == [f"{o}-{s}" for _, o, s in [*before, ("", 1, 1000)]]

    theirs = await stored(stack, other)
    with pytest.raises(asyncpg.LockNotAvailableError, match="partitioned"):
        await stack.fetch(OLD_PRUNE, await session_id(stack, mine), 1)
    assert await stored(stack, other) == theirs
    assert len(await stored(stack, mine)) == len(before) + 1


async def test_a_thread_is_deleted_from_all_parts_and_no_other_one_is(stack: Stack) -> None:
    gone, kept = stack.new_id("gone"), stack.new_id("kept")
    async with engine_of(stack.settings.database) as engine:
        for _ in range(2):
            await stack.stream_run("hello", thread=gone)
            await stack.stream_run("hello", thread=kept)
            await next_part(engine)
    pk, there = await session_id(stack, gone), await stored(stack, kept)
    assert (await stack.request("DELETE", f"/threads/{gone}")).status == 204
    left = "SELECT count(*) AS events FROM agent_run_event WHERE session_id = $1"
    assert await stack.fetch(left, pk) == [{"events": 0}]
    assert await stored(stack, kept) == there

    # Without the steps before it, too: the trigger does what the key did.
    pk = await session_id(stack, kept)
    await stack.fetch("DELETE FROM agent_chat_session WHERE id = $1", pk)
    assert await stack.fetch(left, pk) == [{"events": 0}]


async def test_a_user_is_erased_from_all_parts(stack: Stack) -> None:
    thread = stack.new_id("erased")
    async with engine_of(stack.settings.database) as engine:
        for _ in range(2):
            body = stack.run_body("hello", thread=thread)
            await stack.stream_run(body=body, user="erased")
            await next_part(engine)
    pk = await session_id(stack, thread)
    assert len({part for part, _, _ in await stored(stack, thread)}) == 2
    reply = await stack.request("DELETE", "/me", user="erased")
    assert reply.status in {200, 202}, reply.body
    left = "SELECT count(*) AS events FROM agent_run_event WHERE session_id = $1"

    async def is_gone() -> bool:
        return await stack.fetch(left, pk) == [{"events": 0}]

    await eventually(is_gone)


async def test_events_are_deleted_in_batches_over_parts(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.agentscope.events.retention.PRUNE_ROWS", 3)
    thread = stack.new_id("batches")
    async with engine_of(stack.settings.database) as engine:
        await stack.stream_run("hello", thread=thread)
        await next_part(engine)
        await stack.stream_run("hello", thread=thread)
        there = await stored(stack, thread)
        first = sum(ordinal == 1 for _, ordinal, _ in there)
        assert await prune_events(engine, await session_id(stack, thread), 1) == first
    assert await stored(stack, thread) == there[first:]


async def test_versions_before_are_told_that_the_log_is_partitioned(stack: Stack) -> None:
    with pytest.raises(MigrationError, match="the log is partitioned"):
        await downgrade(stack.settings.database.url.get_secret_value(), "0029")


async def test_a_second_call_finds_it_partitioned(stack: Stack) -> None:
    assert not await partition_log(stack.settings.database)


class KilledError(Exception):
    pass


async def test_killed_at_every_step_it_is_done_by_the_next_call(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.stream_run("hello", thread="thread")
        database = stack.settings.database

        def kill_at(step: str) -> Callable[[str], None]:
            def on_step(name: str) -> None:
                if name == step:
                    raise KilledError

            return on_step

        for step in ("constrain", "validate", "convert"):
            with pytest.raises(KilledError):
                await partition_log(database, on_step=kill_at(step))
            await stack.stream_run("hello again", thread="thread")
        # In the middle of the last step.
        killed = log_partitioning._CONVERT.replace(
            "COMMIT;", "SELECT pg_terminate_backend(pg_backend_pid()); COMMIT;"
        )
        with (
            patch.object(log_partitioning, "_CONVERT", killed),
            pytest.raises((OSError, asyncpg.PostgresError)),
        ):
            await partition_log(database)
        await stack.stream_run("hello again", thread="thread")
        assert {part for part, _, _ in await stored(stack, "thread")} == {"agent_run_event"}

        # While somebody else holds the log, nothing waits for long, and all goes on.
        connection = await asyncpg.connect(database.url.get_secret_value())
        with patch.object(log_partitioning, "LOCK_SECONDS", 0.05):
            async with connection.transaction():
                await connection.fetch("SELECT FROM agent_run_event LIMIT 1")
                with pytest.raises(PartitioningError, match="run `agentroute partition` again"):
                    await partition_log(database, patience_seconds=0)
        await connection.close()

        # At last, while runs go on.
        streams = [
            asyncio.create_task(stack.stream_run("tell me a long story", thread=f"live-{place}"))
            for place in range(4)
        ]
        assert await partition_log(database)
        for stream in streams:
            assert (await stream).end["type"] == "RUN_FINISHED"
        for thread in ("thread", *(f"live-{place}" for place in range(4))):
            assert await replayed(stack, thread) == [f"{o}-{s}" for _, o, s in await stored(stack, thread)]


async def test_the_role_of_the_service_opens_and_drops_parts_that_it_does_not_own(
    open_stack: OpenStack,
) -> None:
    async with open_stack(apis=0, workers=0) as stack:
        owner = stack.settings.database.url.get_secret_value()
        role, other = (f"{name}_{secrets.token_hex(4)}" for name in ("runtime", "other"))
        try:
            for name in (role, other):
                await stack.fetch(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
            await stack.fetch(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
            )
            await partition_log(stack.settings.database)
            await stack.fetch("UPDATE agent_log_part SET opened_at = opened_at - interval '9 days'")

            def of(name: str) -> DatabaseSettings:
                url = make_url(owner).set(username=name, password="secret")
                return DatabaseSettings(url=SecretStr(url.render_as_string(hide_password=False)))

            async with engine_of(of(other)) as engine:
                with pytest.raises(DBAPIError, match="only for the role"):
                    async with engine.begin() as connection:
                        await connection.execute(text("SELECT agent_drop_log_part(0)"))
            async with engine_of(of(role)) as engine:
                assert await tend_parts(engine, days=7) == (True, 1)
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT FROM agent_run_event"))
        finally:
            for name in (role, other):
                await stack.fetch(f"DROP OWNED BY {name}")
                await stack.fetch(f"DROP ROLE {name}")


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a plan that read a part."""
    found = [plan] if plan.get("Relation Name", "").startswith("agent_run_event") else []
    return [*found, *(scan for child in plan.get("Plans", ()) for scan in scans(child))]


async def scans_of(
    connection: asyncpg.Connection, statement: str, *arguments: object
) -> list[dict[str, Any]]:
    (row,) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    return scans(json.loads(row[0])[0]["Plan"])


def entered(read: list[dict[str, Any]]) -> set[int]:
    return {int(scan["Relation Name"].rpartition("_")[2]) for scan in read if scan["Actual Loops"]}


async def test_a_reader_enters_no_part_older_than_its_runs_and_reads_by_an_index(stack: Stack) -> None:
    thread = stack.new_id("plan")
    async with engine_of(stack.settings.database) as engine:
        for _ in range(2):
            await next_part(engine)
        await stack.stream_run("hello", thread=thread)
        await next_part(engine)
        await stack.stream_run("hello", thread=thread)
    pk = await session_id(stack, thread)
    log_parts = [run["log_part"] for run in await stack.runs(thread)]
    there = {int(part.rpartition("_")[2]) for part in await parts(stack)}
    connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
    try:
        # So few rows would be read without an index.
        await connection.execute("SET enable_seqscan = off")
        for after, oldest in (
            (Cursor(0, 0), log_parts[0]),
            (Cursor(1, 10_000), log_parts[0]),
            (Cursor(2, 0), log_parts[1]),
        ):
            arguments = (pk, after.ordinal, after.seq, 500, 1 << 20)
            read = await scans_of(connection, store._PAGE, *arguments)
            assert entered(read) == {log_part for log_part in there if log_part >= oldest}
            assert {scan["Node Type"] for scan in read} <= {"Index Scan", "Index Only Scan"}
            assert all("session_id" in scan["Index Cond"] for scan in read)
        for run in await stack.runs(thread):
            # Whoever asks why a run is where it is.
            read = await scans_of(connection, run_facts._FACTS, [run["id"]], "", 1000, 200)
            assert entered(read) == {log_part for log_part in there if log_part >= run["log_part"]}
    finally:
        await connection.close()
    assert min(there) < log_parts[0]
