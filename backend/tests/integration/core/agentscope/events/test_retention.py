"""The events of old runs go in bounded steps, whatever the order of threads, and also if a worker dies in the middle."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events import retention
from core.agentscope.events.retention import EventRetention
from core.config import DatabaseSettings
from core.database import create_engine

THREADS = 10
# Each thread has two runs, each run five events. Runs of the threads with an even id are old: both of them, or the first one only.
_FILL = (
    """INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, last_ordinal)
    SELECT 't', 'u', n, 2 FROM generate_series(1, 10) AS n""",
    """INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input,
        status, ordinal, next_hint_at, queue_deadline_at, ended_at)
    SELECT s.id, 't', 'u', s.id || '-' || o, '', s.id || '-' || o, '', '{}', 'succeeded', o, now(), now(),
        CASE WHEN s.id % 2 = 0 AND o <= 1 + s.id % 4 / 2 THEN now() - interval '8 days' ELSE now() END
    FROM agent_chat_session AS s, generate_series(1, 2) AS o""",
    """INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload)
    SELECT session_id, ordinal, seq, 1, 'CUSTOM', '{}' FROM agent_run, generate_series(1, 5) AS seq""",
)
_OLD = """
SELECT count(*) FROM agent_run_event AS e JOIN agent_run AS r USING (session_id, ordinal) WHERE r.ended_at < now() - interval '7 days'
"""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    async with engine.begin() as connection:
        for statement in _FILL:
            await connection.execute(text(statement))
    yield engine
    await engine.dispose()


async def count(engine: AsyncEngine, sql: str) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(text(sql))).scalar_one()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "WINDOW_THREADS", 3)
    monkeypatch.setattr(retention, "PRUNE_ROWS", 2)
    monkeypatch.setattr(retention, "STEP_ROWS", 8)


async def test_bounded_steps_delete_everything_that_is_old_and_nothing_else(engine: AsyncEngine) -> None:
    events, old = await count(engine, "SELECT count(*) FROM agent_run_event"), await count(engine, _OLD)
    assert events > old > 0
    found = EventRetention(engine, days=7)
    steps: list[int] = []
    done = False
    while not done:
        deleted, done = await found.step(batch=2)
        steps.append(deleted)
        # Once for what was begun, once for what this step begins; each ends with a batch.
        assert deleted <= 2 * (retention.STEP_ROWS + retention.PRUNE_ROWS)
        assert len(steps) <= THREADS + old

    assert await count(engine, _OLD) == 0
    assert sum(steps) == old
    assert await count(engine, "SELECT count(*) FROM agent_run_event") == events - old
    assert await count(engine, "SELECT count(*) FROM agent_chore") == 0
    # Three threads a look.
    assert len(steps) >= THREADS / 3
    assert await found.step(batch=2) == (0, False)


async def test_what_a_dead_worker_had_begun_is_deleted_by_the_next(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DeadError(Exception):
        pass

    whole = retention._delete_batch
    passed = 0

    async def dies(engine: AsyncEngine, session_id: int, ordinal: int) -> int:
        nonlocal passed
        passed += 1
        if passed == 2:
            raise DeadError
        return await whole(engine, session_id, ordinal)

    monkeypatch.setattr(retention, "_delete_batch", dies)
    with pytest.raises(DeadError):
        await EventRetention(engine, days=7).step(batch=50)
    assert await count(engine, "SELECT count(*) FROM agent_chat_session WHERE pruned_ordinal > 0") > 0
    assert await count(engine, _OLD) > 0

    done, after = False, EventRetention(engine, days=7)
    while not done:
        _, done = await after.step(batch=50)

    assert await count(engine, _OLD) == 0
    assert await count(engine, "SELECT count(*) FROM agent_chore") == 0
