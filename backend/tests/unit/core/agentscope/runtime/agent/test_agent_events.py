"""AgentScope's events, and what they mean to a client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from agentscope import event as agentscope
from agentscope.message import ToolCallBlock, ToolResultState
from agentscope.model import FinishedReason

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator, message_metadata
from core.agentscope.runtime.model.chat_opaque import OpaqueValue
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent

EXPIRY = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
USAGE = internal.ModelUsage(
    call_id="u-1",
    stage="execution",
    provider="here",
    model="small",
    input_tokens=10,
    output_tokens=4,
    cost=Decimal("0.001"),
    latency_ms=300,
    ttft_ms=40,
    finish_reason="stop",
)
METADATA = {
    "model": "small",
    "inputTokens": 10,
    "outputTokens": 4,
    "latencyMs": 300,
    "ttftMs": 40,
    "finishReason": "stop",
    "cost": "0.001",
    "currency": "USD",
}
R: dict[str, Any] = {"reply_id": "reply-1"}
MODEL_START = agentscope.ModelCallStartEvent(**R, model_name="small")


def model_end(reason: FinishedReason = FinishedReason.COMPLETED) -> agentscope.ModelCallEndEvent:
    return agentscope.ModelCallEndEvent(**R, input_tokens=1, output_tokens=1, finished_reason=reason)


def says(text: str) -> agentscope.TextBlockDeltaEvent:
    return agentscope.TextBlockDeltaEvent(**R, block_id="block-1", delta=text)


def calls(call_id: str) -> agentscope.ToolCallStartEvent:
    return agentscope.ToolCallStartEvent(**R, tool_call_id=call_id, tool_call_name="pay")


def passes(call_id: str, arguments: str) -> agentscope.ToolCallDeltaEvent:
    return agentscope.ToolCallDeltaEvent(**R, tool_call_id=call_id, delta=arguments)


def called(call_id: str) -> agentscope.ToolCallEndEvent:
    return agentscope.ToolCallEndEvent(**R, tool_call_id=call_id)


def results(call_id: str, *texts: str, state: ToolResultState = ToolResultState.SUCCESS) -> list[Any]:
    return [
        agentscope.ToolResultStartEvent(**R, tool_call_id=call_id, tool_call_name="pay"),
        *(agentscope.ToolResultTextDeltaEvent(**R, tool_call_id=call_id, delta=text) for text in texts),
        agentscope.ToolResultEndEvent(**R, tool_call_id=call_id, state=state),
    ]


def translator(max_result_bytes: int = 1000) -> AgentEventTranslator:
    return AgentEventTranslator(
        approval_schema=lambda name: SCHEMA | {"title": name},
        expires_at=lambda: EXPIRY,
        max_result_bytes=max_result_bytes,
    )


def translate(events: Iterable[Any], into: AgentEventTranslator | None = None) -> list[InternalRuntimeEvent]:
    """Translate events; a usage among them is recorded in its place, as the model does it."""
    target = into or translator()
    said: list[InternalRuntimeEvent] = []
    for event in events:
        if isinstance(event, internal.ModelUsage):
            target.record(event)
        else:
            said += target.translate(event)
    return said


def lines(said: Iterable[InternalRuntimeEvent]) -> list[str]:
    """Write events in short, with made-up ids numbered in the order they came."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        kind = match[1]
        seen = sum(1 for known in numbers if known.startswith(kind))
        return numbers.setdefault(match[0], f"{kind}{seen + 1}")

    return [re.sub(r"\b(msg|res|int)-[0-9a-f]{32}", number, _line(event)) for event in said]


def _line(event: InternalRuntimeEvent) -> str:
    match event:
        case internal.ModelUsage():
            return f"usage {event.call_id} {event.message_id or '-'}"
        case internal.TextEnded():
            return (
                f"text_ended {event.message_id}{' cut' if (event.metadata or {}).get('incomplete') else ''}"
            )
        case internal.ToolResult():
            return f"tool_result {event.message_id} {event.tool_call_id} {event.state} {event.content}"
        case internal.ToolCallStarted():
            return f"tool_call_started {event.tool_call_id} {event.name} in {event.parent_message_id}"
        case _:
            values = event.model_dump(exclude={"kind", "subagent_run_id"}).values()
            return " ".join([event.kind, *(str(value) for value in values)])


