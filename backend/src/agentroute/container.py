"""The open resources of an API process, put together in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from agentroute.readiness import StoreReadiness
from agentroute.schema_state import schema
from agentroute.transcription import open_transcription
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
from core.agentscope.runtime.profile.profile import AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_tools import offered_tools
from core.broker import create_broker
from core.config import Settings
from core.database import create_engine
from core.files.library import FileLibrary
from core.files.opening import open_store
from core.gate import PoolGates
from core.identity import Authenticator
from core.redis_client import create_redis
from core.request_body import JsonBodies
from v1.agent.capabilities import agent_capabilities
from v1.agent.container import ApiContainer
from v1.agent.service import AgentService
from v1.agent.worker_watch import WorkerWatch


class DrainSwitch:
    """Ends every open stream of the process; the clients reconnect with their cursors."""

    def __init__(self, hub: ThreadHub) -> None:
        self._hub = hub

    def set(self) -> None:
        self._hub.drain()

    def is_set(self) -> bool:
        return self._hub.draining.is_set()


@asynccontextmanager
async def open_api_container(settings: Settings) -> AsyncIterator[ApiContainer]:
    """Open the resources of an API process and close them again.

    Raises:
        ConfigurationError: The settings exclude each other.
        ProfileInvalid: The agent's profile cannot be used.
    """
    profile = load_profile(settings.profile_path)
    async with AsyncExitStack() as resources:
        engine = create_engine(settings.database, application_name="agentroute-api")
        resources.push_async_callback(engine.dispose)
        redis = create_redis(settings.redis)
        resources.push_async_callback(redis.aclose, close_connection_pool=True)
        readiness = StoreReadiness(settings.database, redis, schema=schema())
        resources.push_async_callback(readiness.aclose)
        broker = create_broker(settings.redis)
        await broker.startup()
        resources.push_async_callback(broker.shutdown)
        transcription = await open_transcription(settings, engine, redis, resources)
        bus = RedisBus(redis, settings.redis)
        gates = PoolGates.of(settings.database)
        store = EventStore(engine, gates.streams)
        hub = ThreadHub(redis, store.heads, settings.redis, settings.stream)
        background = [
            asyncio.create_task(bus.run(), name="bus"),
            asyncio.create_task(hub.run(), name="hub"),
        ]
        hints = HintSender(broker, redis, settings.redis)
        gateway = AgentRunGateway(
            engine,
            hints,
            bus,
            gates,
            limits=settings.limits,
            worker=settings.worker,
            agent=profile.name,
        )
        store_of_files = open_store(settings.files)
        files = None if store_of_files is None else FileLibrary(engine, store_of_files, settings.files)
        history = HistoryReader(engine)
        openings = OpeningReader(engine, history, gates.streams)
        workers = WorkerWatch(readiness)
        resources.push_async_callback(workers.aclose)
        facade = AgentScopeEventsFacade(
            store, bus, hub, settings.stream, openings, no_worker=workers.no_worker
        )
        service = AgentService(
            runtime=gateway,
            events=facade,
            limits=settings.limits,
            draining=hub.draining.is_set,
            workers=workers,
        )
        bodies = JsonBodies(settings.limits)
        resources.callback(bodies.close)
        try:
            yield ApiContainer(
                bodies=bodies,
                service=service,
                events=facade,
                history=history,
                runs=RunReader(engine),
                threads=AgentThreads(engine, hints, bus, bus, agent=profile.name, files=files),
                usage=UsageReader(engine),
                transcription=transcription,
                files=files,
                authenticator=Authenticator(settings.identity, server=settings.server),
                capabilities=_capabilities(profile, settings),
                readiness=readiness,
                drain=DrainSwitch(hub),
            )
        finally:
            await service.aclose()
            for task in background:
                task.cancel()
            await asyncio.wait(background, timeout=2)


def _capabilities(profile: AgentProfile, settings: Settings) -> dict[str, Any]:
    return agent_capabilities(
        name=profile.name,
        version=version("agentroute"),
        description=profile.description,
        greeting=profile.greeting,
        subagents=[{"name": child.name, "description": child.description} for child in profile.subagents],
        tools=[
            {"name": tool.name, "description": tool.description, "parameters": tool.json_schema()}
            for tool in offered_tools(profile, settings.tools)
        ],
        max_iterations=profile.limits.max_iterations,
        max_run_seconds=settings.limits.run_seconds,
    )
