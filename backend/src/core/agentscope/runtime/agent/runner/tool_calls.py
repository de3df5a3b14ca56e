"""Tool calls beside the yields: those that a runner makes itself, and those of agents whose events it does not show.

Both are shown, and act when they are durable. A call of the runner that the user has to approve ends the run. The runner
is called again with the answer, and makes the same calls again: those that have a result return it and do not act, and the
one that was approved is carried out. See ``KeptCalls``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, get_args

from agentscope.message import ToolCallBlock
from agentscope.middleware import MiddlewareBase
from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision
from agentscope.state import AgentState
from agentscope.tool import ToolBase, ToolResponse

from core.agentscope.runtime.agent.open_tool_calls import OpenToolCalls
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.conversation import Conversation, open_calls
from core.agentscope.runtime.agent.runner.kept_calls import KeptCalls, call_key, decision_to_keep
from core.agentscope.runtime.agent.runner.pump import RunnerPump
from core.agentscope.runtime.agent.runner.side_work import SideWork
from core.agentscope.runtime.agent.runner.yields import RunnerTranslator
from core.agentscope.runtime.agent.tool_spans import traced_call
from core.agentscope.runtime.agent.toolkit import (
    INTERRUPTED,
    NO_CALLS_LEFT,
    RunToolkit,
    ServerTool,
    ToolGate,
    acting,
    tool_chunk,
)
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.tools.foreign_results import attachment_line

DENIED = "The user has not approved the call."
REFUSED = "The tool does not allow the call."


class OwnCalls:
    """The tool calls of one runner.

    Args:
        tools: Those of the run.
        state: The thread's.
        conversation: Keeps the calls.
        translator: Shows them.
        pump: Emits what is shown.
        gate: What the tools wait at.
        before: What became of the calls of the run before.
        own: Whether those were the runner's, and not an agent's.
        kept: The calls that have a result already.
        side: Knows what is at work.
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
        kept: KeptCalls,
        side: SideWork,
        *,
        own: bool,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._state = state
        self._translator = translator
        self._pump = pump
        self._gate = gate
        self._conversation = conversation
        self._kept = kept
        self._side = side
        decided = before.decisions.confirm_results if before.decisions else []
        self._of_agent = [] if own else decided
        self._decided = {
            call_key(each.tool_call.name, _asked(state, each.tool_call)): each
            for each in (decided if own else ())
        }
        for message in state.context if own else ():
            for call in message.get_content_blocks("tool_call"):
                if (told := before.not_connected.get(call.id)) is not None:
                    # It was shown, and the runner has not heard of it.
                    result = public.ToolResult(call.id, told, "denied")
                    kept.add(call_key(call.name, call.input), result, heard=False)
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
        return await self._side.call(self._call(tool, dict(arguments)))

    def keep_decisions(self) -> None:
        """Let the decisions that the runner has not come to wait for the run that goes on."""
        for each in self._of_agent:
            # An agent that has heard of them goes on by itself.
            if each.tool_call.id in {call.id for call in open_calls(self._state)}:
                self._kept.decided.append(decision_to_keep(each, _asked(self._state, each.tool_call)))
        for each in self._decided.values():
            call = each.tool_call
            self._kept.decided.append(decision_to_keep(each, _asked(self._state, call)))
            self._conversation.wait(call.id)
            self._translator.waits(call.id)
            self._translator.asked_calls.add(call.id)

    async def _call(self, tool: ToolBase, arguments: dict[str, Any]) -> public.ToolResult:
        name, written = tool.name, json.dumps(arguments, ensure_ascii=False)
        key = call_key(name, written)
        if (told := self._kept.result(key)) is not None:
            return told
        decided = self._decided.pop(key, None)
        if decided is not None:
            if not decided.confirmed:
                return await self._ended(key, public.ToolResult(decided.tool_call.id, DENIED, "denied"))
            block = ToolCallBlock(id=decided.tool_call.id, name=name, input=decided.tool_call.input)
            # The user may have edited it, and what the tool looks at may have changed since.
            decision = await tool.check_permissions(json.loads(block.input), PermissionContext())
            if decision.behavior == PermissionBehavior.DENY:
                return await self._refused(key, block.id, decision)
            if await self._lacks_login(tool, block.id):
                await self._ask_again(block)
            return await self._carry_out(key, tool, block)
        call = public.ToolCall(name, arguments)
        block = ToolCallBlock(id=call.id, name=name, input=written)
        decision = await tool.check_permissions(arguments, PermissionContext())
        if decision.behavior == PermissionBehavior.DENY:
            await self._pump.pass_on(self._translator.translate(call))
            return await self._refused(key, block.id, decision)
        if decision.behavior != PermissionBehavior.ALLOW or await self._lacks_login(tool, block.id):
            asked = [*self._translator.asking_call(call), *self._translator.approval(block)]
            await self._park(asked)
        await self._pump.pass_on(self._translator.translate(call))
        return await self._carry_out(key, tool, block)

    async def _carry_out(self, key: str, tool: ToolBase, block: ToolCallBlock) -> public.ToolResult:
        if not await self._gate.enter(block.id):
            return await self._ended(key, public.ToolResult(block.id, NO_CALLS_LEFT, "error"))
        response = ToolResponse()
        chunks = traced_call(block, RunToolkit([tool]).call_tool(block, self._state))
        async for piece in acting(self._gate, block.id, chunks):
            if isinstance(piece, ToolResponse):
                response = piece
        if self._gate.logins.was_refused(block.id):
            # The server did not take the user's identity, and did nothing.
            await self._ask_again(block)
        return await self._ended(key, public.ToolResult(block.id, words_of(response), _state_of(response)))

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
        await self._park(self._translator.approval(block))

    async def _park(self, asked: Sequence[InternalRuntimeEvent]) -> NoReturn:
        """Show a question, and end the runner.

        Raises:
            RunnerParked: Always.
        """
        # First: a call that the runner has begun beside this one is not cut off any more.
        parked = self._side.park()
        await self._pump.pass_on(asked)
        raise parked

    async def _refused(self, key: str, call_id: str, decision: PermissionDecision) -> public.ToolResult:
        """End a call that the tool itself does not allow. Nobody is asked: a yes would not change it."""
        return await self._ended(key, public.ToolResult(call_id, decision.message or REFUSED, "denied"))

    async def _ended(self, key: str, result: public.ToolResult) -> public.ToolResult:
        # Kept before it is shown: the tool has acted, whatever comes between.
        self._kept.add(key, result)
        await self._pump.pass_on(self._translator.translate(result))
        return result


