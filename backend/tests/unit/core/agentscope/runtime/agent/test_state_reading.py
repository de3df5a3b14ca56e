"""A state is read as AgentScope's own classes would read it."""

from __future__ import annotations

import gc
from typing import Any, get_args

import pytest
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    HintBlock,
    Msg,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolResultBlock,
    ToolResultState,
    URLSource,
    UserMsg,
)
from agentscope.state import AgentState
from pydantic import AnyUrl, ValidationError

from core.agentscope.runtime.agent.state_reading import read_state

_IMAGE = DataBlock(source=Base64Source(data="AAAA", media_type="image/png"), name="a.png")
_BLOCKS: list[Any] = [
    TextBlock(text="words \u00e9"),
    ThinkingBlock.model_validate({"thinking": "hm", "agentroute_opaque": {"origin": "x", "big": 2**80}}),
    HintBlock(hint=[TextBlock(text="note"), _IMAGE], source="system"),
    ToolCallBlock(id="c-1", name="see", input='{"a": 1}'),
    ToolResultBlock(
        id="c-1", name="see", output=[TextBlock(text="seen"), _IMAGE], state=ToolResultState.ERROR
    ),
    DataBlock(source=URLSource(url=AnyUrl("https://example.com/a.png"), media_type="image/png")),
]


def test_every_block_is_read_as_agentscope_reads_it() -> None:
    assert {type(block) for block in _BLOCKS} == set(
        get_args(get_args(Msg.model_fields["content"].annotation)[0])
    ), "a block that AgentScope has and this test lacks"
    state = AgentState(session_id="t", summary="earlier", middle_context={"m": [1, None]})
    state.context = [
        UserMsg(name="user", content=[_BLOCKS[0], _BLOCKS[5]]),
        AssistantMsg("assistant", _BLOCKS),
    ]
    text = state.model_dump_json()

    read = read_state(text)

    assert read == AgentState.model_validate_json(text)
    assert read.model_dump_json() == text
    assert (type(read), {type(message) for message in read.context}) == (AgentState, {Msg})
    assert gc.isenabled()


def test_a_state_of_a_version_before_is_moved_over_by_agentscope() -> None:
    read = read_state('{"session_id": "t", "reply_id": "r-1", "cur_iter": 3, "context": []}')

    assert (read.reply_id, read.cur_iter) == ("r-1", 3)


@pytest.mark.parametrize(
    "context", ['[{"name": "a"}]', '[{"name":"a","role":"user","content":[{"type":"song"}]}]']
)
def test_what_is_no_state_is_refused(context: str) -> None:
    with pytest.raises(ValidationError):
        read_state(f'{{"session_id": "t", "context": {context}}}')
    assert gc.isenabled()
