"""States of the agent go after their own times, and never one that a run or a question still needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.manual_worker import manual_reaper
from tests.support.stack import OpenStack

from core.agentscope.events.retention import forget_runs
from core.agentscope.events.state_retention import drop_old, drop_replaced, find_old, find_replaced
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.keep_chore import KeepChore
from core.config import DatabaseSettings, WorkerSettings
from core.database import create_engine

# Three threads of three old runs, each with a state; of the last one, the newest run is young. The states of the first
# run of each are whole ones, as an older version stored them.
_FILL = (
    """INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, last_ordinal)
    SELECT 't', 'u', n, 3 FROM generate_series(1, 3) AS n""",
    """INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input,
        status, ordinal, next_hint_at, queue_deadline_at, ended_at)
    SELECT s.id, 't', 'u', s.id || '-' || o, '', s.id || '-' || o, '', '{"a": 1}', 'succeeded', o, now(), now(),
        CASE WHEN s.thread_id = '3' AND o = 3 THEN now() ELSE now() - interval '40 days' END
    FROM agent_chat_session AS s, generate_series(1, 3) AS o""",
    """INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state)
    SELECT id, session_id, ordinal, '2', '{}' FROM agent_run WHERE ordinal = 1""",
    """INSERT INTO agent_state (run_pk, session_id, ordinal, agentscope_version, form, head, roots)
    SELECT id, session_id, ordinal, '2', 1, '{}', decode(lpad(to_hex(ordinal), 32, '0'), 'hex')
    FROM agent_run WHERE ordinal > 1""",
    """INSERT INTO agent_state_part (session_id, digest, ordinal, body, children)
    SELECT session_id, roots, ordinal, '{}', '' FROM agent_state""",
)
_LEFT = """
SELECT s.thread_id || ':' || c.ordinal FROM (
    SELECT session_id, ordinal FROM agent_state UNION ALL SELECT session_id, ordinal FROM agent_checkpoint
) AS c JOIN agent_chat_session AS s ON s.id = c.session_id ORDER BY 1
"""
_PARTS = """
SELECT s.thread_id || ':' || p.ordinal FROM agent_state_part AS p JOIN agent_chat_session AS s ON s.id = p.session_id ORDER BY 1
"""
ALL = [f"{thread}:{run}" for thread in (1, 2, 3) for run in (1, 2, 3)]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    for statement in _FILL:
        await run(engine, statement)
    yield engine
    await engine.dispose()


async def run(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        found = await connection.execute(text(statement), values)
        return list(found.scalars()) if found.returns_rows else []


def chore(engine: AsyncEngine, **settings: int) -> KeepChore:
    nobody: Any = None
    return KeepChore(engine, Turns(engine), WorkerSettings(**settings), nobody)


async def ids(engine: AsyncEngine) -> list[int]:
    return await run(engine, "SELECT id FROM agent_chat_session ORDER BY id")


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    # A sweep goes on behind what it has looked at.
    monkeypatch.setattr("core.agentscope.runtime.work.keep_chore.WINDOW_ROWS", 1)


async def test_states_that_newer_ones_replaced_go_after_their_own_time(engine: AsyncEngine) -> None:
    assert not chore(engine).has_work
    assert await chore(engine).drop_states() == 0
    assert await chore(engine, checkpoint_retention_days=50).drop_states() == 0
    # 0 is for ever.
    assert await chore(engine, checkpoint_retention_days=0).drop_states() == 0
    assert await run(engine, _LEFT) == ALL

    assert await chore(engine, checkpoint_retention_days=30).drop_states() == 5

    # Of the third thread, the newest of that age stays: a run that regenerates the young message needs it.
    assert await run(engine, _LEFT) == ["1:3", "2:3", "3:2", "3:3"]
    assert await run(engine, _PARTS) == ["1:3", "2:3", "3:2", "3:3"]


async def test_a_state_of_a_run_that_was_replaced_replaces_none(engine: AsyncEngine) -> None:
    await run(engine, "UPDATE agent_run SET replaced_by_ordinal = 4 WHERE ordinal = 3")

    await chore(engine, checkpoint_retention_days=30).drop_states()

    assert [state for state in await run(engine, _LEFT) if state < "2"] == ["1:2", "1:3"]


async def test_what_runs_were_asked_goes_without_the_states_that_have_a_time_of_their_own(
    engine: AsyncEngine,
) -> None:
    assert await forget_runs(engine, days=30, rows=100, states=False) == 8
    assert await run(engine, "SELECT count(*) FROM agent_run WHERE input <> '{}'") == [1]
    assert await run(engine, _LEFT) == ALL


async def test_the_newest_state_goes_after_its_time_with_all_that_it_was_made_of(engine: AsyncEngine) -> None:
    assert await chore(engine, last_checkpoint_retention_days=50).drop_states() == 0
    assert await chore(engine, last_checkpoint_retention_days=30).drop_states() == 6
    assert await run(engine, _LEFT) == ["3:1", "3:2", "3:3"]
    assert await run(engine, _PARTS) == ["3:2", "3:3"]


_RUN = """
INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input, status,
    ordinal, next_hint_at, queue_deadline_at, lease_until)
