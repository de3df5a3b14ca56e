"""``agentroute partition``: makes the log a partitioned table, while the service runs. See docs/adr/0069.

No row is copied: what there is becomes the first part. The steps can be repeated, so a call that was interrupted is made
again:

1. A constraint says that all events of now belong to the first part; it is not checked yet.
2. It is checked: the only step that takes long. It reads the whole table, and everybody goes on.
3. The table becomes the first part of a new one that has its name, in one transaction of some milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from agentroute.migration_steps import LOCK_SECONDS
from agentroute.migrations import LOCK
from agentroute.schema_state import read_state, schema
from core.config import DatabaseSettings
from core.postgres_connection import direct_dsn, open_connection

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 600.0
"""How long a step is tried again while others hold what it needs."""
_AGAIN_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_HELD_BY_OTHERS = ("55P03", "40P01")

IS_PARTED = "SELECT EXISTS (SELECT FROM agent_log_part)"
_CONSTRAINT = """
SELECT convalidated FROM pg_constraint
WHERE conrelid = 'agent_run_event'::regclass AND conname = 'ck_agent_run_event_first_part'
"""
_CONSTRAIN = """
ALTER TABLE agent_run_event ADD CONSTRAINT ck_agent_run_event_first_part CHECK (log_part >= 0 AND log_part < 1) NOT VALID
"""
_VALIDATE = "ALTER TABLE agent_run_event VALIDATE CONSTRAINT ck_agent_run_event_first_part"

_CONVERT = """
BEGIN;
-- In the order in which the service takes them.
LOCK TABLE agent_chat_session, agent_run_event IN ACCESS EXCLUSIVE MODE;
ALTER TABLE agent_run_event RENAME TO agent_run_event_0;
-- A part is dropped without a lock of the threads: a trigger does what the key did.
ALTER TABLE agent_run_event_0 DROP CONSTRAINT fk_agent_run_event_session_id;
CREATE TABLE agent_run_event (LIKE agent_run_event_0 INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (log_part);
-- What a process of the version before writes; its runs have this log_part or an older one.
ALTER TABLE agent_run_event ALTER COLUMN log_part SET DEFAULT agent_current_log_part();
ALTER TABLE agent_run_event ATTACH PARTITION agent_run_event_0 FOR VALUES FROM (0) TO (1);

CREATE FUNCTION agent_forget_events() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM agent_run_event WHERE session_id = OLD.id;
    RETURN NULL;
END $$;
-- Last by its name: the runs are gone before, so nobody writes events any more.
CREATE TRIGGER zz_agent_forget_events AFTER DELETE ON agent_chat_session
FOR EACH ROW EXECUTE FUNCTION agent_forget_events();

-- The version before deletes by ctid, which names a row of one table only: it would delete other threads' events.
CREATE FUNCTION agent_guard_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_query() LIKE '%ctid%' THEN
        RAISE EXCEPTION 'the log is partitioned: this version cannot delete events' USING ERRCODE = '55P03';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER agent_guard_events BEFORE DELETE ON agent_run_event
FOR EACH STATEMENT EXECUTE FUNCTION agent_guard_events();

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT a.grantee, a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a
        WHERE c.oid = 'agent_run_event_0'::regclass
    LOOP
        EXECUTE format('GRANT %s ON agent_run_event TO %s', found.privilege_type,
            CASE found.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(found.grantee)) END);
    END LOOP;
END $$;
INSERT INTO agent_log_part (log_part, opened_at) VALUES (0, 'epoch');
SELECT agent_open_log_part(0);
COMMIT;
"""

Step = Callable[[asyncpg.Connection], Awaitable[object]]


class PartitioningError(Exception):
    """The log cannot be partitioned now. The message is one line that says what to do."""


async def partition_log(
    settings: DatabaseSettings,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    on_step: Callable[[str], None] = lambda _step: None,
) -> bool:
    """Make the log a partitioned table; False if it is one.

    Args:
        settings: Where Postgres is; the role has to own the tables.
        patience_seconds: How long each step waits for others.
        on_step: Called with the name of each step before it begins.

    Raises:
        PartitioningError: Nothing was done, or a step that the next call repeats.
        OSError, asyncpg.PostgresError: The server does not answer, or refuses.
    """
    connection = await open_connection(
        direct_dsn(settings),
        application_name="agentroute-partition",
        connect_seconds=_CONNECT_SECONDS,
        # A look at the whole table takes as long as it takes.
        statement_seconds=None,
    )
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            raise PartitioningError(
                "another process migrates this database; wait for it, then run this command again"
            )
        if schema().judge(await read_state(connection)) not in ("current", "newer"):
            raise PartitioningError("the schema is of another version; run `agentroute migrate` first")
        if await connection.fetchval(IS_PARTED):
            return False
        await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        if await connection.fetchval(_CONSTRAINT) is None:
            on_step("constrain")
            await _patiently(connection, lambda each: each.execute(_CONSTRAIN), patience_seconds)
        if not await connection.fetchval(_CONSTRAINT):
            on_step("validate")
            await _patiently(connection, lambda each: each.execute(_VALIDATE), patience_seconds)
        on_step("convert")
        await _patiently(connection, lambda each: each.execute(_CONVERT), patience_seconds)
        return True
    finally:
        await connection.close()


async def _patiently(connection: asyncpg.Connection, step: Step, patience_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            await step(connection)
        except asyncpg.PostgresError as exc:
            if getattr(exc, "sqlstate", None) not in _HELD_BY_OTHERS:
                raise
            await connection.execute("ROLLBACK")
            if loop.time() >= deadline:
                raise PartitioningError(
                    "others hold the log and do not let go; nothing is broken. End their transactions "
                    + "(pg_stat_activity shows them), then run `agentroute partition` again"
                ) from exc
            log.info("partition_waits", why="Others hold a table that it changes.")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return
