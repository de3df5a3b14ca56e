"""Repairs the runs of worker processes that have ended: ``python -m agentroute.embedded.lost_workers NAME...``

The parent of a worker knows at once that the worker is gone, so nobody waits for a lease. The repair is the reaper's own;
only what makes a run lost differs. A process of its own, because the supervisor must stay small and must never wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.profile.profile import load_profile
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
"""Pause before a row is tried again that a last statement of the dead worker locks."""


def main(names: Sequence[str]) -> int:
    """Repair what these workers left; returns 0 if none of them has a run any more."""
    settings = Settings()
    configure_logging(settings)
    return 0 if asyncio.run(_repair_all(settings, names)) else 1


async def _repair_all(settings: Settings, names: Sequence[str]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), _open_reaper(settings) as reaper:
            for name in names:
                await _repair(reaper, name)
    except TimeoutError:
        log.error("lost_workers_not_repaired", workers=list(names))
        return False
    return True


async def _repair(reaper: Reaper, name: str) -> None:
    repaired = 0
    while True:
        try:
            left = await reaper.repair_dead(name)
        except Exception as exc:  # noqa: BLE001  the server may be starting again: the patience is limited above
            report_failure("lost_workers_repair_failed", exc)
            left = 1
        else:
            repaired = max(repaired, left)
        if not left:
            log.info("lost_worker_repaired", worker=name, runs=repaired)
            return
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
            agent=load_profile(settings.profile_path).name,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
