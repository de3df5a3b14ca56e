"""What the primary spends on reads, and what is left of it where a replica answers.

    (cd backend && .venv/bin/python -P ../bench/replica.py)

A primary and a streaming replica of its own, filled by ``grow.sql``; one thread gets many messages and a long log. Each
read is made many times, without a replica and with one, while something is committed 20 times a second. CPU is that of
all processes of each server, without what the commits cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backend"))

import asyncpg
import psutil
from pydantic import SecretStr
from tests.support.replica import ReplicatedPostgres, replicated

from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.queries.thread_list import ThreadList
from core.agentscope.events.queries.usage_report import UsageReader
from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.usage import UsagePeriod
from core.config import DatabaseSettings
from core.database import create_engine
from core.gate import Gate
from core.identity import Principal
from core.metrics.catalogue import REPLICA_READS
from core.replica.replica import Replica
from core.user_data.export import Exporter

_GROW = Path(__file__).with_name("grow.sql")
# Everything of the grown users becomes one user's; one thread gets the messages and the log of all threads of 500 runs.
_ONE_USER = (
    "UPDATE agent_chat_session SET user_id = 'ada' WHERE id <= 200",
    "UPDATE agent_model_call SET user_id = 'ada'",
    """UPDATE agent_chat_message AS m SET session_id = 1, position = m.id + 1000
        WHERE session_id BETWEEN 2 AND 200""",
    """UPDATE agent_run_event AS e SET session_id = 1, ordinal = e.session_id * 5 + e.ordinal
        WHERE session_id BETWEEN 2 AND 100""",
)
ADA = Principal("local", "ada")
Read = Callable[[], Awaitable[object]]


def _cpu_of(pid: int) -> float:
    """Return the seconds of CPU of a server, of those who have left, too."""
    server = psutil.Process(pid)
    times = [server.cpu_times(), *(child.cpu_times() for child in server.children(recursive=True))]
    gone = times[0].children_user + times[0].children_system
    return sum(each.user + each.system for each in times) + gone


def _postmaster(servers: ReplicatedPostgres, which: str) -> int:
    server = getattr(servers, which)
    return int((server.data_dir / "data" / "postmaster.pid").read_text().splitlines()[0])


async def _commits(url: str) -> None:
    """Commit something every 50 ms, as a service does that is used."""
    connection = await asyncpg.connect(url)
    while True:
        await connection.execute("SELECT pg_logical_emit_message(true, 'bench', '')")
        await asyncio.sleep(0.05)


def _reads(settings: DatabaseSettings, replica: Replica | None) -> dict[str, Read]:
    engine = create_engine(settings, application_name="agentroute-bench")
    history = HistoryReader(engine, "agent", replica=replica)
    store = EventStore(engine, Gate(8, 10), "agent", replica=replica)
    threads = ThreadList(engine, "agent", replica=replica)
    usage = UsageReader(engine, "agent", replica=replica)
    exporter = Exporter(engine, None, replica=replica)
    now = datetime.now(UTC)
    period = UsagePeriod(start=now - timedelta(days=30), end=now + timedelta(days=1))

    async def log() -> None:
        after, upto = Cursor(5, 50), Cursor(505, 50)
        while after < upto:
            page = await store.replica_page(1, after, 500, 256 << 10, upto=upto)
            page = page or await store.page(1, after, 500, 256 << 10)
            after = page[-1].cursor

    async def export() -> None:
        async for _ in exporter.export(ADA):
            pass

    return {
        "history, 200 messages": lambda: history.history(ADA, "thread-1", limit=200, before=None),
        "a log of 25,000 events": log,
        "a search in 200 threads": lambda: threads.list_threads(
            ADA, limit=30, before=None, query="grown thread 7"
        ),
        "usage of 20,000 calls": lambda: usage.usage(ADA, period, "day"),
        "an export of the same user": export,
    }


async def measure(folder: Path, runs: int, seconds: float) -> None:
    """Print a row for each read."""
    async with replicated(folder) as servers:
        connection = await asyncpg.connect(servers.primary.url, command_timeout=None)
        await connection.execute(f"SET grow.runs = {runs}")
        await connection.execute(_GROW.read_text())
        for statement in _ONE_USER:
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        await servers.caught_up()
        settings = DatabaseSettings(
            url=SecretStr(servers.primary.url), replica_url=SecretStr(servers.replica.url)
        )
        primary = create_engine(settings, application_name="agentroute-bench")
        own = create_engine(settings.replica, application_name="agentroute-replica", counted=False)
        replica = Replica(primary, own)
        await replica.look()
        looking = [asyncio.create_task(each) for each in (replica.run(), _commits(servers.primary.url))]
        pids = [_postmaster(servers, which) for which in ("primary", "replica")]
        without, along = _reads(settings, None), _reads(settings, replica)
        # What the commits cost, and the look each second.
        before = [_cpu_of(pid) for pid in pids]
        await asyncio.sleep(seconds)
        idles = [(_cpu_of(pid) - at) / seconds for pid, at in zip(pids, before, strict=True)]
        print("| a read | primary alone | primary, with a replica | replica | from the replica |")
        print("| --- | --- | --- | --- | --- |")
        for name in without:
            figures: list[str] = []
            share = ""
            for reads in (without, along):
                await reads[name]()
                answered = dict(REPLICA_READS.read())
                before, times, loop = [_cpu_of(pid) for pid in pids], 0, asyncio.get_running_loop()
                began = loop.time()
                while loop.time() - began < seconds:
                    await reads[name]()
                    times += 1
                took = loop.time() - began
                used = [
                    max(_cpu_of(pid) - at - idle * took, 0.0) / times * 1000
                    for pid, at, idle in zip(pids, before, idles, strict=True)
                ]
                figures.append(f"{used[0]:.2f} ms")
                if reads is along:
                    figures.append(f"{used[1]:.2f} ms")
                    new = {key: n - answered.get(key, 0) for key, n in REPLICA_READS.read().items()}
                    share = (
                        f"{sum(n for (_, by), n in new.items() if by == 'replica') / sum(new.values()):.0%}"
                    )
            print(f"| {name} | {' | '.join(figures)} | {share} |", flush=True)
        for task in looking:
            task.cancel()
        await connection.close()


def main() -> None:
    """Measure with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(measure(Path(folder) / "r", options.runs, options.seconds))
    os._exit(0)


if __name__ == "__main__":
    main()
