"""The whole service through a real PgBouncer in transaction mode, whose pool is smaller than the clients' connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.pgbouncer import PgBouncer
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import OpenStack, Stack, eventually

from agentroute.pooler_check import check_pooler
from core.config import Settings
from core.database import create_engine
from core.direct_sql import fetch
from core.postgres_connection import asyncpg_dsn, open_connection

pytestmark = pytest.mark.slow

_POOL = 4
_RUNS = 100


@pytest.fixture(scope="module")
async def pooler(server_dir: Path, postgres_url: str) -> AsyncIterator[PgBouncer]:
    async with PgBouncer(server_dir / "pgb", postgres_url, pool_size=_POOL) as pooler:
        yield pooler


@asynccontextmanager
async def _service(
    open_stack: OpenStack, databases: ScratchDatabases, pooler: PgBouncer, **sections: Any
) -> AsyncIterator[Stack]:
    with databases.migrated() as url:
        # Not the URL of the test's own look: it stays direct.
        database = {"url": pooler.url(url), "direct_url": url}
        async with open_stack(database_url=url, database=database, **sections) as stack:
            yield stack


@pytest.fixture(scope="module")
async def stack(
    open_stack: OpenStack, databases: ScratchDatabases, pooler: PgBouncer
) -> AsyncIterator[Stack]:
    # No lease ends by itself: what happens here, the pooler did.
    async with _service(
        open_stack, databases, pooler, apis=2, workers=2, worker={"lease_seconds": NEVER_SECONDS}
    ) as stack:
        yield stack


async def _direct(stack: Stack, sql: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(stack.settings.database.direct)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def _cut_servers(stack: Stack) -> None:
    """End every connection of the pooler, in the middle of whatever it does."""
    await _direct(
        stack,
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND application_name <> 'agentroute-heartbeat'""",
    )


async def _doubled_and_lost(stack: Stack, prefix: str) -> list[Any]:
    """Return the runs that did not happen exactly once, from the first event to the last."""
    return await _direct(
        stack,
        """SELECT r.run_id, r.status, r.attempt, r.error_code FROM agent_run AS r
        JOIN agent_chat_session AS s ON s.id = r.session_id
        WHERE s.thread_id LIKE $1 || '%' AND NOT (
            r.status = 'succeeded' AND r.last_seq = (
                SELECT count(*) FROM agent_run_event AS e WHERE e.session_id = s.id AND e.ordinal = r.ordinal)
            AND 1 = (SELECT count(*) FROM agent_run_event AS e
                     WHERE e.session_id = s.id AND e.ordinal = r.ordinal AND e.type = 'RUN_FINISHED')
            AND 1 = (SELECT count(*) FROM agent_chat_message AS m
                     WHERE m.session_id = s.id AND m.ordinal = r.ordinal AND m.role = 'assistant'))""",
        prefix,
    )


async def test_a_hundred_runs_at_once_each_happen_once(stack: Stack) -> None:
    names = [f"many-{number}" for number in range(_RUNS)]

    async def talk(name: str, api: int) -> str:
        return (await stack.stream_run(f"say {name}", thread=name, user="crowd", api=stack.apis[api])).text

    said = await asyncio.gather(*(talk(name, place % 2) for place, name in enumerate(names)))

    assert [name for name, text in zip(names, said, strict=True) if name not in text] == []
    assert await _doubled_and_lost(stack, "many-") == []
    [count] = await _direct(stack, "SELECT count(*) FROM agent_run WHERE run_id IS NOT NULL")
    assert count["count"] >= _RUNS


async def test_a_question_an_answer_a_cancel_and_every_read(stack: Stack) -> None:
    asked = await stack.stream_run("remember that I like tea", thread="asks")
    answer = {"interruptId": asked.interrupts[0]["id"], "status": "resolved", "payload": {"approved": True}}
    resumed = await stack.resume("asks", [answer], api=stack.apis[1])
    assert [event["content"] for event in resumed.of("TOOL_CALL_RESULT")] == ["Remembered."]

    body = stack.run_body("slowly", thread="stopped")
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await stack.cancel("stopped", body["runId"], api=stack.apis[1])).status == 202
        ended = await stream.to_end()
    assert ended[-1]["outcome"] == {"type": "cancelled"}

    assert (await stack.run_status("stopped", body["runId"]))["status"] == "cancelled"
    assert len((await stack.history("asks"))["messages"]) >= 3
    for path in ("/threads", "/usage", "/threads/asks/runs"):
        reply = await stack.request("GET", path)
        assert reply.status == 200, reply.body
    replay = await stack.read_events("asks", asked.events[0]["runId"])
    assert replay.raw.startswith(asked.raw)
    ready = await stack.apis[0].client("ada").get(stack.apis[0].url + "/readyz")
    assert (ready.status_code, ready.json()["workers"]) == (200, {"live": 2})


