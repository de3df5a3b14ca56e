"""What the factory of a user's agent is given: one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.runtime.agent.intent import UNKNOWN, Intent
from core.agentscope.schemas.agent_runtime import ContextItem
from core.agentscope.schemas.passages import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What ``AgentRun`` takes from the runtime."""

    model: Callable[[], ChatModelBase]
    meter: Callable[[ChatModelBase], ChatModelBase]
    toolkit: Callable[[Toolkit | None], Toolkit]
    system_prompt: Callable[[], str]
    retrieve: Callable[[str], Awaitable[list[Passage]]]


class AgentRun:
    """One run, as the factory of its agent sees it. Use it for this run only, and do not keep it."""

    def __init__(
        self,
        *,
        user: str,
        tenant: str,
        thread_id: str,
        run_id: str,
        state: AgentState,
        parts: RunParts,
        http: httpx.AsyncClient,
        claims: Mapping[str, Any] | None = None,
        state_shared: Any = None,
        context: Sequence[ContextItem] = (),
        forwarded_props: Mapping[str, Any] | None = None,
        resources: Any = None,
        middlewares: Sequence[MiddlewareBase] = (),
        intent: Intent = UNKNOWN,
        is_check: bool = False,
    ) -> None:
        self.user = user
        """Id of the user: the claim ``sub`` of the token; ``local`` without authentication."""
        self.tenant = tenant
        self.thread_id = thread_id
        self.run_id = run_id
        self.claims: Mapping[str, Any] = claims or {}
        """The claims of the caller's token that ``AGENT_IDENTITY__CLAIMS`` names; empty without a token."""
        self.state = state
        """The conversation of the thread so far. Pass it on as the agent's state."""
        self.state_shared = state_shared
        """The JSON state that the application shares with the agent; ``None`` if it shares none."""
        self.context = tuple(context)
        """What the application tells about the user's situation: items with ``description`` and ``value``."""
        self.forwarded_props: Mapping[str, Any] = forwarded_props or {}
        self.http = http
        """An HTTP client with pooled connections, shared by the runs of the process. Do not close it."""
        self.resources = resources
        """What the ``@lifespan`` of the module yielded; ``None`` without one."""
        self.middlewares = list(middlewares)
        """The middlewares of AgentRoute. They are installed anyway; their place among yours is not yours to choose."""
        self.intent = intent
        """What the intent stage found; a task with tools if the stage is off."""
        self.is_check = is_check
        """True if the agent is only built to be looked at: when a worker starts, and by ``agentroute check``."""
        self._parts = parts
        self._model: ChatModelBase | None = None

    @property
    def system_prompt(self) -> str:
        """The prompt of the profile's execution stage, rendered for this run."""
        return self._parts.system_prompt()

    @property
    def model(self) -> ChatModelBase:
        """The model of the profile: metered, with retries, fallback and budgets.

        Raises:
            ValueError: ``AGENT_MODEL__BASE_URL`` is no HTTP URL.
        """
        if self._model is None:
            self._model = self._parts.model()
        return self._model

    def meter(self, model: ChatModelBase) -> ChatModelBase:
        """Return the model with a meter around it: its calls are in the ledger, and paid from the run's budget.

        The agent's own model is metered without it. Use it for the models of subagents, tools and middlewares.
        """
        return self._parts.meter(model)

    def toolkit(self, toolkit: Toolkit | None = None) -> Toolkit:
        """Return a copy of your toolkit with the tools of the profile and the client added.

        A tool of yours takes precedence over one of the client of the same name, and over one of an MCP server that came
        later; a name of the profile is refused at the start. The given toolkit is not changed, so it may be shared
        between runs.
        """
        return self._parts.toolkit(toolkit)

    async def retrieve(self, query: str) -> list[Passage]:
        """Search as ``[knowledge]`` of the profile says, and show the user the sources.

        Returns numbered passages, cut to the limits of the profile; none while the agent is only looked at. Give them to a
        model as ``passages_text(passages)``, which marks them as data.

        Raises:
            ToolError: The search failed; the message is for the model.
            ValueError: The profile has no ``[knowledge]``.
        """
        return await self._parts.retrieve(query)
