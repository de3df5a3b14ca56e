"""What a statement costs through PgBouncer in transaction mode, against the same statement without it.

Both in turn, on one Postgres and one event loop. From the root: ``script/pgbouncer``, then
``(cd backend && .venv/bin/python -P ../bench/pooler.py)``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.pgbouncer import PgBouncer

from agentroute import migrations
from agentroute.embedded.local_postgres import LocalPostgres
from core.config import DatabaseSettings
from core.database import create_engine
from core.direct_sql import fetch

# One that each worker sends every second, and one transaction as SQLAlchemy sends it.
_SINGLE = "SELECT id, tenant_id, user_id FROM agent_run WHERE id = ANY($1::bigint[]) AND status = 'queued'"
_MANY = text("SELECT id FROM agent_chat_session WHERE tenant_id = :tenant AND user_id = 'ada' LIMIT 1")


async def _single(engine: AsyncEngine) -> None:
    await fetch(engine, _SINGLE, [1, 2, 3])


async def _transaction(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(_MANY, {"tenant": "default"})


async def measure(url: str, folder: Path, statements: int, rounds: int) -> None:
    """Print the lowest median of both ways."""
    await migrations.upgrade(url)
    async with PgBouncer(folder / "b", url) as pooler:
        ways = {
            "direct": DatabaseSettings.model_validate({"url": url}),
            "pooled": DatabaseSettings.model_validate({"url": pooler.url(url), "direct_url": url}),
        }
        engines = {name: create_engine(each, application_name="bench") for name, each in ways.items()}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds + 1):
            for what, call in (("single statement", _single), ("transaction", _transaction)):
                for name, engine in engines.items():
                    took: list[float] = []
                    for _ in range(statements):
                        began = time.perf_counter()
                        await call(engine)
                        took.append((time.perf_counter() - began) * 1000)
                    times.setdefault((what, name), []).append(statistics.median(took))
        for engine in engines.values():
            await engine.dispose()
    for (what, name), medians in times.items():
        # The quietest round: whatever else the machine does makes the others slower. The first opens the connections.
        print(f"{what}, {name}: {min(medians[1:]):.2f} ms")


def main() -> None:
    """Measure with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        LocalPostgres(Path(folder) / "postgres") as postgres,
    ):
        asyncio.run(measure(postgres.url, Path(folder), options.statements, options.rounds))


if __name__ == "__main__":
    main()
