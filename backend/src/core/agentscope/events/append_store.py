"""T-append: the only way to write an event while its run is running.

One statement advances ``last_seq`` and the lease of every run of a flush, with the fence (attempt, status), and inserts
the events. The statement has a connection of its own, because it is the hot path of the service.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from core.agentscope.events.append_writer import AppendBatch, AppendResult
from core.agentscope.events.event_types import FIRST_TOKEN_TYPES
from core.agentscope.events.owned_run import Claim
from core.agentscope.events.status_sql import status_sql
from core.config import DatabaseSettings
from core.crash_points import crash_point, crash_point_soon
from core.errors import StoreUnavailable
from core.postgres_connection import asyncpg_dsn, open_connection
from core.store_failure import is_store_failure

_APPEND = status_sql("""
WITH flushed AS (
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::int[], $10::bigint[], $9::bool[])
        AS f(run_pk, attempt, n, base, first_token)
), advanced AS (
    UPDATE agent_run AS r
    SET last_seq = r.last_seq + f.n,
        lease_until = clock_timestamp() + $4::float8 * interval '1 second',
        first_token_at = CASE
            WHEN r.first_token_at IS NULL AND f.first_token THEN clock_timestamp()
            ELSE r.first_token_at END
    FROM flushed AS f
    WHERE r.id = f.run_pk AND r.attempt = f.attempt AND r.status = {running} AND r.last_seq = f.base
    RETURNING r.id, r.session_id, r.ordinal, r.attempt, r.log_part, r.last_seq - f.n AS base,
              r.cancel_requested_at IS NOT NULL AS cancel_requested
), inserted AS (
    INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload, log_part)
    SELECT a.session_id, a.ordinal, a.base + e.place, a.attempt, e.type, e.payload, a.log_part
    FROM unnest($5::bigint[], $6::int[], $7::text[], $8::text[], $11::smallint[])
        AS e(run_pk, place, type, payload, attempt)
    -- By the attempt too: a lost attempt and its successor may be in the same flush.
    JOIN advanced AS a ON a.id = e.run_pk AND a.attempt = e.attempt
)
SELECT id, attempt, base, cancel_requested FROM advanced
""")

_OWNED = status_sql("""
SELECT r.id, r.attempt, r.last_seq FROM agent_run AS r
JOIN unnest($1::bigint[], $2::smallint[]) AS o(run_pk, attempt) ON r.id = o.run_pk AND r.attempt = o.attempt
WHERE r.status = {running}
""")


class PostgresAppendStore:
    """Appends flushes on one connection, opened when needed and again after it broke."""

    def __init__(self, settings: DatabaseSettings, *, lease_seconds: float) -> None:
        self._settings = settings
        self._lease_seconds = lease_seconds
        self._connection: asyncpg.Connection | None = None

    async def append(self, batches: Sequence[AppendBatch]) -> dict[Claim, AppendResult]:
        crash_point_soon("append-sent")
        # The heartbeat locks rows in the same order, so they cannot deadlock.
        batches = sorted(batches, key=lambda batch: batch.claim)
        run_pks = [batch.run_pk for batch in batches for _ in batch.types]
        places = [place for batch in batches for place in range(1, len(batch.types) + 1)]
        rows = await self._fetch(
            _APPEND,
            [batch.run_pk for batch in batches],
            [batch.attempt for batch in batches],
            [len(batch.types) for batch in batches],
            self._lease_seconds,
            run_pks,
            places,
            [kind for batch in batches for kind in batch.types],
            [payload for batch in batches for payload in batch.payloads],
            [not FIRST_TOKEN_TYPES.isdisjoint(batch.types) for batch in batches],
            [batch.base for batch in batches],
            [batch.attempt for batch in batches for _ in batch.types],
        )
        crash_point("append-committed")
        return {
            (row["id"], row["attempt"]): AppendResult(row["base"], row["cancel_requested"]) for row in rows
        }

    async def owned_seqs(self, owned: Sequence[Claim]) -> dict[Claim, int]:
        rows = await self._fetch(_OWNED, [run_pk for run_pk, _ in owned], [attempt for _, attempt in owned])
        return {(row["id"], row["attempt"]): row["last_seq"] for row in rows}

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            connection = await self._connected()
            return await connection.fetch(sql, *arguments)
        except Exception as exc:
            # After any error, the state of the connection is unknown.
            await self.close()
            if is_store_failure(exc):
                raise StoreUnavailable from exc
            raise

    async def _connected(self) -> asyncpg.Connection:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await open_connection(
                asyncpg_dsn(self._settings),
                application_name="agentroute-writer",
                connect_seconds=self._settings.pool_timeout_seconds,
                statement_seconds=self._settings.statement_timeout_seconds,
                pooled=self._settings.is_pooled,
                timezone="UTC",
            )
        return connection
