"""Our tools as AgentScope's, and the gate that every call passes before it may act.

A tool starts only when three things hold: its ``TOOL_CALL_END`` is durable, the run was not told to stop, and the
arguments are what the model wrote. The second check is needed because AgentScope 2.0.10 swallows a cancellation that
comes just before a concurrent tool starts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from time import monotonic
from typing import Any, TypeVar

import structlog
from agentscope.exception import ToolNotFoundError
from agentscope.message import TextBlock, ToolCallBlock, ToolCallState, ToolResultState
from agentscope.middleware import MiddlewareBase
from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision
from agentscope.state import AgentState
from agentscope.tool import ToolBase, ToolChunk, ToolGroup, Toolkit, ToolResponse

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.logins import MissingLogins, not_connected
from core.agentscope.runtime.agent.skills import INSTRUCTION
from core.agentscope.runtime.agent.tool_progress import CallProgress
from core.agentscope.runtime.agent.tool_spans import traced_call
from core.agentscope.runtime.stop_signal import StopSignal
from core.agentscope.schemas.agent_runtime import ClientToolDefinition
from core.agentscope.tools.foreign_tools import ForeignTool, agent_state
from core.agentscope.tools.mcp.names import server_of
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.spec import Permission, Tool, ToolContext
from core.crash_points import crash_point
from core.schema_flattening import SchemaTooLarge, flattened
from core.schema_validator import bounded

log = structlog.get_logger(__name__)

BROKEN_ARGUMENTS = "The call was not made: its arguments are not valid JSON; they were probably cut off."
NO_OBJECT = 'The call was not made: its arguments must be one JSON object, such as {} or {"name": "value"}.'
INTERRUPTED = "The call was not made: the run was stopped before."
NOBODY_TO_ASK = "The call was not made: it needs the user's approval, and a subagent cannot ask the user."
NO_CALLS_LEFT = "The run has used all its tool calls. Answer with what you have."
_TO_ASK = frozenset({PermissionBehavior.ASK, PermissionBehavior.PASSTHROUGH})
_MAX_SHOWN_NAME = 100
_HIDDEN = "_agentroute_hidden"
Chunk = TypeVar("Chunk")
_current_call: ContextVar[str] = ContextVar("tool_call_id")


def current_tool_call() -> str:
    """Return the id of the tool call that is running; empty outside of a call."""
    return _current_call.get("")


class ToolCallCount:
    """The tool calls that a run may still make: its agent and all subagents count down the same number."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self) -> bool:
        """Count a call; False when none is left."""
        self._left -= 1
        return self._left >= 0


class ToolGate:
    """Lets a tool call through once its events are durable, unless the run was told to stop."""

    def __init__(self, stop: StopSignal, calls: ToolCallCount) -> None:
        self.calls = calls
        """Shared by the gates of the run's agents."""
        self.logins = MissingLogins()
        """What calls with the user's own identity wait for."""
        self._stop = stop
        self._closed = False
        self._durable: set[str] = set()
        self._changed = asyncio.Event()
        self._took: dict[str, float] = {}

    def open(self, tool_call_id: str) -> None:
        """Let a call through: its ``TOOL_CALL_END`` is committed."""
        self._durable.add(tool_call_id)
        self._changed.set()
        self._changed = asyncio.Event()

    def admit(self) -> None:
        """Let calls through (again)."""
        self._closed = False

    def close(self) -> None:
        """Let nothing through any more: what makes the calls has ended."""
        self._closed = True
        self._changed.set()
        self._changed = asyncio.Event()

    async def enter(self, tool_call_id: str) -> bool:
        """Wait until the call may act; False when the run has no calls left.

        Raises:
            asyncio.CancelledError: The run was told to stop, or the gate is closed.
        """
        while tool_call_id not in self._durable and not self._stop.is_set and not self._closed:
            await self._changed.wait()
        if self._stop.is_set or self._closed:
            raise asyncio.CancelledError
        return self.calls.take()

    def took(self, tool_call_id: str, seconds: float) -> None:
        """Note how long a call has taken so far."""
        self._took[tool_call_id] = seconds

    def duration_ms(self, tool_call_id: str) -> int | None:
        """Return how long a call took; ``None`` when it did not run."""
        seconds = self._took.get(tool_call_id)
        return None if seconds is None else round(seconds * 1000)


