"""Migrations on real databases: up, down, at once from two sides, and against the models."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.support.limits import HUNG_SECONDS
from tests.support.schema_catalogue import Catalogue, catalogue, taken
from tests.support.stack import eventually

from agentroute import migrations
from agentroute.migrations import MigrationError, scripts
from agentroute.schema_state import FIRST_REVISION, SchemaState, compatible_from, find_state, schema
from models import AgentRun


async def _tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    return {row["tablename"] for row in rows} - {"alembic_version"}


async def _execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def test_up_makes_every_table_and_down_leaves_none(blank_database_url: str) -> None:
    await migrations.upgrade(blank_database_url)
    assert await migrations.current(blank_database_url) == schema().revision
    assert await _tables(blank_database_url) == set(AgentRun.metadata.tables)

    await migrations.downgrade(blank_database_url, "base")
    assert await migrations.current(blank_database_url) is None
    assert await _tables(blank_database_url) == set()

    await migrations.upgrade(blank_database_url)
    assert await _tables(blank_database_url) == set(AgentRun.metadata.tables)


async def test_two_processes_may_migrate_at_once(blank_database_url: str) -> None:
    await asyncio.gather(*(migrations.upgrade(blank_database_url) for _ in range(4)))

    assert await migrations.current(blank_database_url) == schema().revision


_WAITS = """
SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'agent_run'::regclass AND database =
    (SELECT oid FROM pg_database WHERE datname = current_database())
"""


_WAITS_FOR_LONG = """
SELECT 1 FROM pg_stat_activity WHERE application_name = 'agentroute-migrate' AND datname = current_database()
    AND wait_event = 'virtualxid' AND clock_timestamp() - query_start > interval '3 s'
