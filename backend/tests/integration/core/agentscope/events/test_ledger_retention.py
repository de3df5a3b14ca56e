"""Lines of usage go after their time, oldest first, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.keep_chore import KeepChore
from core.config import DatabaseSettings, WorkerSettings
from core.database import create_engine

# So many days old, in the order in which they were written; the last one came with an import.
_AGES = (50, 40, 35, 10, 0, 60)
_CALLS = """
INSERT INTO agent_model_call (tenant_id, user_id, call_id, stage, provider, model, input_tokens, output_tokens,
    cached_input_tokens, cache_write_tokens, reasoning_tokens, estimated, currency, cost_source, latency_ms, outcome, created_at)
SELECT 't', 'u', age, '', '', '', 1, 1, 0, 0, 0, false, 'USD', 'unknown', 1, 'succeeded', now() - age * interval '1 day'
FROM unnest(CAST(:ages AS integer[])) WITH ORDINALITY AS a(age, place) ORDER BY place
"""
_TRANSCRIPTIONS = """
INSERT INTO agent_transcription (tenant_id, user_id, provider, model, audio_kind, audio_bytes, audio_ms, created_at)
SELECT 't', 'u', '', '', '', 1, 1, now() - age * interval '1 day'
FROM unnest(CAST(:ages AS integer[])) WITH ORDINALITY AS a(age, place) ORDER BY place
"""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    async with engine.begin() as connection:
        for statement in (_CALLS, _TRANSCRIPTIONS):
            await connection.execute(text(statement), {"ages": list(_AGES)})
    yield engine
    await engine.dispose()


async def ages(engine: AsyncEngine) -> list[list[int]]:
    """Return the ages of the lines that are left, of each ledger."""
    found: list[list[int]] = []
    async with engine.connect() as connection:
        for ledger in ("agent_model_call", "agent_transcription"):
            left = await connection.execute(
                text(f"SELECT extract(day FROM now() - created_at)::integer FROM {ledger} ORDER BY id")  # noqa: S608
            )
            found.append(list(left.scalars()))
    return found


def chore(engine: AsyncEngine, days: int) -> KeepChore:
    nobody: Any = None
    return KeepChore(engine, Turns(engine), WorkerSettings(usage_retention_days=days), nobody)


@pytest.mark.parametrize(("rows", "left"), [(1, [10, 0, 60]), (2, [10, 0]), (3, [10, 0]), (1000, [10, 0])])
async def test_lines_go_after_their_time_and_a_search_ends_where_they_are_young(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, rows: int, left: list[int]
) -> None:
    monkeypatch.setattr("core.agentscope.runtime.work.keep_chore.WINDOW_ROWS", rows)
    assert await chore(engine, 0).drop_usage() == 0
    assert await ages(engine) == [list(_AGES)] * 2

    assert await chore(engine, 30).drop_usage() == 2 * (len(_AGES) - len(left))

    assert await ages(engine) == [left, left]


async def test_one_worker_does_it_in_its_turn(engine: AsyncEngine) -> None:
    first, second = chore(engine, 30), chore(engine, 1)
    await first.tend()
    left = await ages(engine)
    assert left[0][:2] == [10, 0]
    await second.tend()
    assert await ages(engine) == left


async def test_a_class_that_fails_keeps_no_other(engine: AsyncEngine) -> None:
    both = WorkerSettings(thread_retention_days=30, usage_retention_days=30)
    async with engine.begin() as connection:
        await connection.execute(
            text("""INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, updated_at)
                VALUES ('t', 'u', 'old', now() - interval '40 days')""")
        )

    async def fail(*_: Any) -> None:
        raise RuntimeError("the store of files is broken")

    with capture_logs() as lines:
        await KeepChore(engine, Turns(engine), both, fail).tend()

    assert [line["kept"] for line in lines if line["event"] == "keep_chore_failed"] == ["threads"]
    assert (await ages(engine))[0] == [10, 0]
