"""What the factory or the runner of a user is given: one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from agentscope.agent import Agent
from agentscope.event import ExternalExecutionResultEvent, UserConfirmResultEvent
from agentscope.message import Msg, SystemMsg, UserMsg
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from core.agentscope.runtime.agent.intent import UNKNOWN, Intent
from core.agentscope.runtime.agent.runner.events import Answer, ToolResult
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
    with_passages: Callable[[list[Msg]], list[Msg]] = field(default=lambda messages: messages)
    """Adds to a conversation what was found for the message of the user. Of a runner: agents have a middleware for it."""
    agent: Callable[[Agent], Awaitable[Agent]] | None = None
    """Of a runner."""
    call_tool: Callable[[str, Mapping[str, Any]], Awaitable[ToolResult]] | None = None
    """Of a runner."""


Inputs = list[Msg] | UserConfirmResultEvent | ExternalExecutionResultEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What a run has to answer."""

    messages: Sequence[Msg] = ()
    inputs: Inputs = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    results: Mapping[str, ToolResult] = field(default_factory=dict)
    waiting_agent: str | None = None


_FOR_RUNNERS = "is for runners ([agent] runner); a factory returns its agent"


class AgentRun:
    """One run, as the user's factory or runner sees it. Use it for this run only, and do not keep it."""

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
        given: RunInputs | None = None,
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
        given = given or RunInputs()
        self.messages: list[Msg] = list(given.messages)
        """The new messages of the user. Empty if the run only answers questions or brings results."""
        self.inputs: Inputs = given.inputs
        """What an agent with ``state=run.state`` is given: ``messages``, the user's decisions or the client's results."""
        self.answers: Mapping[str, Answer] = given.answers
        """The answers to the ``Interrupt`` of the run before, by the id that the runner gave to each."""
        self.results: Mapping[str, ToolResult] = given.results
        """What the client's tools returned to the runner's own ``ToolCall``, by the id of the call."""
        self.waiting_agent: str | None = given.waiting_agent
        """The name of the agent whose tool calls ``inputs`` decides or answers; ``None`` if there are none."""
        self._parts = parts
        self._model: ChatModelBase | None = None

    @property
    def text(self) -> str:
        """The text of the user's last message, of this run or an earlier one; empty if there is none."""
        for message in (*reversed(self.messages), *reversed(self.state.context)):
            if message.role == "user":
                return message.get_text_content() or ""
        return ""

    @property
    def waits(self) -> bool:
        """Whether an agent with ``state=run.state`` waits for the user or the client now. Then end the runner."""
        last = self.state.context[-1] if self.state.context else None
        return last is not None and self.state.has_awaiting_tool_calls(last.name)

    @property
    def conversation(self) -> list[Msg]:
        """The system prompt, and the conversation so far with the new messages: as ``model`` takes it.

        With ``when = "always"`` in ``[knowledge]``, the newest message of the user has the passages that were found.
        """
        known = {message.id for message in self.state.context}
        new = [message for message in self.messages if message.id not in known]
        said = [SystemMsg("system", self.system_prompt), *self.state.context, *new]
        if self.state.summary:
            said.insert(1, UserMsg("user", self.state.summary))
        return self._parts.with_passages(said)

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

    async def agent(self, agent: Agent) -> Agent:
        """Return an agent of a runner with what every agent gets: gate, meter, limits, guarded tools, compaction.

        The agent is yours to run: ``async for event in agent.reply_stream(...): yield event``. One with
        ``state=run.state`` goes on with the conversation of the thread, and its tools may ask the user; an agent with a
        state of its own begins anew in each run. Use what is returned: it may be a copy.

        Raises:
            TypeError: The run has no runner.
            ValueError: The agent cannot keep the guarantees. The message says what to do.
        """
        if self._parts.agent is None:
            raise TypeError(f"run.agent {_FOR_RUNNERS}")
        return await self._parts.agent(agent)

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Call a tool of the profile or of an MCP server; the call and its result are shown.

        The tool acts when its call is durable. If it asks for approval, the run ends here with the question. The runner
        is then called again, and the same call with the same arguments is made, or comes back as ``denied``.

        Returns:
            The result; a tool that fails has the state ``error``.

        Raises:
            TypeError: The run has no runner.
            ValueError: There is no such tool here, or the arguments are no JSON object.
        """
        if self._parts.call_tool is None:
            raise TypeError(f"run.call_tool {_FOR_RUNNERS}")
        return await self._parts.call_tool(name, arguments or {})