class GateMiddleware(MiddlewareBase):
    """Puts the gate before every tool, and gives the tool the id of its call."""

    def __init__(self, gate: ToolGate) -> None:
        self._gate = gate

    async def on_check_permission(
        self,
        agent: Any,
        input_kwargs: dict[str, Any],
        next_handler: Callable[..., Awaitable[PermissionDecision]],
    ) -> PermissionDecision:
        # AgentScope repairs broken JSON and would call the tool with the repaired part: "order 1234", cut by the
        # model's length limit, became "order 12".
        arguments: str = input_kwargs["tool_call"].input
        if arguments and (problem := _problem(arguments)):
            return PermissionDecision(PermissionBehavior.DENY, problem)
        decision = await next_handler(**input_kwargs)
        # What the profile says holds whatever the rules and middlewares of a user's agent allow.
        asks = isinstance(tool := input_kwargs["tool"], ServerTool) and tool.asks
        decided = input_kwargs["tool_call"].state == ToolCallState.ALLOWED
        if decision.behavior in _TO_ASK or (
            asks and not decided and decision.behavior == PermissionBehavior.ALLOW
        ):
            return _asking(decision)
        if (
            decision.behavior == PermissionBehavior.ALLOW
            and isinstance(tool, ServerTool)
            and await self._gate.logins.lacks(input_kwargs["tool_call"].id, tool.own, tool.principal)
        ):
            if self._gate.logins.may_ask:
                return _asking(decision)
            return PermissionDecision(PermissionBehavior.DENY, not_connected(server_of(tool.name)))
        return decision

    async def on_acting(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        tool_call_id: str = input_kwargs["tool_call"].id
        try:
            entered = await self._gate.enter(tool_call_id)
        except asyncio.CancelledError:
            # An interrupted result ends the reply. Without a result AgentScope 2.0.10 swallows the cancellation
            # and repeats the call endlessly.
            chunk = tool_chunk("interrupted", INTERRUPTED)
            yield chunk
            yield ToolResponse().append_chunk(chunk)
            return
        if not entered:
            chunk = tool_chunk("error", NO_CALLS_LEFT)
            yield chunk
            yield ToolResponse().append_chunk(chunk)
            return
        chunks = traced_call(input_kwargs["tool_call"], next_handler(**input_kwargs))
        async for chunk in acting(self._gate, tool_call_id, chunks):
            # The server did not take the user's identity, and did nothing. A call without a result is given to
            # ``on_check_permission`` again, which asks the user.
            if not self._gate.logins.was_refused(tool_call_id):
                yield chunk


async def acting(
    gate: ToolGate, tool_call_id: str, chunks: AsyncIterator[Chunk]
) -> AsyncGenerator[Chunk, None]:
    """Yield what a tool returns, as the call that is running; note how long it takes."""
    _current_call.set(tool_call_id)
    began = monotonic()
    async for chunk in chunks:
        # Noted before the chunk is passed on: after the last chunk the agent emits the result, with the time.
        gate.took(tool_call_id, monotonic() - began)
        yield chunk


def _asking(decision: PermissionDecision) -> PermissionDecision:
    return PermissionDecision(
        PermissionBehavior.ASK,
        decision.message,
        # Otherwise a second call of the same tool would wait behind the first without asking.
        bypass_immune=True,
    )


def answer_schema(**more: Any) -> dict[str, Any]:
    """Return the JSON Schema of a yes or no; ``more`` are further properties of the answer."""
    return {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, **more},
        "required": ["approved"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class ToolAccess:
    """One of the agent's tools with the permission the profile gives it."""

    tool: Tool
    permission: Permission

    def approval_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the answer to an approval request."""
        return answer_schema(**({"input": self.tool.json_schema()} if self.tool.editable else {}))


class RunToolkit(Toolkit):
    """The tools of one run. A model that calls a tool which is not there is told which tools are.

    Cheap to build. AgentScope's own constructor makes a pydantic model and its JSON schema for a tool that switches
    groups of tools, which is only offered when there are groups. Here there are none.
    """

    def __init__(  # pyright: ignore[reportMissingSuperCall]  that is the point
        self, tools: Iterable[ToolBase] = (), unlisted: Iterable[ToolBase] = ()
    ) -> None:
        # Instead of the constructor: everything that is the same for all toolkits, and tools of its own.
        vars(self).update(vars(_empty_toolkit()))
        self.tool_groups = [ToolGroup(name="basic", tools=list(tools))]
        self.hide(unlisted)

    def hide(self, tools: Iterable[ToolBase]) -> None:
        """Take in tools that can be called, but that the model is not offered: those of calls that were stored."""
        vars(self)[_HIDDEN] = {tool.name: tool for tool in tools}

    def _hidden(self, name: str) -> ToolBase | None:
        # A toolkit of a user became one of ours without our constructor.
        return vars(self).get(_HIDDEN, {}).get(name)

    async def call_tool(
        self, tool_call: ToolCallBlock, state: AgentState
    ) -> AsyncGenerator[ToolChunk | ToolResponse, None]:
        if (tool := self._hidden(tool_call.name)) is None:
            async for chunk in super().call_tool(tool_call, state):
                yield chunk
            return
        once = RunToolkit([tool])
        async for chunk in once.call_tool(tool_call, state):
            yield chunk

    async def check_tool_available(self, tool_name: str, activated_groups: list[str]) -> ToolBase:
        if (tool := self._hidden(tool_name)) is not None:
            return tool
        try:
            return await super().check_tool_available(tool_name, activated_groups)
        except ToolNotFoundError as exc:
            offered = [tool["function"]["name"] for tool in await self.get_tool_schemas(activated_groups)]
            names = f"The tools are: {', '.join(offered)}." if offered else "There are no tools now."
            # A call may have been approved while its server was there.
            away = (
                " If it is a tool of a server, the server is away at the moment."
                if server_of(tool_name)
                else ""
            )
            raise ToolNotFoundError(
                f"There is no tool {tool_name[:_MAX_SHOWN_NAME]!r}.{away} {names} A tool is called by exactly its name."
            ) from exc


@cache
def _empty_toolkit() -> Toolkit:
    return Toolkit(skill_instruction_template=INSTRUCTION)


class ServerTool(ToolBase):
    """A tool of this server, for one run."""

    is_concurrency_safe = True

    def __init__(
        self,
        access: ToolAccess,
        context: ToolContext,
        emit: Emit | None = None,
        *,
        asks_nobody: bool = False,
        logins: MissingLogins | None = None,
    ) -> None:
        super().__init__()
        self._emit = emit
        self._asks_nobody = asks_nobody
        self._logins = logins
        self.own = access.tool
        self.principal = context.principal
        self.name = access.tool.name
        self.description = access.tool.description
        self.input_schema = bounded(access.tool.json_schema())
        # AgentScope allows a read-only tool without asking, whatever its permission says.
        self.is_read_only = False
        self.asks = access.permission != "allow"
        """Whether the user decides over each call."""
        self._access = access
        self._context = context
        self._foreign = access.tool if isinstance(access.tool, ForeignTool) else None
        if self._foreign is not None:
            self.is_state_injected = self._foreign.takes_state
            self.is_concurrency_safe = bool(self._foreign.original.is_concurrency_safe)

    @property
    def decides(self) -> bool:
        """Whether the tool looks at each call by itself."""
        return self._foreign is not None and self._foreign.decides

    async def check_permissions(
        self, tool_input: dict[str, Any], context: PermissionContext
    ) -> PermissionDecision:
        asks = self.asks
        if self.decides:
            own = await self._own_decision(tool_input, context)
            if own.behavior == PermissionBehavior.DENY:
                return own
            asks = asks or own.behavior == PermissionBehavior.ASK
        if not asks:
            return PermissionDecision(PermissionBehavior.ALLOW, "allowed by the agent's profile")
        if self._asks_nobody:
            return PermissionDecision(PermissionBehavior.DENY, NOBODY_TO_ASK)
        return PermissionDecision(PermissionBehavior.ASK, "the user decides", bypass_immune=True)

    async def _own_decision(
        self, tool_input: dict[str, Any], context: PermissionContext
    ) -> PermissionDecision:
        assert self._foreign is not None  # noqa: S101  decides() is true
        try:
            return await self._foreign.original.check_permissions(tool_input, context)
        except Exception:  # the code is the user's; who cannot decide asks
            log.exception("tool_permission_check_failed", tool=self.name)
            return PermissionDecision(PermissionBehavior.ASK, "the tool could not decide")

    async def call(self, *_args: Any, **arguments: Any) -> ToolChunk:
        tool_call_id = current_tool_call()
        progress = None if self._emit is None else CallProgress(tool_call_id, self._emit)
        search = self._context.knowledge
        context = replace(
            self._context,
            tool_call_id=tool_call_id,
            progress_report=progress,
            knowledge=None if search is None else search.of_call(tool_call_id, self._emit),
        )
        if self.is_state_injected:
            agent_state.set(arguments.pop("_agent_state"))
        crash_point("tool-before")
        try:
            outcome = await self._access.tool.call(arguments, context)
        except ConnectionRequired as exc:
            if self._logins is not None:
                await self._logins.refuse(tool_call_id, self.own, exc, self.principal)
            return tool_chunk("error", str(exc))
        finally:
            if progress is not None:
                progress.close()
        crash_point("tool-after")
        return tool_chunk(outcome.state, outcome.content)


class ClientTool(ToolBase):
    """A client tool: the run ends with its call open, and the client's message continues the thread."""

    is_concurrency_safe = True
    is_external_tool = True
    is_read_only = False

    def __init__(self, tool: ClientToolDefinition) -> None:
        super().__init__()
        self.name = tool.name
        self.description = tool.description or tool.name
        self.input_schema = bounded({"properties": {}} | _flattened(tool) | {"type": "object"})

    async def check_permissions(
        self, tool_input: dict[str, Any], context: PermissionContext
    ) -> PermissionDecision:
        return PermissionDecision(PermissionBehavior.ALLOW, "the client executes it")


def run_tools(
    access: Iterable[ToolAccess],
    client_tools: Iterable[ClientToolDefinition],
    context: ToolContext,
    subagents: Iterable[ToolBase] = (),
    emit: Emit | None = None,
    *,
    asks_nobody: bool = False,
    logins: MissingLogins | None = None,
) -> list[ToolBase]:
    """Return the tools of one run. ``emit`` takes the progress of their calls, ``logins`` what users have to do first.

    A denied tool is not offered at all. A server tool takes precedence over a client tool of the same name. With
    ``asks_nobody``, a call that needs approval is denied.
    """
    tools: dict[str, ToolBase] = {
        item.tool.name: ServerTool(item, context, emit, asks_nobody=asks_nobody, logins=logins)
        for item in access
        if item.permission != "deny"
    }
    for subagent in subagents:
        tools.setdefault(subagent.name, subagent)
    for item in client_tools:
        tools.setdefault(item.name, ClientTool(item))
    return list(tools.values())


def approval_schemas(access: Iterable[ToolAccess]) -> Callable[[str], dict[str, Any]]:
    """Return the approval's answer schema by tool name. A tool of a user's toolkit takes a yes or a no."""
    schemas: Mapping[str, dict[str, Any]] = {item.tool.name: item.approval_schema() for item in access}
    return lambda name: schemas.get(name) or answer_schema()


def _flattened(tool: ClientToolDefinition) -> dict[str, Any]:
    try:
        return flattened(tool.parameters)
    except SchemaTooLarge:
        # Accepted by a version that did not look: the client checks what it gets.
        log.warning("client_tool_schema_too_large", tool=tool.name)
        return {}


def _problem(arguments: str) -> str:
    """Return what is wrong with a call's arguments as text; empty when they are a JSON object."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return BROKEN_ARGUMENTS
    # AgentScope would take the object out of a list and make the call.
    return "" if isinstance(value, dict) else NO_OBJECT


def tool_chunk(state: str, text: str) -> ToolChunk:
    """Return a complete tool result in AgentScope's form."""
    return ToolChunk(content=[TextBlock(text=text)], state=ToolResultState(state), is_last=True)
