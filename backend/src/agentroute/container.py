"""The open resources of an API process, put together in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.agent_items import DeployedAgents, read_agents
from agentroute.approval_links import open_link_answers
from agentroute.background_loops import running
from agentroute.credentials import open_credentials
from agentroute.logins import open_connections
from agentroute.metrics.loop_watch import LoopWatch
from agentroute.metrics.opening import pool_reading, replica_readings
from agentroute.readiness import StoreReadiness
from agentroute.run_desk import open_run_desk
from agentroute.schema_state import schema
from agentroute.transcription import open_transcription
from agentroute.user_data import UserStores, open_erasures
from core.agentscope.events.facade import AgentScopeEventsFacade
from core.agentscope.events.hub import ThreadHub
from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.queries.opening import OpeningReader
from core.agentscope.events.queries.runs import RunReader
from core.agentscope.events.queries.usage_report import UsageReader
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.store import EventStore
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.threads import AgentThreads
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.profile.access import ClaimNames
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.tools.memory_entries import MemoryEntries
from core.broker import HintBroker, create_broker
from core.config import Settings
from core.connections.vault import Vault
from core.database import create_engine
from core.files.library import FileLibrary
from core.files.opening import open_files
from core.gate import PoolGates
from core.metrics.catalogue import LOOP_STALL, OPEN_STREAMS, POOL_CONNECTIONS
from core.metrics.instruments import Gauge
from core.metrics.readings import LiveReadings, Reading
from core.rates.rate_limits import RateLimits
from core.rates.shared_buckets import shared_with
from core.redis_client import create_redis
from core.replica.replica import Replica
from core.request_body import JsonBodies
from core.schedules.authority import Authorities
from core.schedules.keeper import ScheduleKeeper
from core.user_data.export import Exporter
from core.webhooks.run_webhook import RunWebhookPolicy
from v1.agent.container import ApiContainer
from v1.agent.login_origins import LoginOrigins
from v1.agent.service import AgentService
from v1.agent.stream_places import StreamPlaces
from v1.agent.worker_watch import WorkerWatch


class DrainSwitch:
    """Ends every open stream of the process; the clients reconnect with their cursors."""

    def __init__(self, hub: ThreadHub) -> None:
        self._hub = hub

    def set(self) -> None:
        self._hub.drain()

    def is_set(self) -> bool:
        return self._hub.draining.is_set()


async def _open_stores(
    settings: Settings, resources: AsyncExitStack
) -> tuple[AsyncEngine, Replica | None, Redis, StoreReadiness]:
    engine = create_engine(settings.database, application_name="agentroute-api")
    resources.push_async_callback(engine.dispose)
    redis = create_redis(settings.redis, counted=True)
    resources.push_async_callback(redis.aclose, close_connection_pool=True)
    readiness = StoreReadiness(settings.database, redis, schema=schema())
    resources.push_async_callback(readiness.aclose)
    return engine, await _open_replica(settings, engine, resources), redis, readiness


def _open_bodies(settings: Settings, resources: AsyncExitStack) -> JsonBodies:
    bodies = JsonBodies(settings.limits)
    resources.callback(bodies.close)
    return bodies


async def _open_replica(settings: Settings, engine: AsyncEngine, resources: AsyncExitStack) -> Replica | None:
    """Open what reads from the replica. Whether there is one that can be used, the first look says, not the start."""
    if not settings.database.has_replica:
        return None
    own = create_engine(settings.database.replica, application_name="agentroute-replica", counted=False)
    resources.push_async_callback(own.dispose)
    replica = Replica(engine, own)
    await resources.enter_async_context(running(replica=replica.run))
    return replica


def _open_threads(
    engine: AsyncEngine,
    hints: HintSender,
    bus: RedisBus,
    agents: Agents,
    files: FileLibrary | None,
    replica: Replica | None,
) -> AgentThreads:
    name_of, default = agents.name_of, agents.default_id
    return AgentThreads(
        engine, hints, bus, bus, agent=name_of, default_agent=default, files=files, replica=replica
    )


def _open_workers(readiness: StoreReadiness, resources: AsyncExitStack) -> WorkerWatch:
    workers = WorkerWatch(readiness)
    resources.push_async_callback(workers.aclose)
    return workers


def _loops(
    settings: Settings, store: EventStore, bus: RedisBus, hub: ThreadHub, rates: Callable[[], Awaitable[None]]
) -> AbstractAsyncContextManager[None]:
    return running(bus=bus.run, hub=hub.run, rates=rates)


@asynccontextmanager
async def open_api_container(settings: Settings) -> AsyncIterator[ApiContainer]:
    """Open the resources of an API process and close them again.

    Raises:
        ConfigurationError: The settings exclude each other.
        ProfileInvalid: The agent's profile cannot be used.
    """
    deployed = read_agents(settings)
    agents = deployed.agents
    async with AsyncExitStack() as resources:
        engine, replica, redis, readiness = await _open_stores(settings, resources)
        broker = await _open_broker(settings, resources)
        transcription = await open_transcription(settings, engine, redis, resources)
        bus = RedisBus(redis, settings.redis)
        gates = PoolGates.of(settings.database)
        store = EventStore(engine, gates.streams, agents.default_id, replica=replica)
        hub = ThreadHub(redis, store.moved, store.floor, settings.redis, settings.stream)
        rates = RateLimits(settings.rates)
        credentials = await open_credentials(settings, engine, redis, resources)
        shared = shared_with(rates, redis, settings.redis)
        await resources.enter_async_context(_loops(settings, store, bus, hub, shared.run))
        hints = HintSender(broker, redis, settings.redis)
        files = open_files(engine, settings.files, settings.limits, agents.default_id)
        vault = Vault.of(settings.secrets)
        accepting = _accepting(settings, engine, hints, bus, gates, deployed, files)
        gateway = accepting(agents=deployed.usable, rates=rates, vault=vault)
        history = HistoryReader(engine, agents.default_id, replica=replica)
        threads = _open_threads(engine, hints, bus, agents, files, replica)
        openings = OpeningReader(engine, history, gates.streams)
        workers = _open_workers(readiness, resources)
        facade = AgentScopeEventsFacade(
            store, bus, hub, settings.stream, openings, no_worker=workers.no_worker
        )
        service = AgentService(
            runtime=gateway,
            events=facade,
            limits=settings.limits,
            draining=hub.draining.is_set,
            workers=workers,
            streams=credentials.streams,
            rates=rates,
        )
        resources.push_async_callback(service.aclose)
        logins, connections = open_connections(settings, engine, deployed)
        diagnosis, desk = open_run_desk(settings, engine, gateway, hints, workers, agents.default_id)
        stores = UserStores(threads, files, connections.store, logins, rates)
        erasures = open_erasures(settings, engine, redis, stores)
        await resources.enter_async_context(running(erasures=erasures.run))
        yield ApiContainer(
            bodies=_open_bodies(settings, resources),
            service=service,
            events=facade,
            history=history,
            runs=RunReader(engine, agents.default_id),
            diagnosis=diagnosis,
            operators=desk,
            threads=threads,
            usage=UsageReader(engine, agents.default_id, limits=settings.limits, replica=replica),
            transcription=transcription,
            files=files,
            logins=logins,
            login_origins=LoginOrigins.of(settings),
            connections=connections,
            memories=MemoryEntries(engine),
            erasures=erasures,
            exports=Exporter(engine, files, replica=replica),
            authenticator=credentials.authenticator,
            keys=credentials.keeper,
            schedules=_schedules(engine, settings, deployed),
            tickets=credentials.tickets,
            open_streams=credentials.streams,
            run_webhooks=RunWebhookPolicy(settings.webhooks, vault),
            approvals=open_link_answers(settings, engine, accepting, deployed.usable, rates),
            rates=rates,
            stream_places=StreamPlaces(settings.rates),
            agents=deployed.directory,
            readiness=readiness,
            drain=DrainSwitch(hub),
            live=None if settings.metrics.port is None else _readings(hub, engine, replica, resources),
        )


def _accepting(
    settings: Settings,
    engine: AsyncEngine,
    hints: HintSender,
    bus: RedisBus,
    gates: PoolGates,
    deployed: DeployedAgents,
    files: FileLibrary | None,
) -> partial[AgentRunGateway]:
    """Return what makes a gateway, of what every acceptance of runs goes by."""
    return partial(
        AgentRunGateway,
        engine,
        hints,
        bus,
        gates,
        limits=settings.limits,
        worker=settings.worker,
        agent=deployed.agents.name_of,
        files=files,
    )


def _schedules(engine: AsyncEngine, settings: Settings, deployed: DeployedAgents) -> ScheduleKeeper:
    names = ClaimNames(settings.identity.groups_claim, settings.identity.roles_claim)
    return ScheduleKeeper(
        engine,
        settings.schedules,
        settings.limits,
        agents=deployed.usable,
        default_agent=deployed.agents.default_id,
        authorities=Authorities(deployed.agents, names),
    )


def _readings(
    hub: ThreadHub, engine: AsyncEngine, replica: Replica | None, resources: AsyncExitStack
) -> LiveReadings:
    # Never gives up: open streams and accepted runs are worth more than an API process that is slow.
    watch = LoopWatch(give_up_seconds=0)
    watch.start()
    resources.callback(watch.stop)
    gauges: dict[Gauge, Reading] = {
        OPEN_STREAMS: lambda: hub.readers,
        LOOP_STALL: lambda: watch.stalled_seconds,
        POOL_CONNECTIONS: pool_reading(engine),
    }
    if replica is not None:
        gauges |= replica_readings(replica)
    return LiveReadings(asyncio.get_running_loop(), gauges)


async def _open_broker(settings: Settings, resources: AsyncExitStack) -> HintBroker:
    broker = create_broker(settings.redis)
    await broker.startup()
    resources.push_async_callback(broker.shutdown)
    return broker
