"""What workers without runs ask Postgres and tell Redis in a minute, by their number.

    uv run --project backend python bench/idle_workers.py --workers 1 5 50

Starts a Postgres and a Valkey of its own. A worker here is what asks periodically in each worker process: the reaper
with retention, the chore of files, deliveries to a webhook endpoint, and fires of schedules. All are in one process,
each with a pool of its own. Measures them with Redis, and without it, where they hear nothing of each other.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey
from agentroute.migrations import upgrade
from agentroute.webhook_loop import open_webhooks
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.work import chores
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.file_chore import FileChore
from core.agentscope.runtime.work.reaper import Reaper
from core.broker import create_broker
from core.config import Settings
from core.database import create_engine
from core.direct_sql import fetch
from core.files.opening import open_files
from core.redis_client import create_redis
from core.schedules.fire_store import FireStore
from core.schedules.firer import ScheduleFirer


_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_KINDS = {"queued runs": "row_number", "webhooks": "agent_webhook", "schedules": "agent_schedule"}


class _Nobody:
    """Accepts nothing: there is no schedule."""

    async def accept(self, *_arguments: Any, **_options: Any) -> Any:
        raise AssertionError

    async def find_accepted(self, *_arguments: Any, **_options: Any) -> Any:
        raise AssertionError


async def idle(
    database_url: str, redis_url: str, files: Path, workers: int, seconds: float, *, deaf: bool
) -> Counter[str]:
    """Return what so many workers sent in so many seconds, by kind."""
    sent: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent[next((kind for kind, word in _KINDS.items() if word in statement), "work")] += 1

    async def fetched(engine: AsyncEngine, sql: str, *arguments: object) -> list[Any]:
        sent["turns"] += 1
        return await fetch(engine, sql, *arguments)

    settings = Settings.model_validate(
        {
            "database": {"url": database_url, "pool_size": 1},
            "redis": {"url": redis_url},
            "files": {"url": files.as_uri()},
            "webhooks": {"endpoints": [{"name": "bench", "url": "https://hook.example", "secrets": _SECRET}]},
        }
    )
    async with AsyncExitStack() as exits:
        # Statements past SQLAlchemy are not among its events.
        exits.enter_context(patch.object(chores, "fetch", fetched))
        asking = create_redis(settings.redis)
        exits.push_async_callback(asking.aclose, close_connection_pool=True)
        for _ in range(workers):
            engine = create_engine(settings.database, application_name="agentroute-bench")
            exits.push_async_callback(engine.dispose)
            event.listen(engine.sync_engine, "before_cursor_execute", note)
            redis = create_redis(settings.redis)
            exits.push_async_callback(redis.aclose, close_connection_pool=True)
            broker = create_broker(settings.redis)
            exits.push_async_callback(broker.shutdown)
            turns = Turns(engine) if deaf else Turns(engine, redis, settings.redis)
            hints = HintSender(broker, redis, settings.redis)
            bus = RedisBus(redis, settings.redis)
            reaper = Reaper(engine, hints, bus, settings, start_run=lambda *_run: False, turns=turns)
            library = open_files(engine, settings.files, settings.limits)
            deliveries = await open_webhooks(settings, engine, turns)
            firer = ScheduleFirer(turns, FireStore(engine, authorized_days=90), _Nobody(), retention_days=30)
            loops = [turns.run(), reaper.run(), deliveries.run(), firer.run()]
            if library is not None:
                loops.append(FileChore(turns, library).run())
            for loop in loops:
                task = asyncio.create_task(loop)
                exits.callback(task.cancel)
            # Workers do not start at once.
            await asyncio.sleep(5 / workers)
        # Past the rest of the reapers after their start.
        await asyncio.sleep(settings.worker.lease_seconds / 3 + 2)
        sent.clear()
        before = await _published(asking)
        await asyncio.sleep(seconds)
        sent["published"] = await _published(asking) - before
        return Counter({kind: round(count * 60 / seconds) for kind, count in sent.items()})


async def _published(redis: Any) -> int:
    statistics = await redis.info("commandstats")
    return int(statistics.get("cmdstat_publish", {}).get("calls", 0))


async def bench(postgres: str, valkey: str, files: Path, counts: Sequence[int], seconds: float) -> None:
    """Print a row for each number of workers."""
    kinds = ("turns", *_KINDS, "work")
    print(f"| workers | Redis | statements a minute | {' | '.join(kinds)} | messages to Redis |")
    print(f"|{' --- |' * (len(kinds) + 4)}")
    for deaf in (False, True):
        for count in counts:
            sent = await idle(postgres, valkey, files, count, seconds, deaf=deaf)
            published = sent.pop("published")
            parts = [str(sent[kind]) for kind in kinds]
            cells = [str(count), "no" if deaf else "yes", str(sent.total()), *parts, str(published)]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 5, 50])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with (
            LocalPostgres(directory / "postgres", settings={"max_connections": "200"}) as postgres,
            LocalValkey(directory / "valkey") as valkey,
        ):
            asyncio.run(upgrade(postgres.url))
            uvloop.run(bench(postgres.url, valkey.url, directory / "files", options.workers, options.seconds))


if __name__ == "__main__":
    main()
