"""Settles the tool calls that an earlier run left open, before the agent goes on.

* A call of a client tool is answered by the client's message. Until then it stays open. When the user says something
  else instead, the model is told that there is no answer. The server never emits a result for such a call.
* A gated call is decided by the recorded answer to its interrupt, and by nothing else.
* Any other call was cut off when its worker was lost. It is never made again. Its one result says so.

No I/O. The agent's state is changed in place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentscope.event import ConfirmResult, ExternalExecutionResultEvent, UserConfirmResultEvent
from agentscope.message import DataBlock, TextBlock, ToolCallBlock, ToolResultBlock, ToolResultState
from agentscope.state import AgentState

from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.runtime.agent.logins import not_connected
from core.agentscope.runtime.agent.stored_state import stored_state
from core.agentscope.runtime.agent.thread_memory import (
    AGENT_NAME,
    GatedCall,
    ThreadMemory,
    add_later_messages,
    content_blocks,
    finish_call,
    text_of,
)
from core.agentscope.runtime.model.legal_history import NO_RESULT
from core.agentscope.schemas.messages import TextPart, ToolMessage
from core.agentscope.tools.mcp.names import server_of

INTERRUPTED = NO_RESULT
NOT_ANSWERED = "The application did not answer the call; the conversation went on without it."


@dataclass(slots=True)
class OpenToolCalls:
    """What the agent is given because of its open calls."""

    decisions: UserConfirmResultEvent | None = None
    """The user's decisions over gated calls."""
    answers: ExternalExecutionResultEvent | None = None
    """The client's answers, if the agent waited for nothing else."""
    approved: list[str] = field(default_factory=list)
    """The calls among the decisions that may run."""
    cut_off: list[str] = field(default_factory=list)
    """The server's calls that will never be made. Each needs a result event that says so."""
    not_connected: dict[str, str] = field(default_factory=dict)
    """The calls for which the user did not log in, with their results. Each needs a result event, too."""


def settle_open_tool_calls(
    state: AgentState,
    memory: ThreadMemory,
    *,
    decisions: Sequence[GatedCall],
    results: Sequence[ToolMessage],
    moves_on: bool,
    is_server_tool: Callable[[str], bool],
) -> OpenToolCalls:
    """Close the calls that nobody waits for any more, and return what the agent is given for the others.

    Also adds the messages that history has and the checkpoint does not. They come after the calls.

    Args:
        state: The state of the checkpoint; changed in place.
        memory: What the thread remembers.
        decisions: The recorded answers to the interrupts, when the run is the answer.
        results: The client's tool messages.
        moves_on: The run answers a new message, so no call waits any longer.
        is_server_tool: Tells by a tool's name whether this server calls it.
    """
    said_since = bool(memory.later_messages)
    moves_on = moves_on or said_since
    messages = {message.tool_call_id: message for message in results}
    decided = {call.tool_call_id: call for call in decisions}
    settled = OpenToolCalls()
    confirmations: list[ConfirmResult] = []
    answered: list[tuple[ToolCallBlock, ToolResultBlock]] = []
    for call in state.get_unfinished_tool_calls(AGENT_NAME):
        status = _status(call)
        if status == "submitted":
            if (message := messages.get(call.id)) is not None:
                answered.append((call, _client_result(call, message)))
            elif moves_on:
                finish_call(state, call, _no_result(call, NOT_ANSWERED))
        elif status == "asking" and not said_since and _is_declined_login(decided.get(call.id)):
            # AgentScope would tell the model that the user denies the tool.
            told = settled.not_connected[call.id] = not_connected(server_of(call.name))
            finish_call(state, call, _no_result(call, told, ToolResultState.DENIED))
        elif status == "asking" and decided and not said_since:
            confirmation = _confirmation(call, decided.get(call.id))
            confirmations.append(confirmation)
            if confirmation.confirmed:
                settled.approved.append(call.id)
        else:
            finish_call(state, call, _no_result(call, INTERRUPTED))
            if status == "asking" or is_server_tool(call.name):
                settled.cut_off.append(call.id)
    if confirmations:
        settled.decisions = UserConfirmResultEvent(reply_id=state.reply_id, confirm_results=confirmations)
    if answered and not confirmations and not moves_on:
        settled.answers = ExternalExecutionResultEvent(
            reply_id=state.reply_id, execution_results=[result for _, result in answered]
        )
    else:
        # The agent can be given one event only. The answers go directly into the state.
        for call, result in answered:
            finish_call(state, call, result)
    add_later_messages(state, memory)
    return settled


def client_calls(state: AgentState) -> tuple[str, ...]:
    """Return the calls that wait for the client, in order."""
    return tuple(
        call.id for call in state.get_awaiting_tool_calls(AGENT_NAME) if _status(call) == "submitted"
    )


def checkpoint_of(state: AgentState, version: str) -> Checkpoint:
    """Return the state as a checkpoint, with the calls that a client may answer."""
    return Checkpoint(version, stored_state(state), client_calls(state))


def waits_for_user(state: AgentState) -> bool:
    """Tell whether a call waits for the user's decision."""
    return any(_status(call) == "asking" for call in state.get_awaiting_tool_calls(AGENT_NAME))


def _confirmation(call: ToolCallBlock, gated: GatedCall | None) -> ConfirmResult:
    """Return the decision on the stored call; the client's copy of the call is not used."""
    # The call in the agent's state must be the call that the user was asked about.
    matches = gated is not None and (gated.tool_name, gated.arguments) == (call.name, call.input)
    approved = gated is not None and gated.approved and matches
    confirmed = ToolCallBlock.model_validate(call.model_dump())
    if approved and gated is not None and gated.edited is not None:
        confirmed.input = json.dumps(gated.edited, ensure_ascii=False)
    return ConfirmResult(confirmed=approved, tool_call=confirmed)


def _client_result(call: ToolCallBlock, message: ToolMessage) -> ToolResultBlock:
    return ToolResultBlock(
        id=call.id,
        name=call.name,
        output=_output(message),
        state=ToolResultState.ERROR if message.error else ToolResultState.SUCCESS,
    )


def _output(message: ToolMessage) -> str | list[TextBlock | DataBlock]:
    if isinstance(message.content, str) or all(isinstance(part, TextPart) for part in message.content):
        return "\n".join(filter(None, (text_of(message.wire()["content"]), message.error)))
    blocks = content_blocks(message.content)
    return [*blocks, TextBlock(text=message.error)] if message.error else blocks


def _is_declined_login(decision: GatedCall | None) -> bool:
    return decision is not None and decision.about_login and not decision.approved


def _no_result(
    call: ToolCallBlock, why: str, state: ToolResultState = ToolResultState.INTERRUPTED
) -> ToolResultBlock:
    return ToolResultBlock(id=call.id, name=call.name, output=why, state=state)


def _status(call: ToolCallBlock) -> str:
    # AgentScope stores this enum by its value.
    return str(getattr(call.state, "value", call.state))