async def test_faults_of_the_pooler_in_the_middle_of_runs_lose_and_double_none(
    stack: Stack, pooler: PgBouncer
) -> None:
    async def restart() -> None:
        pooler.kill()
        await pooler.start()

    faults: list[Callable[[], Awaitable[None]]] = [
        lambda: pooler.admin("RECONNECT"),
        lambda: _cut_servers(stack),
        lambda: pooler.admin("RELOAD"),
        restart,
    ]
    bodies = [stack.run_body("slowly", thread=f"fault-{number}") for number in range(8)]
    accepted = await asyncio.gather(*(stack.post_run(body=body) for body in bodies))
    assert {reply.status for reply in accepted} == {202}
    await eventually(lambda: _have(stack, "first_token_at", len(bodies)))

    for number, fault in enumerate(faults):
        await fault()
        # A client whose request found no pooler repeats it, and gets its run.
        bodies.append(stack.run_body("say again", thread=f"fault-again-{number}"))
        await eventually(lambda: _accepted(stack, bodies[-1]))
    assert not await _have(stack, "ended_at", len(bodies))

    await eventually(lambda: _have(stack, "ended_at", len(bodies)))
    assert await _doubled_and_lost(stack, "fault-") == []
    for body in bodies:
        replay = await stack.read_events(body["threadId"], body["runId"])
        assert replay.end["type"] == "RUN_FINISHED"


async def _have(stack: Stack, column: str, number: int) -> bool:
    rows = await _direct(
        stack,
        """SELECT r.* FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
        WHERE s.thread_id LIKE 'fault-%'""",
    )
    return len([row for row in rows if row[column] is not None]) == number


async def _accepted(stack: Stack, body: dict[str, Any]) -> bool:
    return (await stack.post_run(body=body)).status == 202


async def test_limits_of_time_hold_and_nothing_is_left_at_a_server(stack: Stack, pooler: PgBouncer) -> None:
    settings = stack.settings.database.model_copy(
        update={"statement_timeout_seconds": 0.05, "silence_seconds": float(HUNG_SECONDS)}
    )
    engine = create_engine(settings, application_name="limits")
    try:
        with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
            await fetch(engine, "SELECT pg_sleep($1)", 60.0)
        async with engine.connect() as connection:
            limit = (await connection.exec_driver_sql("SHOW statement_timeout")).scalar_one()
    finally:
        await engine.dispose()
    assert limit == "50ms"
    connection = await open_connection(
        asyncpg_dsn(settings),
        application_name="left",
        connect_seconds=HUNG_SECONDS,
        statement_seconds=HUNG_SECONDS,
        pooled=True,
    )
    try:
        for _ in range(_POOL):
            left = await connection.fetchrow(
                """SELECT current_setting('statement_timeout') AS limit,
                    (SELECT count(*) FROM pg_prepared_statements WHERE name <> '') AS prepared"""
            )
            assert left is not None
            assert tuple(left) == ("0", 0)
        with pytest.raises(asyncpg.InterfaceError, match="in transactions only"):
            await connection.prepare("SELECT 1")
    finally:
        connection.terminate()


async def _line(url: str, direct_url: str = "") -> tuple[bool, str]:
    result = await check_pooler(Settings.model_validate({"database": {"url": url, "direct_url": direct_url}}))
    return result.ok, result.line


async def test_the_check_of_every_start_recognises_a_pooler(
    pooler: PgBouncer, databases: ScratchDatabases, server_dir: Path, postgres_url: str
) -> None:
    with databases.migrated() as url, databases.migrated() as other:
        pooled = pooler.url(url)
        assert await _line(url) == (True, "Pooler: none")
        ok, line = await _line(pooled)
        assert not ok
        assert "a pooler answers" in line
        assert "Set AGENT_DATABASE__DIRECT_URL" in line
        assert await _line(pooled, url) == (True, "Pooler: shares connections between transactions")
        ok, line = await _line(pooled, pooled)
        assert not ok
        assert "is a pooler, too" in line
        ok, line = await _line(pooled, other)
        assert not ok
        assert "is not the database that the pooler leads to" in line
        ok, line = await _line(url, url)
        assert ok
        assert "needs fewer round trips" in line
        ok, line = await _line(pooled, "postgresql://127.0.0.1:1/gone")
        assert not ok
        assert "of the direct URL does not answer" in line
        async with PgBouncer(server_dir / "pgs", postgres_url, pool_mode="session") as session:
            ok, line = await _line(session.url(url), url)
            assert ok
            assert "gives each connection a server of its own" in line
        async with PgBouncer(server_dir / "pgt", postgres_url, pool_mode="statement") as statement:
            ok, line = await _line(statement.url(url), url)
            assert not ok
            assert "is a pooler that refuses transactions. Set its pool_mode to transaction" in line
