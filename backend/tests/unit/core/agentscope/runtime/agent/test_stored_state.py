"""What of a conversation is stored when it has become too large for a checkpoint."""

from __future__ import annotations

from typing import Any

from agentscope.message import (
    Base64Source,
    DataBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    ToolResultState,
    UserMsg,
)
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from structlog.testing import capture_logs

from core.agentscope.events.state_parts import whole_text
from core.agentscope.runtime.agent.state_reading import read_state
from core.agentscope.runtime.agent.stored_state import ATTACHMENT_LEFT_OUT, in_parts, stored_state
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME


def conversation(*, turns: int, image: int = 0, words: int = 1) -> AgentState:
    """Return turns of a user who shows an image, and an agent that calls a tool about it."""
    state = AgentState(session_id="t")
    for turn in range(turns):
        shown: list[Any] = [TextBlock(text=f"look {turn} " + "x" * words)]
        if image:
            shown.append(DataBlock(source=Base64Source(data="A" * image, media_type="image/png")))
        state.context.append(UserMsg(name="user", content=shown))
        call = ToolCallBlock(id=f"c-{turn}", name="see", input="{}")
        result = ToolResultBlock(id=call.id, name="see", output="seen", state=ToolResultState.SUCCESS)
        state.append_context(AGENT_NAME, [call, result, TextBlock(text="nice")])
    return state


def stored(state: AgentState, max_bytes: int) -> AgentState:
    before = state.model_dump_json()
    with capture_logs():
        kept = stored_state(state, max_bytes=max_bytes)
    assert state.model_dump_json() == before, "the state at work is not touched"
    assert kept.size <= max_bytes
    return read_state(whole_text(kept))


def test_a_state_that_fits_is_stored_whole() -> None:
    state = conversation(turns=3, image=100)
    kept = stored_state(state, max_bytes=in_parts(state).size)

    assert read_state(whole_text(kept)).model_dump_json() == state.model_dump_json()


def test_the_oldest_attachments_are_left_out_and_no_more_than_needed() -> None:
    kept = stored(conversation(turns=5, image=40_000), 100_000)

    shown = [message.content[1] for message in kept.context if message.role == "user"]
    notes = [block.text == ATTACHMENT_LEFT_OUT for block in shown if isinstance(block, TextBlock)]
    assert notes == [True, True, True]
    assert [type(block) for block in shown[3:]] == [DataBlock, DataBlock]
    assert len(kept.context) == 10


def test_the_attachments_of_results_are_left_out_as_well() -> None:
    state = conversation(turns=1)
    images: list[Any] = [
        DataBlock(source=Base64Source(data="A" * 40_000, media_type="image/png")) for _ in range(3)
    ]
    call = ToolCallBlock(id="c-images", name="see", input="{}")
    result = ToolResultBlock(id=call.id, name="see", output=images, state=ToolResultState.SUCCESS)
    state.append_context(AGENT_NAME, [call, result])

    kept = stored(state, 100_000)

    assert len(kept.context) == len(state.context)


def test_then_the_oldest_turns_are_left_out_with_their_calls_and_results() -> None:
    kept = stored(conversation(turns=8, image=1000, words=20_000), 70_000)

    assert [message.role for message in kept.context][:1] == ["user"]
    assert 0 < len(kept.context) < 8
    assert not kept.get_unfinished_tool_calls(AGENT_NAME)


def test_permission_rules_are_not_stored() -> None:
    state = conversation(turns=1)
    state.permission_context.mode = PermissionMode.DONT_ASK

    assert read_state(whole_text(stored_state(state))).permission_context == PermissionContext()