SELECT :session_id, 't', 'u', 'new', '', 'new', '', '{{}}', '{status}', {ordinal}, now(), now(), {lease}
"""
_QUESTION = """
INSERT INTO agent_interrupt (session_id, run_pk, interrupt_id, reason, message, response_schema, expires_at)
SELECT session_id, id, 'q', '', '', '{}', now() - interval '1 day' FROM agent_run WHERE session_id = :session_id AND ordinal = 3
"""
# What needs a state, and which states of its thread stay. A live run may name parts of older ones.
NEEDED = {
    "a waiting run": (_RUN.format(status="waiting", ordinal="NULL", lease="NULL"), ["1:3"]),
    "a queued run": (_RUN.format(status="queued", ordinal="4", lease="NULL"), ["1:1", "1:2", "1:3"]),
    "a running run": (_RUN.format(status="running", ordinal="4", lease="now()"), ["1:1", "1:2", "1:3"]),
    # Its time is over, and nobody has noted that it has expired.
    "an open question": (_QUESTION, ["1:3"]),
}


@pytest.mark.parametrize("by", NEEDED)
async def test_a_state_that_somebody_needs_stays_however_old_it_is(engine: AsyncEngine, by: str) -> None:
    needed, *_ = await ids(engine)
    statement, stay = NEEDED[by]
    await run(engine, statement, session_id=needed)

    await chore(engine, checkpoint_retention_days=30, last_checkpoint_retention_days=30).drop_states()

    assert await run(engine, _LEFT) == [*stay, "3:2", "3:3"]
    assert "1:3" in await run(engine, _PARTS)
    # When nobody does any more, the next look takes it.
    await run(engine, "DELETE FROM agent_run WHERE run_id = 'new'")
    await run(engine, "UPDATE agent_interrupt SET status = 'expired', resolved_at = now()")
    assert await chore(engine, last_checkpoint_retention_days=30).drop_states() == len(stay)
    assert [part for part in await run(engine, _PARTS) if part < "2"] == []


async def test_a_thread_that_somebody_changes_in_the_same_moment_is_left_for_later(
    engine: AsyncEngine,
) -> None:
    held, *_ = await ids(engine)
    found = await find_old(engine, days=30, after=0, rows=10)
    assert found.found == (await ids(engine))[:2]
    assert (await find_replaced(engine, days=30, after=0, rows=10)).found == await ids(engine)
    async with engine.begin() as request:
        # As an acceptance does, which has not written its run yet.
        await request.execute(
            text("SELECT FROM agent_chat_session WHERE id = :id FOR NO KEY UPDATE"), {"id": held}
        )
        assert await drop_old(engine, held, days=30) == await drop_replaced(engine, held, days=30) == 0
    # Found, and gone on with before it was locked.
    await run(engine, NEEDED["a queued run"][0], session_id=held)
    assert await drop_old(engine, held, days=30) == 0


async def test_a_conversation_without_a_state_goes_on_with_its_history(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.stream_run("hello", thread="done")
        asked = await stack.stream_run("fetch http://127.0.0.1:9/", thread="asks")
        assert asked.interrupts
        await stack.fetch("UPDATE agent_run SET ended_at = ended_at - interval '100 days'")
        engine = stack.apis[0].app.state.container.exports.engine
        kept = chore(engine, last_checkpoint_retention_days=30)

        assert await kept.drop_states() == 1
        assert await run(engine, "SELECT count(*) FROM agent_state") == [1]
        # An open question ends by its own time; then nobody needs the state.
        await stack.fetch("UPDATE agent_interrupt SET expires_at = now()")
        async with manual_reaper(stack.settings) as reaper:
            await reaper.reap()
        assert await kept.drop_states() == 1

        for thread in ("done", "asks"):
            reply = await stack.stream_run(f"and then, {thread}?", thread=thread)
            assert reply.end["outcome"] == {"type": "success"}, reply.body
            bodies = [body["messages"] for body in stack.demo.requests if "messages" in body]
            (said,) = [each for each in bodies if each[-1]["content"] == f"and then, {thread}?"]
            first = "hello" if thread == "done" else "fetch http://127.0.0.1:9/"
            assert first in [message["content"] for message in said]
        assert await run(engine, "SELECT count(*) FROM agent_state") == [2]