class ShownCalls(MiddlewareBase):
    """Shows the tool calls of an agent whose own events the runner keeps to itself. Stands before the gate.

    Args:
        translator: Knows which calls were shown.
        pump: Emits them.
        side: Knows which agents are at work.
    """

    def __init__(self, translator: RunnerTranslator, pump: RunnerPump, side: SideWork) -> None:
        self._translator = translator
        self._pump = pump
        self._side = side

    async def on_reply(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        with self._side.agent_at_work():
            async for item in next_handler(**input_kwargs):
                yield item

    async def on_acting(
        self, agent: Any, input_kwargs: dict[str, Any], next_handler: Callable[..., AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        call: ToolCallBlock = input_kwargs["tool_call"]
        if self._translator.knows(call.id):
            async for piece in next_handler(**input_kwargs):
                yield piece
            return
        try:
            await self._pump.pass_on(self._translator.hidden_call(call.id, call.name, call.input))
        except asyncio.CancelledError:
            # AgentScope repeats a call without a result.
            chunk = tool_chunk("interrupted", INTERRUPTED)
            yield chunk
            yield ToolResponse().append_chunk(chunk)
            return
        async for piece in next_handler(**input_kwargs):
            if isinstance(piece, ToolResponse):
                # The tool has acted: without its result AgentScope would let it act again.
                with suppress(asyncio.CancelledError):
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


def _no_tool(name: str, tools: Iterable[ToolBase]) -> str:
    if any(tool.name == name for tool in tools):
        return f"the tool {name!r} is the client's: yield a ToolCall, and end the runner"
    names = ", ".join(tool.name for tool in tools if not tool.is_external_tool)
    return f"there is no tool {name!r}; the tools are: {names or 'none'}"