TABLE: dict[str, tuple[list[Any], list[str]]] = {
    "a text": (
        [MODEL_START, says("Hel"), says("lo"), USAGE, model_end()],
        [
            "text_started msg1",
            "text_delta msg1 Hel",
            "text_delta msg1 lo",
            "usage u-1 msg1",
            "text_ended msg1",
        ],
    ),
    "several blocks of one model call are one message": (
        [
            MODEL_START,
            agentscope.TextBlockStartEvent(**R, block_id="block-1"),
            says("a"),
            agentscope.TextBlockEndEvent(**R, block_id="block-1"),
            agentscope.TextBlockDeltaEvent(**R, block_id="block-2", delta="b"),
            model_end(),
        ],
        ["text_started msg1", "text_delta msg1 a", "text_delta msg1 b", "text_ended msg1"],
    ),
    "each model call is a message of its own": (
        [MODEL_START, says("a"), model_end(), MODEL_START, says("b"), model_end()],
        [
            "text_started msg1",
            "text_delta msg1 a",
            "text_ended msg1",
            "text_started msg2",
            "text_delta msg2 b",
            "text_ended msg2",
        ],
    ),
    "a model call that says nothing": ([MODEL_START, model_end()], []),
    "reasoning": (
        [
            MODEL_START,
            agentscope.ThinkingBlockStartEvent(**R, block_id="block-1"),
            agentscope.ThinkingBlockDeltaEvent(**R, block_id="block-1", delta="Hm"),
            agentscope.ThinkingBlockEndEvent(**R, block_id="block-1"),
            model_end(),
        ],
        ["reasoning_started rsn-block-1", "reasoning_delta rsn-block-1 Hm", "reasoning_ended rsn-block-1"],
    ),
    "reasoning that says nothing is not shown": (
        [
            MODEL_START,
            agentscope.ThinkingBlockStartEvent(**R, block_id="block-1"),
            agentscope.ThinkingBlockDeltaEvent(**R, block_id="block-1", delta=""),
            agentscope.ThinkingBlockEndEvent(**R, block_id="block-1"),
            model_end(),
        ],
        [],
    ),
    "a tool call makes its message, and ends with the model call": (
        [
            MODEL_START,
            calls("c1"),
            passes("c1", '{"a":1}'),
            called("c1"),
            USAGE,
            model_end(),
            *results("c1", "o", "k"),
        ],
        [
            "text_started msg1",
            "tool_call_started c1 pay in msg1",
            'tool_call_arguments c1 {"a":1}',
            "usage u-1 msg1",
            "tool_call_ended c1",
            "text_ended msg1",
            "tool_result res1 c1 success ok",
        ],
    ),
    "parallel calls whose pieces interleave start and end once": (
        [
            MODEL_START,
            calls("c1"),
            passes("c1", "[1"),
            called("c1"),
            calls("c2"),
            passes("c2", "[2"),
            called("c2"),
            calls("c1"),
            passes("c1", "]"),
            called("c1"),
            calls("c2"),
            passes("c2", "]"),
            called("c2"),
            model_end(),
            *results("c2", "two"),
            *results("c1", "one"),
        ],
        [
            "text_started msg1",
            "tool_call_started c1 pay in msg1",
            "tool_call_arguments c1 [1",
            "tool_call_started c2 pay in msg1",
            "tool_call_arguments c2 [2",
            "tool_call_arguments c1 ]",
            "tool_call_arguments c2 ]",
            "tool_call_ended c1",
            "tool_call_ended c2",
            "text_ended msg1",
            "tool_result res1 c2 success two",
            "tool_result res2 c1 success one",
        ],
    ),
    "results of parallel calls whose pieces interleave": (
        [
            agentscope.ToolResultTextDeltaEvent(**R, tool_call_id="c1", delta="o"),
            agentscope.ToolResultTextDeltaEvent(**R, tool_call_id="c2", delta="tw"),
            agentscope.ToolResultTextDeltaEvent(**R, tool_call_id="c1", delta="ne"),
            agentscope.ToolResultTextDeltaEvent(**R, tool_call_id="c2", delta="o"),
            *results("c2")[1:],
            *results("c1")[1:],
        ],
        ["tool_result res1 c2 success two", "tool_result res2 c1 success one"],
    ),
    "a result without text": (results("c1"), ["tool_result res1 c1 success "]),
    "a denied call": (results("c1", "no", state=ToolResultState.DENIED), ["tool_result res1 c1 denied no"]),
    "an interrupted call": (
        results("c1", "stop", state=ToolResultState.INTERRUPTED),
        ["tool_result res1 c1 interrupted stop"],
    ),
    "a failed call": (results("c1", "bad", state=ToolResultState.ERROR), ["tool_result res1 c1 error bad"]),
    "a model call that was interrupted says that it was cut": (
        [MODEL_START, says("Hel"), model_end(FinishedReason.INTERRUPTED)],
        ["text_started msg1", "text_delta msg1 Hel", "text_ended msg1 cut"],
    ),
    "a model call without an end is closed by the next one": (
        [MODEL_START, says("a"), calls("c1"), USAGE, MODEL_START, says("b"), model_end()],
        [
            "text_started msg1",
            "text_delta msg1 a",
            "tool_call_started c1 pay in msg1",
            "usage u-1 msg1",
            "tool_call_ended c1",
            "text_ended msg1 cut",
            "text_started msg2",
            "text_delta msg2 b",
            "text_ended msg2",
        ],
    ),
    "the usage of every try belongs to the message": (
        [MODEL_START, USAGE, USAGE.model_copy(update={"call_id": "u-2"}), says("a"), model_end()],
        ["text_started msg1", "text_delta msg1 a", "usage u-1 msg1", "usage u-2 msg1", "text_ended msg1"],
    ),
    "a compaction between two messages belongs to neither": (
        [MODEL_START, says("a"), model_end(), USAGE, MODEL_START, says("b"), model_end()],
        [
            "text_started msg1",
            "text_delta msg1 a",
            "text_ended msg1",
            "usage u-1 -",
            "text_started msg2",
            "text_delta msg2 b",
            "text_ended msg2",
        ],
    ),
    "what means nothing to a client": (
        [
            agentscope.ReplyStartEvent(**R, session_id="t", name="assistant"),
            agentscope.HintBlockEvent(**R, block_id="h", hint="now"),
            agentscope.RequireExternalExecutionEvent(**R, tool_calls=[]),
            agentscope.ReplyEndEvent(**R, session_id="t"),
        ],
        [],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_the_agent_does_means_these_events(case: str) -> None:
    events, expected = TABLE[case]

    assert lines(translate(events)) == expected


@pytest.mark.parametrize("case", TABLE)
def test_the_codec_drops_nothing_of_it(case: str) -> None:
    said = translate(TABLE[case][0])
    state = RunWireState("t-1", "r-1")
    silent = [
        event.kind
        for event in said
        if not to_agui_wire(event, state, timestamp_ms=1) and event.kind != "usage"
    ]

    assert silent == []


def test_a_message_says_what_its_calls_used() -> None:
    said = translate([MODEL_START, says("a"), USAGE, model_end()])

    assert isinstance(said[-1], internal.TextEnded)
    assert said[-1].metadata == METADATA


def test_a_compaction_is_not_in_the_next_message_s_metadata() -> None:
    said = translate([USAGE, MODEL_START, says("a"), model_end()])

    assert isinstance(said[-1], internal.TextEnded)
    assert not said[-1].metadata


def test_what_was_open_is_closed_after_a_failure_and_marked_as_cut() -> None:
    target = translator()
    translate([MODEL_START, says("Hel"), calls("c1"), USAGE], target)
    end = target.end_model_call(cut=True)

    assert [event.kind for event in end] == ["usage", "tool_call_ended", "text_ended"]
    assert isinstance(end[-1], internal.TextEnded)
    assert end[-1].metadata == METADATA | {"incomplete": True}
    assert target.end_model_call(cut=True) == []


def test_text_outside_of_a_model_call_gets_a_message_with_an_id() -> None:
    target = translator()
    said = [*target.translate(says("Sorry.")), *target.end_model_call(cut=False)]

    assert lines(said) == ["text_started msg1", "text_delta msg1 Sorry.", "text_ended msg1"]


def test_each_result_has_an_id_of_its_own() -> None:
    said = translate([*results("c1"), *results("c1")])

    assert len({event.message_id for event in said if isinstance(event, internal.ToolResult)}) == 2


def test_a_long_result_is_cut_for_the_event() -> None:
    (said,) = translate(results("c1", "x" * 900, "y" * 900), translator(max_result_bytes=1000))

    assert isinstance(said, internal.ToolResult)
    assert len(said.content.encode()) <= 1000
    assert said.content.startswith("xxx")
    assert said.content.endswith("of 1800 bytes]")


def test_a_state_that_is_stored_as_text_is_read_too() -> None:
    event = agentscope.ToolResultEndEvent.model_validate(
        results("c1", state=ToolResultState.DENIED)[-1].model_dump(mode="json")
    )
    (said,) = translate([event])

    assert isinstance(said, internal.ToolResult)
    assert said.state == "denied"


def test_a_required_confirmation_is_an_interrupt_for_each_call() -> None:
    blocks = [
        ToolCallBlock(id="c1", name="pay", input='{"euros":5}'),
        ToolCallBlock(id="c2", name="order", input="{}"),
    ]
    said = translate([agentscope.RequireUserConfirmEvent(**R, tool_calls=blocks)])

    assert [event.model_dump(exclude={"interrupt_id", "kind"}) for event in said] == [
        {
            "reason": "tool_approval",
            "message": f"Allow the tool {block.name}?",
            "tool_call_id": block.id,
            "tool_name": block.name,
            "arguments": block.input,
            "response_schema": SCHEMA | {"title": block.name},
            "expires_at": EXPIRY,
            "metadata": None,
        }
        for block in blocks
    ]
    assert len({event.interrupt_id for event in said if isinstance(event, internal.InterruptRequested)}) == 2


@pytest.mark.parametrize(
    ("events", "wrote"),
    [
        ([MODEL_START, says("Hi"), model_end()], True),
        ([MODEL_START, says(" \n"), model_end()], False),
        ([MODEL_START, calls("c1"), model_end()], False),
        ([MODEL_START, says("I will pay."), calls("c1"), model_end(), MODEL_START, model_end()], False),
        ([], False),
    ],
)
def test_it_is_known_whether_the_newest_call_wrote_an_answer(events: list[Any], wrote: bool) -> None:
    target = translator()
    translate(events, target)

    assert target.wrote_text is wrote


def test_it_is_known_whether_the_agent_ran_out_of_steps() -> None:
    target = translator()
    with pytest.warns(DeprecationWarning, match="ExceedMaxItersEvent"):
        event = agentscope.ExceedMaxItersEvent(**R, name="assistant")
    assert (translate([event], target), target.exceeded_iterations) == ([], True)


# --- metadata ----------------------------------------------------------------------------------


def test_metadata_of_no_call_is_empty() -> None:
    assert message_metadata([]) == {}


def test_metadata_of_several_calls_is_their_sum_and_the_last_one_s_name() -> None:
    other = USAGE.model_copy(
        update={"model": "large", "cost": Decimal("0.0001"), "ttft_ms": None, "finish_reason": None}
    )

    assert message_metadata([USAGE, other]) == {
        "model": "large",
        "inputTokens": 20,
        "outputTokens": 8,
        "latencyMs": 600,
        "cost": "0.0011",
        "currency": "USD",
    }


def test_one_unknown_cost_makes_the_message_s_cost_unknown() -> None:
    assert "cost" not in message_metadata([USAGE, USAGE.model_copy(update={"cost": None})])


def test_metadata_tells_cached_and_reasoning_tokens_where_there_are_any() -> None:
    thought = USAGE.model_copy(update={"cached_input_tokens": 6, "reasoning_tokens": 3})

    told = message_metadata([thought, thought, USAGE])
    assert (told["cachedInputTokens"], told["reasoningTokens"]) == (12, 6)
    assert message_metadata([USAGE]).keys().isdisjoint({"cachedInputTokens", "reasoningTokens"})


def test_a_cost_is_written_out_exactly() -> None:
    tiny = USAGE.model_copy(update={"cost": Decimal("1E-9")})

    assert message_metadata([tiny])["cost"] == "0.000000001"


# --- what the provider wants back --------------------------------------------------------------------


def encrypted(events: Iterable[InternalRuntimeEvent]) -> list[tuple[str, str, str]]:
    return [
        (event.subtype, event.entity_id, event.value)
        for event in events
        if isinstance(event, internal.ReasoningEncrypted)
    ]


def thinks(block_id: str, text: str) -> list[Any]:
    return [
        agentscope.ThinkingBlockStartEvent(**R, block_id=block_id),
        agentscope.ThinkingBlockDeltaEvent(**R, block_id=block_id, delta=text),
        agentscope.ThinkingBlockEndEvent(**R, block_id=block_id),
    ]


KEPT = OpaqueValue("here/small", {"reasoning_details": [{"data": "x"}]}, {"c1": {"extra_content": {"g": 1}}})


def test_it_is_shown_with_the_reasoning_and_the_call_it_came_with() -> None:
    target = translator()
    translate([MODEL_START, *thinks("b1", "Hm"), *thinks("b2", "Aha"), calls("c1")], target)
    target.keep(KEPT)
    events = translate([model_end()], target)

    assert encrypted(events) == [
        ("message", "rsn-b2", '{"reasoning_details":[{"data":"x"}]}'),
        ("tool-call", "c1", '{"extra_content":{"g":1}}'),
    ]
    # The end of a call is durable, and what belongs to it comes before.
    assert [event.kind for event in events].index("tool_call_ended") == 2


def test_without_reasoning_it_is_shown_with_the_answer() -> None:
    target = translator()
    (opened, _) = translate([MODEL_START, says("Hello")], target)
    target.keep(OpaqueValue("here/small", {"reasoning_details": [{"data": "x"}]}, {}))

    assert isinstance(opened, internal.TextStarted)
    assert encrypted(translate([model_end()], target)) == [
        ("message", opened.message_id, '{"reasoning_details":[{"data":"x"}]}')
    ]


def test_it_is_not_shown_again_with_the_next_call() -> None:
    target = translator()
    translate([MODEL_START, *thinks("b1", "Hm"), says("one")], target)
    target.keep(KEPT)
    translate([model_end()], target)

    assert encrypted(translate([MODEL_START, says("two"), model_end()], target)) == []
