"""Puts together what takes the answers of links in an API process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.accept.agent_choice import AgentsFor, UsableAgents
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.link_answers import LinkAnswers
from core.agentscope.runtime.accept.rated import RatedAcceptance
from core.config import Settings
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.webhooks.targets import approval_tokens


def open_link_answers(
    settings: Settings,
    engine: AsyncEngine,
    accepting: Callable[..., AgentRunGateway],
    usable: AgentsFor,
    rates: RateLimits,
) -> LinkAnswers | None:
    """Return what takes the answers of links; ``None`` if messages have no links.

    Args:
        settings: Of the process.
        engine: Of the process.
        accepting: Makes a gateway, for ``agents``.
        usable: Which agents a caller may use.
        rates: Of the process.
    """
    tokens = approval_tokens(settings)
    if tokens is None:
        return None

    def every_agent(principal: Principal) -> UsableAgents:
        # The groups of the user are not known here. The agent has asked, so its user could use it.
        return usable(replace(principal, trusted=True))

    runs = RatedAcceptance(accepting(agents=every_agent), rates)
    return LinkAnswers(engine, runs, tokens, local=settings.identity.mode == "local")
