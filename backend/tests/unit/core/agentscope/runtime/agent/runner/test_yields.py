"""Whatever a runner yields, in whatever order: a stock client takes the stream, and the conversation stays legal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from agentscope import event as agentscope
from agentscope.message import AssistantMsg, TextBlock, ToolCallBlock, UserMsg
from agentscope.model import ChatResponse
from agentscope.state import AgentState
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.agui_verifier import nulls, verify

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.conversation import Conversation, hide_names
from core.agentscope.runtime.agent.runner.own_voice import YieldRefused
from core.agentscope.runtime.agent.runner.yields import RunnerTranslator
from core.agentscope.runtime.agent.stored_state import stored_state
from core.agentscope.runtime.agent.toolkit import answer_schema
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USAGE = internal.ModelUsage(call_id="c", stage="execution", provider="p", model="m")
ON_STATE = "reply-on-state"

ids = st.sampled_from(["a", "b", "c"])
replies = st.sampled_from([ON_STATE, "reply-1", "reply-2"])
words = st.one_of(st.sampled_from(["", "a", " ", "\x00", "\ud83d"]), st.text(max_size=4))
values = st.one_of(
    st.none(), words, st.integers(), st.floats(), st.dictionaries(words, st.integers(), max_size=2)
)
own = st.one_of(
    words,
    st.builds(public.Text, words),
    st.builds(public.Reasoning, words),
    st.just(public.MessageEnd()),
    st.builds(
        public.ToolCall,
        st.sampled_from(["look", "pick", ""]),
        st.dictionaries(words, values, max_size=2),
        ids,
    ),
    st.builds(public.ToolResult, ids, values, st.sampled_from(["success", "error", "denied", "interrupted"])),
    st.builds(public.ToolProgress, ids, words),
    st.builds(public.Interrupt, ids, words),
    st.builds(public.Custom, words, values),
    st.builds(public.Step, words),
    st.builds(lambda text, last: ChatResponse([TextBlock(text=text)], is_last=last), words, st.booleans()),
    st.builds(lambda text, at: AssistantMsg("x", text, id=at), words, replies),
)
of_agents = st.one_of(
    st.builds(agentscope.ReplyStartEvent, session_id=st.just("t"), reply_id=replies, name=ids),
    st.builds(agentscope.ReplyEndEvent, session_id=st.just("t"), reply_id=replies),
    st.builds(agentscope.ModelCallStartEvent, reply_id=replies, model_name=ids),
    st.builds(
        agentscope.ModelCallEndEvent, reply_id=replies, input_tokens=st.just(1), output_tokens=st.just(1)
    ),
    st.builds(agentscope.TextBlockStartEvent, reply_id=replies, block_id=ids),
    st.builds(agentscope.TextBlockDeltaEvent, reply_id=replies, block_id=ids, delta=words),
    st.builds(agentscope.ThinkingBlockDeltaEvent, reply_id=replies, block_id=ids, delta=words),
    st.builds(
        agentscope.ToolCallStartEvent, reply_id=replies, tool_call_id=ids, tool_call_name=st.just("look")
    ),
    st.builds(agentscope.ToolCallDeltaEvent, reply_id=replies, tool_call_id=ids, delta=st.just("{}")),
    st.builds(
        agentscope.ToolResultStartEvent, reply_id=replies, tool_call_id=ids, tool_call_name=st.just("look")
    ),
    st.builds(agentscope.ToolResultTextDeltaEvent, reply_id=replies, tool_call_id=ids, delta=words),
    st.builds(agentscope.ToolResultEndEvent, reply_id=replies, tool_call_id=ids, state=st.just("success")),
    st.builds(
        lambda reply, call: agentscope.RequireUserConfirmEvent(
            reply_id=reply, tool_calls=[ToolCallBlock(id=call, name="look", input="{}")]
        ),
        replies,
        ids,
    ),
    st.just(agentscope.CustomEvent(name="mine", value={})),
)
nonsense = st.sampled_from([7, None, b"x", object])


@given(yields=st.lists(st.one_of(own, own, of_agents, of_agents, nonsense), max_size=25), cut=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_client_takes_whatever_a_runner_yields(yields: list[Any], cut: bool) -> None:
    state = AgentState(session_id="t", context=[UserMsg("user", "hi", id="m1")])
    state.reply_id = ON_STATE
    conversation = Conversation(state, ["m1"])
    made = RunnerTranslator(
        lambda: AgentEventTranslator(
            approval_schema=lambda _name: answer_schema(), expires_at=lambda: NOW, max_result_bytes=1000
        ),
        conversation,
        client_tools=["pick"],
        expires_at=lambda: NOW,
        max_bytes=1000,
    )
    recorded = 0
    events: list[InternalRuntimeEvent] = [internal.RunStarted(thread_id="t", run_id="r")]
    for each in yields:
        try:
            events += made.translate(each)
        except YieldRefused:
            cut = True
            break
        if each == "a":
            made.record(USAGE)
            recorded += 1
        stored_state(conversation.whole())
    events += made.end(cut=cut)
    hide_names(state)

    asks = any(isinstance(event, internal.InterruptRequested) for event in events)
    events.append(internal.RunFinished(outcome="cancelled" if cut else "interrupt" if asks else "success"))
    wire_state = RunWireState("t", "r")
    wire = [
        orjson.loads(orjson.dumps(item.body))
        for event in events
        for item in to_agui_wire(event, wire_state, timestamp_ms=1)
    ]
    verify(wire)
    assert not [path for event in wire for path in nulls(event)]
    assert sum(isinstance(event, internal.ModelUsage) for event in events) == recorded
    _check_conversation(state, cut=cut)


def _check_conversation(state: AgentState, *, cut: bool) -> None:
    """Each call has one result in its message; one without waits for the client, in the last message."""
    stored_state(state)
    for place, message in enumerate(state.context):
        calls = [block.id for block in message.get_content_blocks("tool_call")]
        results = [block.id for block in message.get_content_blocks("tool_result")]
        assert len(set(calls)) == len(calls)
        assert set(results) <= set(calls)
        assert len(set(results)) == len(results)
        open_calls = set(calls) - set(results)
        if open_calls:
            assert not cut
            assert place == len(state.context) - 1
            assert message.id == state.reply_id
