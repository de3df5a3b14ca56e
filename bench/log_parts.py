"""A log of one table against a log of parts: what retention costs, an append, and a page.

    uv run --project backend python bench/log_parts.py --runs 20000

Fills a Postgres of its own twice (``grow.sql``, 50 events a run); the second log is partitioned by ``agentroute
partition`` and has eight parts. Appends are flushes of 50 runs with 4 events each, pages have 500 events.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import uvloop
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.log_partitioning import partition_log
from agentroute.migrations import upgrade
from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import AppendBatch
from core.agentscope.events.log_parts import tend_parts
from core.agentscope.events.retention import EventRetention
from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.config import DatabaseSettings
from core.database import create_engine
from core.gate import Gate

_GROW = Path(__file__).with_name("grow.sql")
_LIVE = """
WITH thread AS (
    INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, last_ordinal)
    SELECT 'b', 'b', 'b-' || n, 1 FROM generate_series(1, 50) AS n RETURNING id
)
INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input, status,
    ordinal, attempt, lease_until, next_hint_at, queue_deadline_at)
SELECT id, 'b', 'b', id, '', id, '', '{}', 'running', 1, 1, now() + interval '1 day', now(), now() FROM thread
RETURNING id, session_id
"""
_PAYLOAD = '{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","timestamp":1795000000000,"delta":"some words"}'


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def retain(engine: AsyncEngine, *, parted: bool) -> None:
    """Apply the retention of events until nothing is left to do."""
    retention = EventRetention(engine, days=7)
    while not (await retention.step(batch=50))[1]:
        pass
    if parted and (await tend_parts(engine, days=7, seconds=1e9))[1] == 0:
        raise RuntimeError("no part was dropped")


async def measure(settings: DatabaseSettings, runs: int, flushes: int, *, parted: bool) -> dict[str, float]:
    """Return the figures of one log."""
    url = settings.url.get_secret_value()
    connection = await asyncpg.connect(url, command_timeout=None)
    engine = create_engine(settings, application_name="agentroute-bench")
    store = PostgresAppendStore(settings, lease_seconds=3600)
    figures: dict[str, float] = {}
    try:
        await connection.execute(f"SET grow.runs = {runs}")
        await connection.execute(_GROW.read_text())
        if parted:
            figures["conversion s"] = await seconds(lambda: partition_log(settings))
            for _ in range(6):
                await tend_parts(engine, days=7, seconds=0)
        live = await connection.fetch(_LIVE)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")

        async def append(base: int) -> None:
            batches = [
                AppendBatch(row["id"], row["session_id"], 1, 1, base, ["CUSTOM"] * 4, [_PAYLOAD] * 4)
                for row in live
            ]
            if len(await store.append(batches)) != len(live):
                raise RuntimeError("an append was refused")

        times = [await seconds(lambda at=at: append(4 * at)) for at in range(flushes)]
        figures["append ms"] = statistics.median(times[20:]) * 1000
        reader = EventStore(engine, Gate(1, 10))
        times = [
            await seconds(lambda row=row: reader.page(row["session_id"], Cursor(0, 0), 500, 1 << 20))
            for _ in range(10)
            for row in live
        ]
        figures["page ms"] = statistics.median(times[20:]) * 1000
        old = await connection.fetch(
            "SELECT id FROM agent_chat_session WHERE tenant_id = 'local' ORDER BY id LIMIT 200"
        )
        times = [
            await seconds(lambda row=row: reader.page(row["id"], Cursor(4, 50), 500, 1 << 20)) for row in old
        ]
        figures["page of a run ms"] = statistics.median(times[20:]) * 1000

        await connection.execute(
            "UPDATE agent_run SET ended_at = ended_at - interval '20 days' WHERE ended_at IS NOT NULL"
        )
        await connection.execute("UPDATE agent_log_part SET opened_at = opened_at - interval '20 days'")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        before = await connection.fetchval("SELECT pg_current_wal_lsn()")
        figures["retention s"] = await seconds(lambda: retain(engine, parted=parted))
        figures["retention WAL MiB"] = (
            float(await connection.fetchval("SELECT pg_current_wal_lsn() - $1::pg_lsn", before)) / 2**20
        )
        if await connection.fetchval("SELECT count(*) FROM agent_run_event WHERE payload <> $1", _PAYLOAD):
            raise RuntimeError("something old is left")
        size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('agent_run_event')"
        if not parted:
            size = "SELECT pg_total_relation_size('agent_run_event')"
        figures["left on disk MiB"] = float(await connection.fetchval(size)) / 2**20
    finally:
        await store.close()
        await engine.dispose()
        await connection.close()
    return figures


async def bench(runs: int, flushes: int) -> None:
    """Print the table."""
    found: dict[bool, dict[str, float]] = {}
    for parted in (False, True):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, LocalPostgres(Path(name)) as postgres:
            await upgrade(postgres.url)
            settings = DatabaseSettings(url=SecretStr(postgres.url), statement_timeout_seconds=60)
            found[parted] = await measure(settings, runs, flushes, parted=parted)
    print("| | one table | eight parts |\n| --- | --- | --- |")
    for name in found[True]:
        cells = [f"{found[parted][name]:.2f}" if name in found[parted] else "" for parted in (False, True)]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--flushes", type=int, default=200)
    options = parser.parse_args()
    uvloop.run(bench(options.runs, options.flushes))


if __name__ == "__main__":
    main()
