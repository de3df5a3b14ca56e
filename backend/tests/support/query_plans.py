"""Which statements a service sends, and what its database would read to answer them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement

GROW = Path(__file__).parents[3] / "bench" / "grow.sql"
# The small tables too, and what is under way: in a quarter of the threads a run, in another a question. Retention has
# been at most threads.
_MORE = """
UPDATE agent_chat_session SET pruned_ordinal = last_ordinal WHERE id % 10 > 0;
UPDATE agent_run SET status = 'running', ended_at = NULL, lease_until = now() WHERE ordinal = 5 AND session_id % 4 = 0;
INSERT INTO agent_interrupt (session_id, run_pk, interrupt_id, status, reason, message, response_schema, expires_at,
    resolved_by_run_pk, resolved_at)
SELECT session_id, id, 'more-' || id, CASE WHEN open THEN 'open' ELSE 'resolved' END, '', '', '{}', now() + interval '1 day',
    CASE WHEN NOT open THEN id + 1 END, CASE WHEN NOT open THEN now() END
FROM (SELECT *, ordinal = 5 AND session_id % 4 = 1 AS open FROM agent_run) AS r;
INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, last_ordinal, pruned_ordinal)
SELECT 'local', 'more-' || n / 100, n, 5, 5 FROM generate_series(0, 9999) AS n;
INSERT INTO user_budget (tenant_id, user_id, day)
SELECT 'local', 'more-' || n / 30, current_date - n % 30 FROM generate_series(0, 9999) AS n;
INSERT INTO user_budget_reservation (call_id, run_pk, tenant_id, user_id, day, tokens, cost, expires_at)
SELECT n, n, 'local', 'more', now(), 1, 0, now() + interval '1 hour' FROM generate_series(1, 5000) AS n;
INSERT INTO agent_transcription (tenant_id, user_id, provider, model, audio_kind, audio_bytes, audio_ms)
SELECT 'local', 'more-' || n / 100, '', '', '', 0, 0 FROM generate_series(0, 9999) AS n;
INSERT INTO agent_file (tenant_id, user_id, state, name_in_store, sha256, media_type, name, bytes, unused_since)
SELECT 'local', 'more-' || n / 100, CASE WHEN n % 1000 > 0 THEN 'ready' ELSE 'deleting' END, 'more/' || n,
    sha256(n::text::bytea), '', '', 1, CASE WHEN n % 100 = 0 THEN now() END FROM generate_series(0, 9999) AS n;
INSERT INTO agent_file_use (session_id, file_id)
SELECT s.id, f.id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM agent_chat_session) AS s
    JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM agent_file) AS f ON f.n = s.n;
INSERT INTO agent_file_gone (session_id, sha256)
SELECT id, sha256(id::text::bytea) FROM agent_chat_session;
INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key)
SELECT 'local', 'more-' || n / 100, '', n FROM generate_series(0, 9999) AS n;
INSERT INTO agent_connection (tenant_id, user_id, server, resource, kind, sealed)
SELECT 'local', 'more-' || n / 100, 'server-' || n % 100, '', 'oauth', '' FROM generate_series(0, 9999) AS n;
INSERT INTO agent_erasure (erasure_id, tenant_id, subject, asked_by, asked_at, finished_at)
SELECT n::text, 'default', sha256(n::text::bytea), 'owner', now() - n * interval '1 hour', now()
FROM generate_series(1, 5000) AS n;
INSERT INTO agent_oauth_login (tenant_id, user_id, server, resource, link_hash, state_hash, expires_at)
SELECT 'local', 'more-' || n / 100, 'server', '', sha256(n::text::bytea), sha256(n::text::bytea),
    now() + n * interval '1 minute' FROM generate_series(1, 10000) AS n;
INSERT INTO agent_oauth_client (issuer, redirect_uri, client_id, sealed)
SELECT n, n, n, '' FROM generate_series(1, 5000) AS n;
INSERT INTO agent_api_key (key_id, tenant_id, user_id, scopes, digest, created_by)
SELECT 'more' || n, 'tenant-' || n / 100, 'more', '{read}', sha256(n::text::bytea), 'cli' FROM generate_series(1, 10000) AS n;
INSERT INTO agent_schedule (tenant_id, user_id, schedule_id, request_hash, form, decided_to, next_at, ended_at, credential,
    scopes, groups, claims)
SELECT 'local', 'more-' || n / 100, n, '', '{}', now(), CASE WHEN n % 10 > 0 THEN now() + n * interval '1 minute' END,
    CASE WHEN n % 10 = 0 THEN now() END, 'token', '{run}', '{}', '{}' FROM generate_series(0, 9999) AS n;
INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, state, give_up_at, settled_at)
SELECT id, n, now(), CASE WHEN id % 1000 = 0 THEN 'pending' ELSE 'accepted' END, now(),
    CASE WHEN id % 1000 > 0 THEN now() END FROM agent_schedule, generate_series(1, 3) AS n;
UPDATE agent_stored_change SET tenant_id = 'tenant-' || id % 1000;
INSERT INTO agent_stored_user (tenant_id, user_id, bytes)
SELECT 'local', 'more-' || n, 1 FROM generate_series(1, 10000) AS n;
INSERT INTO agent_stored_tenant (tenant_id, bytes) SELECT 'tenant-' || n, 1 FROM generate_series(1, 10000) AS n;
INSERT INTO agent_webhook_endpoint (name, events) VALUES ('more-1', '{run.succeeded}');
INSERT INTO agent_webhook_message (run_pk, lane, type, state, next_at, created_at)
SELECT id, 'more-' || id % 20, 'run.succeeded',
    CASE id % 100 WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' ELSE 'delivered' END, now() + id * interval '1 second',
    now() - id * interval '1 minute' FROM agent_run;
INSERT INTO agent_run_webhook (run_pk, tenant_id, user_id, host, sealed, created_at)
SELECT id, tenant_id, user_id, 'more', '', now() - id * interval '1 minute' FROM agent_run;
VACUUM ANALYZE;
"""
_FIRST_COLUMNS = """
SELECT c.relname AS index, a.attname AS first
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
"""
_PLANNED = ("select", "insert", "update", "delete", "with")


@contextmanager
def statements_noted() -> Iterator[dict[str, Sequence[Any]]]:
    """Note each statement that connections of the service execute, with the parameters of the first time."""
    noted: dict[str, Sequence[Any]] = {}

    def note(connection: Any, query: str, arguments: Sequence[Any]) -> None:
        name = (connection._params.server_settings or {}).get("application_name", "")
        if name.startswith("agentroute"):
            noted.setdefault(query.strip(), arguments)

    execute, many = asyncpg.Connection._execute, PreparedStatement.executemany
    prepared: Any = vars(PreparedStatement)["_PreparedStatement__bind_execute"]

    async def execute_noted(self: Any, query: str, arguments: Any, *rest: Any, **options: Any) -> Any:
        note(self, query, arguments)
        return await execute(self, query, arguments, *rest, **options)

    async def prepared_noted(self: Any, arguments: Any, *rest: Any) -> Any:
        note(self._connection, self._query, arguments)
        return await prepared(self, arguments, *rest)

    async def many_noted(self: Any, arguments: Any, **options: Any) -> Any:
        rows = list(arguments)
        note(self._connection, self._query, rows[0])
        return await many(self, rows, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_execute", execute_noted)
        patch.setattr(PreparedStatement, "_PreparedStatement__bind_execute", prepared_noted)
        patch.setattr(PreparedStatement, "executemany", many_noted)
        yield noted


@dataclass(frozen=True, slots=True)
class Scan:
    """How a plan reads one table."""

    table: str
    way: str
    index: str | None
    narrowed: bool
    """Whether it enters the index by its first column. By a later one alone, it reads all of it."""


async def grow(url: str, runs: int) -> None:
    """Fill the tables with runs of other users, as ``bench/grow.sql`` does."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SET grow.runs = {runs}")
        await connection.execute(GROW.read_text(encoding="utf-8"))
        for statement in filter(None, _MORE.split(";\n")):
            await connection.execute(statement)
    finally:
        await connection.close()


async def scans(connection: asyncpg.Connection, statement: str, arguments: Sequence[Any]) -> list[Scan]:
    """Return how the database would read the tables of a statement; none of one that has no plan."""
    if not statement.lstrip("( \n").lower().startswith(_PLANNED):
        return []
    first = {row["index"]: row["first"] for row in await connection.fetch(_FIRST_COLUMNS)}
    found: Any = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return list(_scans(json.loads(found)[0]["Plan"], first))


def _scans(node: dict[str, Any], first: Mapping[str, str], table: str = "") -> Iterator[Scan]:
    table = node.get("Relation Name", table)
    way = node["Node Type"]
    if way in ("Seq Scan", "Sample Scan"):
        yield Scan(table, way, None, narrowed=False)
    elif way in ("Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        index = node["Index Name"]
        entered = re.search(rf"\b{first[index]}\b", node.get("Index Cond", ""))
        yield Scan(table, way, index, narrowed=entered is not None)
    for child in node.get("Plans", ()):
        yield from _scans(child, first, table if way.startswith("Bitmap") else "")
