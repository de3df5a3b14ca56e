"""Repairs the runs of worker processes that have ended: ``python -m agentroute.embedded.lost_workers FILE...``

Each file has the name of a worker, and is deleted when the worker has no run any more. The parent of a worker knows at once that the worker is gone, so nobody waits for a lease. The repair is the reaper's own;
only what makes a run lost differs. A process of its own, because the supervisor must stay small and must never wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from agentroute.tracing.opening import open_tracing
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.work.reaper import Reaper
from core.broker import create_broker
from core.config import Settings
from core.database import create_engine
from core.log import configure_logging
from core.outage import report_failure
from core.redis_client import create_redis

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 60.0
"""How long the stores may stay unavailable. After this, the leases of the runs are over anyway."""
_AGAIN_SECONDS = 0.2
"""Pause before rows are tried again, such as one that a last statement of the dead worker locks."""


def main(files: Sequence[str]) -> int:
    """Repair what these workers left; returns 0 if none of them has a run any more."""
    settings = Settings()
    configure_logging(settings)
    with open_tracing(settings.traces, "agentroute-worker"):
        return 0 if asyncio.run(_repair_all(settings, [Path(file) for file in files])) else 1


async def _repair_all(settings: Settings, files: Sequence[Path]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), _open_reaper(settings) as reaper:
            await repair_in_rounds(reaper.repair_dead, files)
    except TimeoutError:
        log.error("lost_workers_not_repaired", workers=[file.name for file in files if file.exists()])
        return False
    return True


async def repair_in_rounds(repair_dead: Callable[[str], Awaitable[int]], files: Sequence[Path]) -> None:
    """Repair until every file is deleted.

    Each round tries all workers that are left: a run that cannot be repaired delays no other worker's.

    Args:
        repair_dead: As :meth:`Reaper.repair_dead`.
        files: Each has the name of a worker.
    """
    repaired = dict.fromkeys(files, 0)
    while repaired:
        for file in list(repaired):
            try:
                left = await repair_dead(file.name)
                repaired[file] = max(repaired[file], left)
                if not left:
                    file.unlink(missing_ok=True)
                    log.info("lost_worker_repaired", worker=file.name, runs=repaired.pop(file))
            except Exception as exc:  # noqa: BLE001  the server may be starting again: the caller limits the patience
                report_failure("lost_workers_repair_failed", exc)
        if repaired:
            await asyncio.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def _open_reaper(settings: Settings) -> AsyncIterator[Reaper]:
    async with AsyncExitStack() as resources:
        engine = create_engine(settings.database, application_name="agentroute-lost-workers")
        resources.push_async_callback(engine.dispose)
        redis = create_redis(settings.redis)
        resources.push_async_callback(redis.aclose, close_connection_pool=True)
        broker = create_broker(settings.redis)
        await broker.startup()
        resources.push_async_callback(broker.shutdown)
        bus = RedisBus(redis, settings.redis)
        publishing = asyncio.create_task(bus.run(), name="bus")
        # Closed before the connections, so that the last events are sent.
        resources.push_async_callback(
            asyncio.wait, {publishing}, timeout=settings.redis.command_timeout_seconds
        )
        resources.push_async_callback(bus.close)
        yield Reaper(
            engine,
            HintSender(broker, redis, settings.redis),
            bus,
            settings,
            # This process executes nothing; the next worker picks up what is queued again.
            start_run=lambda _run_pk, _principal: False,
            agent=load_agents(settings.profile_path).name_of,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
