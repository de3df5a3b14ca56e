"""A container without anything to open: the ports in memory. A test replaces what it is about."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.memory_diagnosis import MemoryDiagnosis
from tests.support.memory_ports import MemoryRuns
from tests.support.memory_threads import MemoryThreads

from core.agentscope.schemas.agents import AgentItem, AgentTool
from core.agentscope.schemas.links import runs_url
from core.config import Settings
from core.connections.vault import Vault
from core.identity import Authenticator, Principal
from core.rates.rate_limits import RateLimits
from core.readiness import Readiness
from core.request_body import JsonBodies
from core.webhooks.run_webhook import RunWebhookPolicy
from v1.agent.agent_directory import AgentDirectory
from v1.agent.capabilities import agent_capabilities
from v1.agent.container import ApiContainer
from v1.agent.open_streams import OpenStreams
from v1.agent.service import AgentService
from v1.agent.stream_places import StreamPlaces


class NoErasures:
    """Nobody is being erased."""

    def refuse(self, principal: Principal) -> None:
        """Refuse nobody."""


READY = Readiness(postgres=True, migrations=True, redis=True)


async def ready() -> Readiness:
    return READY


def agent_item(agent_id: str, *, default: bool = True) -> AgentItem:
    """Return an agent as the routes list it."""
    return AgentItem(
        id=agent_id,
        name="Test agent",
        description="Answers.",
        default=default,
        tools=[AgentTool(name="calculate", description="Does sums.", permission="allow")],
        capabilities=agent_capabilities(
            name="Test agent",
            version="1.2.3",
            description="Answers.",
            tools=[{"name": "calculate", "description": "Does sums.", "parameters": {"type": "object"}}],
            max_iterations=10,
            max_run_seconds=600,
        ),
        runs_url=runs_url(agent_id),
    )


def memory_container(settings: Settings, runs: MemoryRuns | None = None, **replaced: Any) -> ApiContainer:
    """Return a container over ``runs``.

    Args:
        settings: The limits and the identity that count.
        runs: What all ports share; new ones when absent.
        replaced: Members of ``ApiContainer`` to use instead. ``usage``,
            ``transcription``, ``files``, ``keys``, ``schedules``, ``operators``, ``tickets`` and ``connections`` have no memory form: a test that needs one brings it.
    """
    runs = runs or MemoryRuns()
    draining: asyncio.Event = runs.draining
    rates = RateLimits(settings.rates)
    members: dict[str, Any] = {
        "bodies": JsonBodies(settings.limits),
        "service": AgentService(
            runtime=runs, events=runs, limits=settings.limits, draining=draining.is_set, rates=rates
        ),
        "events": runs,
        "history": runs,
        "runs": runs,
        "diagnosis": MemoryDiagnosis(runs),
        "operators": None,
        "threads": MemoryThreads(runs),
        "usage": None,
        "transcription": None,
        "files": None,
        "connections": None,
        "logins": None,
        "login_origins": None,
        "erasures": NoErasures(),
        "exports": None,
        "memories": None,
        "keys": None,
        "schedules": None,
        "tickets": None,
        "open_streams": OpenStreams(),
        "authenticator": Authenticator(settings.identity, server=settings.server),
        "run_webhooks": RunWebhookPolicy(settings.webhooks, Vault.of(settings.secrets)),
        "approvals": None,
        "rates": rates,
        "stream_places": StreamPlaces(settings.rates),
        "agents": AgentDirectory([agent_item("default")]),
        "readiness": ready,
        "drain": draining,
    }
    return ApiContainer(**members | replaced)
