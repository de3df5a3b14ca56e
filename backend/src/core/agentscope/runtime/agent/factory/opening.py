"""Opens the code of users around agents when a worker starts: factories, middlewares, resources, an agent to look at."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import structlog

from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.factory.examination import Examination, examine
from core.agentscope.runtime.agent.factory.lifespan import Lifespans
from core.agentscope.runtime.agent.factory.user_factory import (
    AgentCodeInvalid,
    UserFactory,
    load_factory,
    load_runner,
    profile_s_agent,
)
from core.agentscope.runtime.agent.factory.user_middleware import load_middleware
from core.agentscope.runtime.agent.knowledge.retrieval import load_retrieval
from core.agentscope.runtime.model.model_client import create_model_client
from core.config import ModelSettings

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 60.0
"""Of a request of ``run.http`` that says nothing else."""


class FactoryOpener:
    """Opens the factories of a process. Agents may share a module, and then its resources.

    Args:
        stack: Closes what is opened.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._lifespans = Lifespans(stack)
        self._http: httpx.AsyncClient | None = None

    async def open(self, kit: AgentKit) -> AgentKit:
        """Return the kit with the code that its profile names: factory or runner, middlewares, a search function; else itself.

        Raises:
            AgentCodeInvalid: The code cannot be imported.
            LifespanInvalid: The resources of a module cannot be opened.
        """
        profile = kit.profile
        if profile.middlewares:
            client = await self._client()
            middlewares = [
                await load_middleware(place, named, client, self._lifespans)
                for place, named in enumerate(profile.middlewares)
            ]
            own = UserFactory("the profile's agent", profile_s_agent, client)
            kit = replace(kit, middlewares=tuple(middlewares), own_factory=own)
        if profile.agent.factory is not None:
            factory = await load_factory(profile.agent.factory, await self._client(), self._lifespans)
            kit = replace(kit, user_factory=factory)
        if profile.agent.runner is not None:
            runner = await load_runner(profile.agent.runner, await self._client(), self._lifespans)
            kit = replace(kit, user_runner=runner)
        if profile.knowledge is not None:
            retrieval = await load_retrieval(
                profile.knowledge.retrieve, await self._client(), self._lifespans
            )
            kit = replace(kit, retrieval=retrieval)
        return kit

    async def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = await self._stack.enter_async_context(httpx.AsyncClient(timeout=_TIMEOUT_SECONDS))
        return self._http


async def open_for_runs(kit: AgentKit, opener: FactoryOpener) -> AgentKit:
    """Open the code that the kit's profile names, and make an agent with code in it without a model call.

    Raises:
        AgentCodeInvalid: The agent cannot be used; in one line what is wrong.
        LifespanInvalid: The resources of its module cannot be opened.
    """
    opened = await opener.open(kit)
    if opened.maker is None and opened.user_runner is None:
        return opened
    found = await examine(opened)
    if found.problems:
        raise AgentCodeInvalid(refusal(opened, found))
    if opened.user_runner is not None:
        log.info("runner_loaded", agent=kit.profile.name, runner=found.runner, kind=found.kind)
    else:
        log.info("agent_made", agent=kit.profile.name, factory=found.factory, installed=len(found.changes))
    for warning in found.warnings:
        log.warning("agent_check", agent=kit.profile.name, warning=warning)
    return opened


def refusal(kit: AgentKit, found: Examination) -> str:
    """Return the line with which a start is refused."""
    more = len(found.problems) - 1
    where = f"{kit.profile.agent.reference}: " if kit.profile.agent.reference else ""
    return f"{where}{found.problems[0]}" + (f" (and {more} more; see: agentroute check)" if more else "")


def open_model_client(settings: ModelSettings, *, needed: bool) -> httpx.AsyncClient:
    """Return the client of the deployment's model; one without an address if no agent needs that model.

    Raises:
        ValueError: The address is needed and missing, or is no HTTP URL.
    """
    if not needed and not settings.base_url:
        return httpx.AsyncClient()
    return create_model_client(settings)
