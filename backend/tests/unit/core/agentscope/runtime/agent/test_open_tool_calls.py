"""What becomes of calls that an earlier run left open, also of those a lost worker left half done."""

from __future__ import annotations

from typing import Any

import pytest
from agentscope.message import ToolCallBlock, UserMsg
from agentscope.state import AgentState

from core.agentscope.runtime.agent.logins import not_connected
from core.agentscope.runtime.agent.open_tool_calls import (
    INTERRUPTED,
    NOT_ANSWERED,
    OpenToolCalls,
    checkpoint_of,
    client_calls,
    settle_open_tool_calls,
    waits_for_user,
)
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME, GatedCall, ThreadMemory, restore_state
from core.agentscope.schemas.messages import ToolMessage
from core.agentscope.tools.mcp.names import server_of

APPROVED = GatedCall("gated", "pay", '{"a": 1}', approved=True, edited=None)


def parked(**calls: str) -> str:
    """Return a checkpoint whose last reply made calls, by id, that are in these states."""
    names = {"gated": "pay", "busy": "pay", "colour": "choose", "shape": "choose"}
    state = AgentState(session_id="t")
    blocks: list[Any] = [
        ToolCallBlock(id=call_id, name=names[call_id], input='{"a": 1}') for call_id in calls
    ]
    for block in blocks:
        block.state = calls[block.id]
    state.context.append(UserMsg(name="user", content="go on"))
    state.append_context(AGENT_NAME, blocks)
    return state.model_dump_json()


def memory(checkpoint: str, *later: tuple[str, str], **results: str) -> ThreadMemory:
    return ThreadMemory(AgentState.model_validate_json(checkpoint), later, (), later_results=results)


def settle(
    thread: ThreadMemory, *decisions: GatedCall, moves_on: bool = False, **answers: str
) -> tuple[AgentState, OpenToolCalls]:
    """Settle a thread's open calls with the client's answers, by call."""
    state = restore_state(thread, "t")
    messages = [
        ToolMessage(id=f"m-{call_id}", role="tool", tool_call_id=call_id, content=content)
        for call_id, content in answers.items()
    ]
    calls = settle_open_tool_calls(
        state, thread, decisions=decisions, results=messages, moves_on=moves_on, is_server_tool="pay".__eq__
    )
    return state, calls


def told(state: AgentState) -> dict[str, str]:
    """Return the result of each call as the model is told."""
    blocks = [block for message in state.context for block in message.get_content_blocks("tool_result")]
    return {block.id: str(block.output) for block in blocks}


def test_all_answers_go_to_the_agent_as_one_event() -> None:
    state, calls = settle(memory(parked(colour="submitted", shape="submitted")), colour="blue")

    assert calls.answers is not None
    assert [(result.id, result.output) for result in calls.answers.execution_results] == [("colour", "blue")]
    assert told(state) == {}
    assert calls.cut_off == []


def test_answers_beside_a_decision_or_a_message_are_already_in_the_conversation() -> None:
    state, calls = settle(memory(parked(gated="asking", colour="submitted")), APPROVED, colour="blue")
    assert calls.decisions is not None
    assert (calls.answers, calls.approved, told(state)) == (None, ["gated"], {"colour": "blue"})

    state, calls = settle(memory(parked(colour="submitted", shape="submitted")), moves_on=True, colour="blue")
    assert (calls.answers, calls.decisions, calls.cut_off) == (None, None, [])
    assert told(state) == {"colour": "blue", "shape": NOT_ANSWERED}


def test_an_unanswered_client_call_waits_on_beside_a_decision() -> None:
    state, calls = settle(memory(parked(gated="asking", colour="submitted")), APPROVED)

    assert calls.decisions is not None
    assert [result.tool_call.id for result in calls.decisions.confirm_results] == ["gated"]
    assert client_calls(state) == checkpoint_of(state, "1").client_calls == ("colour",)
    assert waits_for_user(state)


