"""Hypothesis strategies for what the runtime can say.

Ids come from small pools, so that repeats, collisions between kinds, orphans
and late events happen all the time.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent

Run = list[InternalRuntimeEvent]

EARLIER_CALLS = ("earlier-1", "earlier-2")
"""Tool calls of the run before: they get results here, and are never started here."""

EARLIER_TOOL_CALLS = [
    {"id": call, "type": "function", "function": {"name": "pay", "arguments": "{}"}} for call in EARLIER_CALLS
]

ids = st.sampled_from(["a", "b", "c"])
texts = st.one_of(
    st.sampled_from(["", "Hel", "lo ", "\n\n", "é", "\U0001f600", "\x00", "\ud83d", "\r\n"]),
    st.text(max_size=5),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
token_counts = st.integers(0, 5000)

usages = st.builds(
    internal.ModelUsage,
    call_id=ids,
    stage=st.sampled_from(["intent", "execution", "report"]),
    provider=st.sampled_from(["here", "there"]),
    model=st.sampled_from(["small", "large"]),
    input_tokens=token_counts,
    output_tokens=token_counts,
    reasoning_tokens=token_counts,
    cached_input_tokens=token_counts,
    cache_write_tokens=token_counts,
    cost=st.none() | st.just(Decimal("0.01")),
    message_id=st.none() | ids,
)
interrupts = st.builds(
    internal.InterruptRequested,
    interrupt_id=ids,
    reason=st.just("tool_approval"),
    message=texts,
    tool_call_id=st.none() | ids,
    tool_name=st.just("pay"),
    arguments=st.just("{}"),
    response_schema=st.just({"type": "object"}),
    expires_at=st.just(datetime(2026, 11, 23, 8, 30, tzinfo=UTC)),
)
state_deltas = st.builds(
    internal.StateDelta,
    # Always fits, whatever the state: an ill-fitting patch is the runtime's fault, not the codec's.
    delta=st.lists(
        st.builds(lambda value: {"op": "add", "path": "/k", "value": value}, json_values), max_size=2
    ),
)
subagents = st.sampled_from(["s1", "s2"])
messages_snapshots = st.just(
    internal.MessagesSnapshot(
        messages=(
            {"id": "earlier-question", "role": "user", "content": "Pay twice."},
            {"id": "earlier-answer", "role": "assistant", "toolCalls": EARLIER_TOOL_CALLS},
        )
    )
)
run_starts = st.builds(
    internal.RunStarted, thread_id=st.just("t-1"), run_id=st.just("r-1"), parent_run_id=st.none() | ids
)
terminals: st.SearchStrategy[internal.RunFinished | internal.RunFailed] = st.one_of(
    st.builds(
        internal.RunFinished,
        outcome=st.sampled_from(["success", "interrupt", "cancelled"]),
        pending_tool_call_ids=st.lists(ids, max_size=2, unique=True).map(tuple),
    ),
    st.builds(internal.RunFailed, code=st.sampled_from(["worker-lost", "internal-error"]), message=texts),
)


def _step_events() -> st.SearchStrategy[InternalRuntimeEvent]:
    names = st.sampled_from(["intent", "execution"])
    return st.one_of(
        st.builds(internal.StepStarted, name=names), st.builds(internal.StepFinished, name=names)
    )


def _tool_events(fragments: st.SearchStrategy[str]) -> st.SearchStrategy[InternalRuntimeEvent]:
    return st.one_of(
        st.builds(
            internal.ToolCallStarted,
            tool_call_id=ids,
            name=st.sampled_from(["pay", "look_up"]),
            parent_message_id=st.none() | ids,
        ),
        st.builds(internal.ToolCallArguments, tool_call_id=ids, delta=fragments),
        st.builds(internal.ToolCallEnded, tool_call_id=ids),
        st.builds(
            internal.ToolResult,
            message_id=ids,
            tool_call_id=ids | st.sampled_from(EARLIER_CALLS),
            content=texts,
            state=st.sampled_from(["success", "error", "denied", "interrupted"]),
        ),
    )


def _text_events() -> st.SearchStrategy[InternalRuntimeEvent]:
    return st.one_of(
        st.builds(internal.TextStarted, message_id=ids),
        st.builds(internal.TextDelta, message_id=ids, delta=texts),
        st.builds(internal.TextEnded, message_id=ids, metadata=st.none() | json_objects),
        st.builds(internal.ReasoningStarted, message_id=ids),
        st.builds(internal.ReasoningDelta, message_id=ids, delta=texts),
        st.builds(internal.ReasoningEnded, message_id=ids),
        st.builds(
            internal.ReasoningEncrypted,
            subtype=st.sampled_from(["message", "tool-call"]),
            entity_id=ids,
            value=texts,
        ),
    )


def _other_events() -> st.SearchStrategy[InternalRuntimeEvent]:
    return st.one_of(
        run_starts,
        usages,
        interrupts,
        state_deltas,
        messages_snapshots,
        st.builds(internal.StateSnapshot, snapshot=json_objects),
        st.builds(internal.CustomEvent, name=texts, value=json_values),
        st.builds(
            internal.ToolProgress,
            tool_call_id=ids,
            message=texts,
            progress=st.none() | st.floats(),
            total=st.none() | st.integers(0, 100).map(float),
        ),
        st.builds(
            internal.ModelRetrying,
            attempt=st.integers(2, 11),
            delay_ms=st.integers(0, 20_000),
            code=st.just("model-unavailable"),
        ),
    )


def _subagent_events() -> st.SearchStrategy[InternalRuntimeEvent]:
    return st.one_of(
        st.builds(
            internal.SubagentStarted,
            name=st.just("researcher"),
            description=st.none() | texts,
            parent_tool_call_id=st.none() | ids,
        ),
        st.just(internal.SubagentFinished()),
        st.just(internal.SubagentFailed(code="model-timeout", message="Too slow.")),
    )


def _said_by(
    events: st.SearchStrategy[InternalRuntimeEvent], who: st.SearchStrategy[str | None]
) -> st.SearchStrategy[InternalRuntimeEvent]:
    def attribute(event: InternalRuntimeEvent, subagent: str | None) -> InternalRuntimeEvent:
        if isinstance(event, internal.AttributedEvent):
            return event.model_copy(update={"subagent_run_id": subagent})
        return event

    return st.builds(attribute, events, who)


_THEMES = [_text_events(), _tool_events(texts), _step_events(), _other_events()]


def _runs(themes: list[st.SearchStrategy[InternalRuntimeEvent]]) -> st.SearchStrategy[Run]:
    """Runs about all themes, and runs about one: those meet themselves more often."""
    anything = st.lists(st.one_of(*themes), max_size=30)
    return st.one_of(anything, *(st.lists(theme, max_size=15) for theme in themes))


own_runs = _runs(_THEMES)
"""What an agent without subagents can say, but the terminal events."""
runs = _runs(
    [
        st.one_of(
            _said_by(theme, st.none()),
            _said_by(theme, subagents),
            _said_by(_subagent_events(), st.none() | subagents),
        )
        for theme in _THEMES
    ]
)
"""Anything but the terminal events, whoever says it."""


@st.composite
def cut_json_objects(draw: st.DrawFn) -> list[str]:
    """Arguments of a tool call as a model streams them: a JSON object in pieces, perhaps cut off."""
    spacing = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    value = draw(st.dictionaries(texts, json_values, max_size=3))
    text = json.dumps(_finite(value), ensure_ascii=draw(st.booleans()), separators=spacing)
    cut = draw(st.integers(1, len(text)))
    places = sorted({0, cut, *draw(st.lists(st.integers(0, cut), max_size=4))})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def _finite(value: Any) -> Any:
    """Return the value without NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if value - value == 0 else 0.5
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
