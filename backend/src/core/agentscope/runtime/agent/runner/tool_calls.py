"""Tool calls beside the yields: those that a runner makes itself, and those of agents whose events it does not show.

Both are shown, and act when they are durable. A call of the runner that the user has to approve ends the run. The runner
is called again with the answer, and makes the same call again: the one that was approved is carried out, and no other.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, get_args

from agentscope.message import ToolCallBlock
from agentscope.middleware import MiddlewareBase
from agentscope.permission import PermissionBehavior, PermissionContext
from agentscope.state import AgentState
from agentscope.tool import ToolBase, ToolResponse

from core.agentscope.runtime.agent.open_tool_calls import OpenToolCalls
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.conversation import Conversation
from core.agentscope.runtime.agent.runner.pump import RunnerParked, RunnerPump
from core.agentscope.runtime.agent.runner.yields import RunnerTranslator
from core.agentscope.runtime.agent.toolkit import NO_CALLS_LEFT, RunToolkit, ServerTool, ToolGate, acting
from core.agentscope.tools.foreign_results import attachment_line

DENIED = "The user has not approved the call."


class OwnCalls:
    """The tool calls of one runner.

    Args:
        tools: Those of the run.
        state: The thread's.
        conversation: Keeps the calls.
        translator: Shows them.
        pump: Emits what is shown.
        gate: What the tools wait at.
        before: What became of the runner's calls of the run before.
    """

    def __init__(
        self,
        tools: Iterable[ToolBase],
        state: AgentState,
        conversation: Conversation,
        translator: RunnerTranslator,
        pump: RunnerPump,
        gate: ToolGate,
        before: OpenToolCalls,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._state = state
        self._translator = translator
        self._pump = pump
        self._gate = gate
        self._conversation = conversation
        self._decided = {
            _key(each.tool_call.name, _asked(state, each.tool_call)): each
            for each in (before.decisions.confirm_results if before.decisions else ())
        }
        self._not_connected = {
            _key(call.name, call.input): public.ToolResult(call.id, before.not_connected[call.id], "denied")
            for message in state.context
            for call in message.get_content_blocks("tool_call")
            if call.id in before.not_connected
        }
        for each in self._decided.values():
            translator.reopen(each.tool_call.id, each.tool_call.name)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> public.ToolResult:
        """Make a call. See ``AgentRun.call_tool``.

        Raises:
            ValueError: There is no such tool, or the arguments are no JSON object.
            RunnerParked: The user has to approve the call.
        """
        tool = self._tools.get(name)
        if tool is None or tool.is_external_tool:
            raise ValueError(_no_tool(name, self._tools.values()))
        written = json.dumps(dict(arguments), ensure_ascii=False)
        if (told := self._not_connected.pop(_key(name, written), None)) is not None:
            return told
        decided = self._decided.pop(_key(name, written), None)
        if decided is not None:
            if not decided.confirmed:
                return await self._ended(public.ToolResult(decided.tool_call.id, DENIED, "denied"))
            block = ToolCallBlock(id=decided.tool_call.id, name=name, input=decided.tool_call.input)
            if await self._lacks_login(tool, block.id):
                await self._ask_again(block)
            return await self._carry_out(tool, block)
        call = public.ToolCall(name, dict(arguments))
        block = ToolCallBlock(id=call.id, name=name, input=written)
        decision = await tool.check_permissions(dict(arguments), PermissionContext())
        if decision.behavior != PermissionBehavior.ALLOW or await self._lacks_login(tool, block.id):
            asked = [*self._translator.asking_call(call), *self._translator.approval(block)]
            await self._pump.pass_on(asked)
            raise RunnerParked
        await self._pump.pass_on(self._translator.translate(call))
        return await self._carry_out(tool, block)

    async def _carry_out(self, tool: ToolBase, block: ToolCallBlock) -> public.ToolResult:
        if not await self._gate.enter(block.id):
            return await self._ended(public.ToolResult(block.id, NO_CALLS_LEFT, "error"))
        response = ToolResponse()
        async for piece in acting(self._gate, block.id, RunToolkit([tool]).call_tool(block, self._state)):
            if isinstance(piece, ToolResponse):
                response = piece
        if self._gate.logins.was_refused(block.id):
            # The server did not take the user's identity, and did nothing.
            await self._ask_again(block)
        return await self._ended(public.ToolResult(block.id, words_of(response), _state_of(response)))

    async def _lacks_login(self, tool: ToolBase, call_id: str) -> bool:
        return isinstance(tool, ServerTool) and await self._gate.logins.lacks(
            call_id, tool.own, tool.principal
        )

    async def _ask_again(self, block: ToolCallBlock) -> None:
        """Ask about a call that was shown before.

        Raises:
            RunnerParked: Always.
        """
        self._conversation.wait(block.id)
        self._translator.waits(block.id)
        await self._pump.pass_on(self._translator.approval(block))
        raise RunnerParked

    async def _ended(self, result: public.ToolResult) -> public.ToolResult:
        await self._pump.pass_on(self._translator.translate(result))
        return result


class ShownCalls(MiddlewareBase):
    """Shows the tool calls of an agent whose own events the runner keeps to itself. Stands before the gate.

    Args:
        translator: Knows which calls were shown.
        pump: Emits them.
    """

    def __init__(self, translator: RunnerTranslator, pump: RunnerPump) -> None:
        self._translator = translator
        self._pump = pump

    async def on_acting(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        call: ToolCallBlock = input_kwargs["tool_call"]
        if self._translator.knows(call.id):
            async for piece in next_handler(**input_kwargs):
                yield piece
            return
        await self._pump.pass_on(self._translator.hidden_call(call.id, call.name, call.input))
        async for piece in next_handler(**input_kwargs):
            if isinstance(piece, ToolResponse):
                await self._pump.pass_on(
                    self._translator.hidden_result(call.id, words_of(piece), _state_of(piece))
                )
            yield piece


def _state_of(response: ToolResponse) -> public.ToolState:
    state: Any = str(getattr(response.state, "value", response.state))
    return state if state in get_args(public.ToolState) else "error"


def words_of(response: ToolResponse) -> str:
    """Return a result as text; attachments as lines that name them."""
    return "\n".join(
        block.text if block.type == "text" else attachment_line(block) for block in response.content
    )


def _asked(state: AgentState, call: ToolCallBlock) -> str:
    """Return the arguments as the runner wrote them: the user may have edited those of the decision."""
    for message in reversed(state.context):
        for block in message.get_content_blocks("tool_call"):
            if block.id == call.id:
                return block.input
    return call.input


def _key(name: str, arguments: str) -> tuple[str, str]:
    return name, json.dumps(json.loads(arguments), sort_keys=True)


def _no_tool(name: str, tools: Iterable[ToolBase]) -> str:
    if any(tool.name == name for tool in tools):
        return f"the tool {name!r} is the client's: yield a ToolCall, and end the runner"
    names = ", ".join(tool.name for tool in tools if not tool.is_external_tool)
    return f"there is no tool {name!r}; the tools are: {names or 'none'}"
