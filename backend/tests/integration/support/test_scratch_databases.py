"""Tests of the databases that tests get: nothing of one test reaches the next."""

from __future__ import annotations

import asyncpg
from tests.support.scratch_databases import ScratchDatabases

from agentroute import migrations
from agentroute.schema_state import schema


async def _execute(url: str, statement: str) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_migrated_database_is_at_the_newest_revision(database_url: str) -> None:
    assert await migrations.current(database_url) == schema().revision


async def test_a_blank_database_has_no_table(blank_database_url: str) -> None:
    assert (
        await _execute(blank_database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    )


def test_a_database_with_a_changed_schema_is_not_lent_again(databases: ScratchDatabases) -> None:
    with databases.migrated() as url:
        databases.call(_execute, url, "CREATE TABLE stray (id bigint)")
    with databases.migrated() as other:
        assert databases.call(_execute, other, "SELECT to_regclass('stray')") is None
    assert other != url


def test_rows_of_an_earlier_test_are_gone(databases: ScratchDatabases) -> None:
    with databases.migrated() as url:
        databases.call(
            _execute,
            url,
            "INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key) VALUES ('t', 'u', 'x', 'k') RETURNING id",
        )
    with databases.migrated() as again:
        assert databases.call(_execute, again, "SELECT count(*) FROM agent_memory") == 0
    assert again == url