@pytest.mark.parametrize(
    "decision",
    [
        GatedCall("other", "pay", '{"a": 1}', approved=True, edited=None),
        GatedCall("gated", "refund", '{"a": 1}', approved=True, edited=None),
        GatedCall("gated", "pay", '{"a": 2}', approved=True, edited=None),
        GatedCall("gated", "pay", '{"a": 1}', approved=False, edited={"a": 3}),
    ],
    ids=["id", "name", "arguments", "declined"],
)
def test_only_an_approval_of_this_very_call_lets_it_run(decision: GatedCall) -> None:
    _, calls = settle(memory(parked(gated="asking")), decision)

    assert calls.decisions is not None
    (confirmation,) = calls.decisions.confirm_results
    assert (confirmation.confirmed, calls.approved) == (False, [])
    assert confirmation.tool_call.input == '{"a": 1}'


def test_a_login_that_the_user_declined_is_told_as_that_and_not_as_a_refusal_of_the_tool() -> None:
    parked_call = memory(parked(gated="asking", colour="submitted"))
    declined = GatedCall("gated", "pay", '{"a": 1}', approved=False, edited=None, about_login=True)
    state, calls = settle(parked_call, declined)

    text = not_connected(server_of("pay"))
    assert (calls.decisions, calls.cut_off, calls.not_connected) == (None, [], {"gated": text})
    assert told(state) == {"gated": text}
    # The client's call waits on.
    assert client_calls(state) == ("colour",)


def test_edited_arguments_are_in_the_decision() -> None:
    edited = GatedCall("gated", "pay", '{"a": 1}', approved=True, edited={"a": 2})
    _, calls = settle(memory(parked(gated="asking")), edited)

    assert calls.decisions is not None
    assert calls.decisions.confirm_results[0].tool_call.input == '{"a": 2}'


def test_a_gated_call_without_a_decision_is_cut_off() -> None:
    state, calls = settle(memory(parked(gated="asking", colour="submitted")), moves_on=True)

    assert (calls.decisions, calls.cut_off) == (None, ["gated"])
    assert told(state) == {"gated": INTERRUPTED, "colour": NOT_ANSWERED}


@pytest.mark.parametrize("status", ["pending", "allowed"])
def test_a_call_a_lost_worker_was_making_is_not_made_again_when_the_client_answers(status: str) -> None:
    state, calls = settle(memory(parked(busy=status, colour="submitted")), colour="blue")

    assert calls.cut_off == ["busy"]
    assert told(state) == {"busy": INTERRUPTED}
    assert calls.answers is not None


@pytest.mark.parametrize("status", ["pending", "allowed"])
def test_a_client_call_a_lost_worker_did_not_hand_over_is_not_answered_for_everybody(status: str) -> None:
    state, calls = settle(memory(parked(colour=status)), moves_on=True)

    assert calls.cut_off == []
    assert told(state) == {"colour": INTERRUPTED}


def test_what_was_said_since_comes_behind_the_calls() -> None:
    later = (("user", "hello"), ("assistant", "I beg"))
    thread = memory(parked(gated="asking", colour="submitted", shape="submitted"), *later, shape="round")

    state, calls = settle(thread, colour="blue")

    # The conversation went on, in a run that left no checkpoint: nothing waits any more.
    assert (calls.answers, calls.decisions, calls.cut_off) == (None, None, ["gated"])
    assert told(state) == {"gated": INTERRUPTED, "colour": "blue", "shape": "round"}
    assert [message.get_text_content() for message in state.context[-2:]] == ["hello", "I beg"]
    assert client_calls(state) == ()


@pytest.mark.parametrize(("content", "told"), [("", "window closed"), ("half", "half\nwindow closed")])
def test_the_model_is_told_why_the_clients_tool_failed(content: str, told: str) -> None:
    state = restore_state(memory(parked(colour="submitted")), "t")
    answer = ToolMessage(id="m-1", role="tool", tool_call_id="colour", content=content, error="window closed")
    settled = settle_open_tool_calls(
        state,
        memory(parked(colour="submitted")),
        decisions=(),
        results=[answer],
        moves_on=False,
        is_server_tool=lambda _name: False,
    )
    assert settled.answers is not None
    [result] = settled.answers.execution_results
    assert (result.output, result.state) == (told, "error")