"""


async def test_a_migration_that_waits_for_a_table_lets_the_service_go_on(blank_database_url: str) -> None:
    # 0018 adds a column to agent_run: it needs the table for itself.
    await migrations.upgrade(blank_database_url, "0017")
    holder, other = [await asyncpg.connect(blank_database_url) for _ in range(2)]
    try:
        report = holder.transaction()
        await report.start()
        await holder.execute("SELECT count(*) FROM agent_run")
        migrating = asyncio.create_task(migrations.upgrade(blank_database_url, "0018"))
        for _ in range(2):
            await eventually(lambda: other.fetch(_WAITS))
            # Behind the migration, and before the report ends: only a migration that gives up lets it through.
            assert await other.fetchval("SELECT count(*) FROM agent_run", timeout=HUNG_SECONDS) == 0
        assert not migrating.done()
        await report.commit()
        async with asyncio.timeout(HUNG_SECONDS):
            await migrating
        assert await migrations.current(blank_database_url) == "0018"
    finally:
        for connection in (holder, other):
            await connection.close()


async def test_a_migration_that_gets_no_lock_says_so_and_changes_nothing(blank_database_url: str) -> None:
    await migrations.upgrade(blank_database_url, "0017")
    holder = await asyncpg.connect(blank_database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE agent_run IN ACCESS SHARE MODE")
            with pytest.raises(MigrationError, match="others hold a table"):
                await migrations.upgrade(blank_database_url, "0018", locked_seconds=0)
        assert await migrations.current(blank_database_url) == "0017"
        columns = await holder.fetch("SELECT 1 FROM pg_attribute WHERE attname = 'agent_id' AND attnum > 0")
        assert columns == []
    finally:
        await holder.close()


async def test_an_index_that_is_built_beside_the_service_waits_for_a_long_transaction(
    blank_database_url: str,
) -> None:
    # 0012 builds indexes concurrently: a limit of a lock would end that each time, and leave a broken index.
    await migrations.upgrade(blank_database_url, "0011")
    holder, other = [await asyncpg.connect(blank_database_url) for _ in range(2)]
    try:
        report = holder.transaction(isolation="repeatable_read")
        await report.start()
        await holder.fetch("SELECT 1 FROM agent_run")
        migrating = asyncio.create_task(migrations.upgrade(blank_database_url, "0012"))
        await eventually(lambda: other.fetch(_WAITS_FOR_LONG))
        assert not migrating.done()
        await report.commit()
        async with asyncio.timeout(HUNG_SECONDS):
            await migrating
        assert await other.fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    finally:
        for connection in (holder, other):
            await connection.close()


async def test_each_try_has_the_limit_of_a_lock_also_after_one_that_failed_beside_the_service(
    blank_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[str] = []

    def fails_once(config: Config, _revision: str) -> None:
        connection: Connection = config.attributes["connection"]
        limits.append(connection.execute(text("SHOW lock_timeout")).scalar_one())
        # As ``concurrently`` does.
        connection.execute(text("SET lock_timeout = 0"))
        connection.commit()
        if len(limits) == 1:
            connection.execute(text("DO $$ BEGIN RAISE deadlock_detected; END $$"))

    monkeypatch.setattr(command, "upgrade", fails_once)
    await migrations.upgrade(blank_database_url)

    assert limits == ["2s", "2s"]


async def test_up_at_the_newest_revision_changes_nothing(database_url: str) -> None:
    before = await _tables(database_url)

    await migrations.upgrade(database_url)

    assert await _tables(database_url) == before


async def _as_of(url: str, revision: str, compatible_from: str | None) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "UPDATE alembic_version SET version_num = $1, compatible_from = $2", revision, compatible_from
        )
    finally:
        await connection.close()


async def test_a_database_of_a_newer_version_is_left_alone_if_this_one_can_use_it(
    blank_database_url: str,
) -> None:
    await migrations.upgrade(blank_database_url)
    await _as_of(blank_database_url, "from-the-future", schema().revision)

    # A version that is rolled back begins with `agentroute migrate`, too.
    await migrations.upgrade(blank_database_url)

    assert (await find_state(blank_database_url)).revision == "from-the-future"


@pytest.mark.parametrize("oldest", ["also-from-the-future", None])
async def test_a_database_of_a_newer_version_is_refused_otherwise(
    blank_database_url: str, oldest: str | None
) -> None:
    await migrations.upgrade(blank_database_url)
    await _as_of(blank_database_url, "from-the-future", oldest)

    with pytest.raises(MigrationError, match="from a newer version"):
        await migrations.upgrade(blank_database_url)


async def test_the_database_says_who_can_use_it_at_every_step(blank_database_url: str) -> None:
    revisions = [script.revision for script in reversed(list(scripts().walk_revisions()))]
    since = revisions[revisions.index(FIRST_REVISION) :]
    for revision in since:
        await migrations.upgrade(blank_database_url, revision)
        state = await find_state(blank_database_url)
        assert state == SchemaState(revision, compatible_from(scripts(), revision))
        assert state.compatible_from in revisions
    for revision in reversed(since):
        await migrations.downgrade(blank_database_url, revision)
        assert (await find_state(blank_database_url)).compatible_from == compatible_from(scripts(), revision)
    await migrations.downgrade(blank_database_url, "-1")
    assert (await find_state(blank_database_url)).compatible_from is None


# Of what a step takes: what no code used any more, and since when.
NOT_USED = {"function agent_search_owner(text,text)": "0013"}


async def test_who_a_step_says_can_use_the_schema_finds_everything_it_knows(blank_database_url: str) -> None:
    stood: dict[str, Catalogue] = {}
    for step in reversed(list(scripts().walk_revisions())):
        await migrations.upgrade(blank_database_url, step.revision)
        stood[step.revision] = await catalogue(blank_database_url)

        oldest = step.module.compatible_from
        missed = taken(stood[oldest], stood[step.revision])
        assert [thing for thing in missed if oldest < NOT_USED.get(thing, "9999")] == [], step.path


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ALTER TABLE agent_memory DROP COLUMN text", "column agent_memory.text"),
        ("ALTER TABLE agent_memory RENAME text TO words", "column agent_memory.text"),
        ("ALTER TABLE agent_memory ALTER text TYPE varchar(9)", "column agent_memory.text"),
        ("ALTER TABLE agent_memory ADD place bigint NOT NULL", "new demand agent_memory.place"),
        (
            "ALTER TABLE agent_memory ADD CHECK (text <> '')",
            "new demand agent_memory: CHECK ((text <> ''::text))",
        ),
        ("ALTER TABLE agent_run ALTER worker_id SET NOT NULL", "new demand agent_run.worker_id"),
        ("ALTER TABLE agent_run ALTER segment DROP DEFAULT", "new demand agent_run.segment"),
        ("CREATE UNIQUE INDEX ON agent_memory (text)", "new unique agent_memory: btree (text)"),
        ("DROP INDEX uq_agent_run_live", "unique agent_run: btree (session_id) WHERE"),
        ("DROP TABLE agent_chore", "table agent_chore"),
        ("DROP FUNCTION agent_search_words CASCADE", "function agent_search_words(text)"),
    ],
)
async def test_what_a_step_takes_is_found(database_url: str, change: str, fault: str) -> None:
    before = await catalogue(database_url)
    await _execute(database_url, change)

    assert any(found.startswith(fault) for found in taken(before, await catalogue(database_url)))


async def test_what_a_step_adds_harms_nobody(database_url: str) -> None:
    before = await catalogue(database_url)
    await _execute(
        database_url,
        """
        CREATE TABLE more (id bigint PRIMARY KEY, run bigint NOT NULL REFERENCES agent_run, UNIQUE (run));
        ALTER TABLE agent_memory ADD place bigint NOT NULL DEFAULT 0, ADD note text;
        ALTER TABLE agent_memory ALTER text DROP NOT NULL;
        CREATE INDEX ON agent_memory (note);
        """,
    )

    assert taken(before, await catalogue(database_url)) == []


async def test_a_missing_server_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await migrations.current("postgresql://user@127.0.0.1:1/name")


async def test_the_migrations_make_what_the_models_say(database_url: str) -> None:
    async with migrations.connect(database_url) as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True}), AgentRun.metadata
            )
        )

    assert differences == []


async def test_threads_that_wait_for_their_client_wait_on_after_the_migration(
    blank_database_url: str,
) -> None:
    await migrations.upgrade(blank_database_url, "0003")
    connection = await asyncpg.connect(blank_database_url)
    try:
        await connection.execute(
            """
            INSERT INTO agent_chat_session (tenant_id, user_id, thread_id) VALUES ('t', 'u', 'thread');
            INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash,
                                   input, status, ordinal, next_kick_at, queue_deadline_at, ended_at)
            SELECT s.id, 't', 'u', 'run-' || n, 'task', 'key-' || n, '', '{}', 'succeeded', n, now(), now(), now()
            FROM agent_chat_session AS s, generate_series(1, 2) AS n;
            INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state)
            SELECT id, session_id, ordinal, '2', '{}' FROM agent_run;
            INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload)
            SELECT session_id, ordinal, 9, 1, 'RUN_FINISHED', CASE ordinal
                WHEN 1 THEN '{"type":"RUN_FINISHED","outcome":{"type":"success"}}'
                ELSE '{"type":"RUN_FINISHED","outcome":{"type":"success","pendingToolCallIds":["c1","c2"]}}' END
            FROM agent_run;
            """
        )
        await migrations.upgrade(blank_database_url)
        rows = await connection.fetch("SELECT client_calls FROM agent_checkpoint ORDER BY ordinal")
    finally:
        await connection.close()

    assert [row["client_calls"] for row in rows] == [[], ["c1", "c2"]]


async def test_what_threads_show_is_counted_and_processes_of_the_version_before_keep_it_right(
    blank_database_url: str,
) -> None:
    await migrations.upgrade(blank_database_url, "0013")
    connection = await asyncpg.connect(blank_database_url)

    async def counted() -> list[tuple[int, int]]:
        rows = await connection.fetch(
            """SELECT last_position - hidden_positions AS told, (SELECT count(*) FROM agent_chat_message AS m
                   WHERE m.session_id = s.id AND m.replaced_by_ordinal IS NULL) AS shown
            FROM agent_chat_session AS s ORDER BY id"""
        )
        return [(row["told"], row["shown"]) for row in rows]

    try:
        await connection.execute(
            """
            INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, last_position)
            SELECT 't', 'u', 'thread-' || n, 10 FROM generate_series(1, 4) AS n;
            -- All shown; three replaced; one position not used; none.
            INSERT INTO agent_chat_message (session_id, position, message_id, ordinal, role, replaced_by_ordinal)
            SELECT s, n, 'm-' || n, 1, 'tool', CASE WHEN s = 2 AND n > 7 THEN 2 END
            FROM generate_series(1, 3) AS s, generate_series(1, 10) AS n WHERE s <> 3 OR n <> 4;
            """
        )
        await migrations.upgrade(blank_database_url)
        assert await counted() == [(10, 10), (7, 7), (9, 9), (0, 0)]

        replace = """UPDATE agent_chat_message SET replaced_by_ordinal = 3
            WHERE position >= $1 AND session_id <= 2 AND replaced_by_ordinal IS NULL"""
        await connection.execute(replace, 6)
        await connection.execute(replace, 4)
        await connection.execute("UPDATE agent_chat_message SET position = -position WHERE position < 3")
        assert await counted() == [(3, 3), (3, 3), (9, 9), (0, 0)]
    finally:
        await connection.close()


async def test_what_was_stored_before_is_counted_and_a_broken_off_step_is_repeated(
    blank_database_url: str,
) -> None:
    await migrations.upgrade(blank_database_url, "0024")
    await _execute(
        blank_database_url,
        """INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key) VALUES ('t', 'ada', 'Tea.', 'k');
        INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, state) VALUES ('t', 'ada', 'c', '{"a": 1}')""",
    )
    await migrations.upgrade(blank_database_url, "0025")
    # As after a process that died between what the step commits and its last statement.
    await _execute(blank_database_url, "DELETE FROM agent_stored_change")
    await _as_of(blank_database_url, "0024", compatible_from(scripts(), "0024"))

    await migrations.upgrade(blank_database_url, "0025")
    await migrations.upgrade(blank_database_url)

    connection = await asyncpg.connect(blank_database_url)
    try:
        stored = await connection.fetchval("SELECT agent_stored('t', 'ada')")
        assert (stored, await connection.fetch("SELECT * FROM agent_stored_drift()")) == (12, [])
    finally:
        await connection.close()
