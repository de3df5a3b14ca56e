"""The part of a worker that fires schedules: runs are accepted here as an API process accepts them."""

from __future__ import annotations

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.background_loops import BackgroundLoops
from core.agentscope.events.owned_run import Publisher
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.rated import RatedAcceptance
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.work.chores import Turns
from core.config import Settings
from core.files.library import FileLibrary
from core.gate import PoolGates
from core.rates.rate_limits import RateLimits
from core.rates.shared_buckets import shared_with
from core.schedules.authority import agents_by_right
from core.schedules.fire_store import FireStore
from core.schedules.firer import ScheduleFirer


def open_firer(
    settings: Settings,
    engine: AsyncEngine,
    redis: Redis,
    hints: HintSender,
    publisher: Publisher,
    agents: Agents,
    files: FileLibrary | None,
    loops: BackgroundLoops,
    turns: Turns,
) -> ScheduleFirer:
    """Put the part together, and let it fire until the loops are closed."""
    rates = RateLimits(settings.rates)
    gateway = AgentRunGateway(
        engine,
        hints,
        publisher,
        PoolGates.of(settings.database),
        limits=settings.limits,
        worker=settings.worker,
        agent=agents.name_of,
        agents=agents_by_right(agents),
        files=files,
        rates=rates,
    )
    firer = ScheduleFirer(
        turns,
        FireStore(engine, authorized_days=settings.schedules.authorized_days),
        RatedAcceptance(gateway, rates),
        retention_days=settings.worker.run_retention_days,
    )
    # A user's runs count wherever they are accepted.
    loops.start("rates", shared_with(rates, redis, settings.redis).run())
    loops.start("schedules", firer.run())
    return firer
