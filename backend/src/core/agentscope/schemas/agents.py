"""The agents of a deployment, as their users see them."""

from __future__ import annotations

from typing import Any, Literal

from core.agentscope.schemas.messages import WireModel


class AgentTool(WireModel):
    """A tool that an agent may call on the server."""

    name: str
    description: str
    permission: Literal["allow", "ask"]
    """``ask``: the user decides on each call."""


class AgentItem(WireModel):
    """One agent that the caller may use."""

    id: str
    name: str
    description: str
    greeting: str | None = None
    """What a chat page may say before the first message."""
    suggestions: tuple[str, ...] = ()
    """First messages that a chat page may offer."""
    default: bool
    """The agent of requests that name none."""
    tools: list[AgentTool]
    capabilities: dict[str, Any]
    """AG-UI's ``AgentCapabilities``."""
    runs_url: str
    """Where a client that can set nothing but a URL sends its runs."""


class AgentListResponse(WireModel):
    """The agents that the caller may use, in the order of their ids."""

    agents: list[AgentItem]
