"""``InternalRuntimeEvent`` → AG-UI 1.0 events: the only place where the two vocabularies meet.

Rules, in the order in which a reader sees their effects:

* ``RUN_STARTED`` is the first event. Exactly one terminal event is the last; nothing is written after it.
* All open items are closed before the terminal event, innermost first: text, reasoning, tool calls, steps.
* An event for an item that is not open opens the item first. An event for an item that has ended is dropped, so ids are
  used once. An empty delta is dropped.
* Events of a subagent carry its id, and items that a subagent opened are closed with its id.
* Optional members are absent, never null; ``type`` is the first member.

No I/O and no clock: the same events, state and times give the same bytes.

Source: AG-UI 1.0, the ``verifyEvents`` rules of ``@ag-ui/client`` 1.0.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.agentscope.events.attribution import attribute
from core.agentscope.events.interrupt_body import interrupt_body
from core.agentscope.events.json_completion import completion
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.text import clean_json, clean_text

PROTOCOL_VERSION = "1.0"


def to_agui_wire(
    event: InternalRuntimeEvent, state: RunWireState, *, timestamp_ms: int
) -> list[AgUiWireEvent]:
    """Return the AG-UI events for ``event``, in order; often one, sometimes none.

    Args:
        event: The event of the runtime.
        state: The open items of the run's stream; updated in place.
        timestamp_ms: Unix time in milliseconds, put on every event.
    """
    if state.ended:
        return []
    bodies: list[dict[str, Any]] = []
    if not state.started and event.kind != "run_started":
        bodies += _run_started(internal.RunStarted(thread_id=state.thread_id, run_id=state.run_id), state)
    bodies += _TABLE[event.kind](event, state)
    subagent = event.subagent_run_id if isinstance(event, internal.AttributedEvent) else None
    for body in bodies:
        attribute(body, subagent, state)
        if parent := body.get("parentMessageId"):
            state.parents.add(parent)
        body["timestamp"] = timestamp_ms
    return [AgUiWireEvent(body["type"], body) for body in bodies]


# --- run and steps ---------------------------------------------------------------


def _run_started(event: internal.RunStarted, state: RunWireState) -> list[dict[str, Any]]:
    if state.started:
        return []
    state.started = True
    body = {
        "type": "RUN_STARTED",
        "threadId": state.thread_id,
        "runId": state.run_id,
        "protocolVersion": PROTOCOL_VERSION,
    }
    if event.parent_run_id:
        body["parentRunId"] = event.parent_run_id
    return [body]


def _run_finished(event: internal.RunFinished, state: RunWireState) -> list[dict[str, Any]]:
    bodies = _close_all(state, incomplete=event.outcome == "cancelled")
    state.ended = True
    outcome: dict[str, Any] = {"type": event.outcome}
    if event.outcome == "interrupt":
        if state.interrupts:
            outcome["interrupts"] = [_interrupt(interrupt) for interrupt in state.interrupts]
        else:
            outcome = {"type": "success"}
    elif event.outcome == "success" and event.pending_tool_call_ids:
        outcome["pendingToolCallIds"] = list(event.pending_tool_call_ids)
    body = {
        "type": "RUN_FINISHED",
        "threadId": state.thread_id,
        "runId": state.run_id,
        "outcome": outcome,
    }
    return [*bodies, _with_usage(body, state)]


def _run_failed(event: internal.RunFailed, state: RunWireState) -> list[dict[str, Any]]:
    bodies = _close_all(state, incomplete=True)
    state.ended = True
    body = {"type": "RUN_ERROR", "message": clean_text(event.message), "code": event.code}
    return [*bodies, _with_usage(body, state)]


def _step_started(event: internal.StepStarted, state: RunWireState) -> list[dict[str, Any]]:
    if event.name in state.steps:
        return []
    state.steps.append(event.name)
    return [{"type": "STEP_STARTED", "stepName": event.name}]


def _step_finished(event: internal.StepFinished, state: RunWireState) -> list[dict[str, Any]]:
    if event.name not in state.steps:
        return []
    state.steps.remove(event.name)
    return [{"type": "STEP_FINISHED", "stepName": event.name}]


# --- text and reasoning ----------------------------------------------------------


def _text_started(event: internal.TextStarted, state: RunWireState) -> list[dict[str, Any]]:
    if event.message_id in state.used_ids:
        return []
    state.used_ids.add(event.message_id)
    state.texts.append(event.message_id)
    return [{"type": "TEXT_MESSAGE_START", "messageId": event.message_id, "role": "assistant"}]


def _text_delta(event: internal.TextDelta, state: RunWireState) -> list[dict[str, Any]]:
    if not event.delta:
        return []
    content = {
        "type": "TEXT_MESSAGE_CONTENT",
        "messageId": event.message_id,
        "delta": clean_text(event.delta),
    }
    if event.message_id in state.texts:
        return [content]
    opening = _text_started(internal.TextStarted(message_id=event.message_id), state)
    return [*opening, content] if opening else []


def _text_ended(event: internal.TextEnded, state: RunWireState) -> list[dict[str, Any]]:
    if event.message_id not in state.texts:
        return []
    state.texts.remove(event.message_id)
    body: dict[str, Any] = {"type": "TEXT_MESSAGE_END", "messageId": event.message_id}
    if event.metadata:
        body["metadata"] = clean_json(event.metadata)
    return [body]


def _reasoning_started(event: internal.ReasoningStarted, state: RunWireState) -> list[dict[str, Any]]:
    if event.message_id in state.used_ids:
        return []
    state.used_ids.add(event.message_id)
    state.reasonings.append(event.message_id)
    # Span and message may share an id: the client tracks them apart.
    return [
        {"type": "REASONING_START", "messageId": event.message_id},
        {"type": "REASONING_MESSAGE_START", "messageId": event.message_id, "role": "reasoning"},
    ]


def _reasoning_delta(event: internal.ReasoningDelta, state: RunWireState) -> list[dict[str, Any]]:
    if not event.delta:
        return []
    content = {
        "type": "REASONING_MESSAGE_CONTENT",
        "messageId": event.message_id,
        "delta": clean_text(event.delta),
    }
    if event.message_id in state.reasonings:
        return [content]
    opening = _reasoning_started(internal.ReasoningStarted(message_id=event.message_id), state)
    return [*opening, content] if opening else []


def _reasoning_ended(event: internal.ReasoningEnded, state: RunWireState) -> list[dict[str, Any]]:
    if event.message_id not in state.reasonings:
        return []
    state.reasonings.remove(event.message_id)
    return [
        {"type": "REASONING_MESSAGE_END", "messageId": event.message_id},
        {"type": "REASONING_END", "messageId": event.message_id},
    ]


def _reasoning_encrypted(event: internal.ReasoningEncrypted, state: RunWireState) -> list[dict[str, Any]]:
    if event.entity_id not in state.used_ids:
        # A client looks up the item of this event, and would not find it.
        return []
    return [
        {
            "type": "REASONING_ENCRYPTED_VALUE",
            "subtype": event.subtype,
            "entityId": event.entity_id,
            "encryptedValue": clean_text(event.value),
        }
    ]


# --- tools -----------------------------------------------------------------------


def _tool_call_started(event: internal.ToolCallStarted, state: RunWireState) -> list[dict[str, Any]]:
    if event.tool_call_id in state.used_ids:
        return []
    state.used_ids.add(event.tool_call_id)
    state.tool_calls[event.tool_call_id] = []
    body = {
        "type": "TOOL_CALL_START",
        "toolCallId": event.tool_call_id,
        "toolCallName": clean_text(event.name),
    }
    if event.parent_message_id:
        body["parentMessageId"] = event.parent_message_id
    return [body]


def _tool_call_arguments(event: internal.ToolCallArguments, state: RunWireState) -> list[dict[str, Any]]:
    arguments = state.tool_calls.get(event.tool_call_id)
    if arguments is None or not event.delta:
        return []
    delta = clean_text(event.delta)
    arguments.append(delta)
    return [{"type": "TOOL_CALL_ARGS", "toolCallId": event.tool_call_id, "delta": delta}]


def _tool_call_ended(event: internal.ToolCallEnded, state: RunWireState) -> list[dict[str, Any]]:
    arguments = state.tool_calls.pop(event.tool_call_id, None)
    if arguments is None:
        return []
    bodies: list[dict[str, Any]] = []
    if arguments and (missing := completion("".join(arguments))):
        bodies.append({"type": "TOOL_CALL_ARGS", "toolCallId": event.tool_call_id, "delta": missing})
    return [*bodies, {"type": "TOOL_CALL_END", "toolCallId": event.tool_call_id}]


def _tool_result(event: internal.ToolResult, state: RunWireState) -> list[dict[str, Any]]:
    if event.tool_call_id in state.answered or event.message_id in state.used_ids | state.parents:
        return []
    state.answered.add(event.tool_call_id)
    state.used_ids.add(event.message_id)
    bodies = _tool_call_ended(internal.ToolCallEnded(tool_call_id=event.tool_call_id), state)
    body: dict[str, Any] = {
        "type": "TOOL_CALL_RESULT",
        "messageId": event.message_id,
        "toolCallId": event.tool_call_id,
        "content": clean_text(event.content),
        "role": "tool",
    }
    if event.state != "success":
        body["metadata"] = {"state": event.state}
    return [*bodies, body]


def _interrupt_requested(event: internal.InterruptRequested, state: RunWireState) -> list[dict[str, Any]]:
    # With two requests, a client would have to answer an interrupt twice that can be answered once.
    if all(known.interrupt_id != event.interrupt_id for known in state.interrupts):
        state.interrupts.append(event)
    return []


def _interrupt(event: internal.InterruptRequested) -> dict[str, Any]:
    return interrupt_body(
        interrupt_id=event.interrupt_id,
        reason=event.reason,
        message=clean_text(event.message),
        tool_call_id=event.tool_call_id,
        response_schema=event.response_schema,
        expires_at=event.expires_at,
        metadata=event.metadata,
    )


# --- subagents -------------------------------------------------------------------


def _subagent_started(event: internal.SubagentStarted, state: RunWireState) -> list[dict[str, Any]]:
    subagent = event.subagent_run_id
    if subagent is None or subagent in state.used_ids:
        return []
    state.used_ids.add(subagent)
    state.subagents.append(subagent)
    body = {"type": "SUBAGENT_STARTED", "subagentRunId": subagent, "name": clean_text(event.name)}
    if event.description:
        body["description"] = clean_text(event.description)
    if event.parent_tool_call_id:
        body["parentToolCallId"] = event.parent_tool_call_id
    return [body]


def _subagent_finished(event: internal.SubagentFinished, state: RunWireState) -> list[dict[str, Any]]:
    subagent = event.subagent_run_id
    if subagent is None or subagent not in state.subagents:
        return []
    bodies = _close_items(state, incomplete=False, owner=subagent)
    state.subagents.remove(subagent)
    return [
        *bodies,
        {"type": "SUBAGENT_FINISHED", "subagentRunId": subagent, "outcome": {"type": "success"}},
    ]


def _subagent_failed(event: internal.SubagentFailed, state: RunWireState) -> list[dict[str, Any]]:
    subagent = event.subagent_run_id
    if subagent is None or subagent not in state.subagents:
        return []
    bodies = _close_items(state, incomplete=True, owner=subagent)
    state.subagents.remove(subagent)
    return [
        *bodies,
        {
            "type": "SUBAGENT_ERROR",
            "subagentRunId": subagent,
            "message": clean_text(event.message),
            "code": event.code,
        },
    ]


# --- the rest --------------------------------------------------------------------


def _state_snapshot(event: internal.StateSnapshot, _state: RunWireState) -> list[dict[str, Any]]:
    return [{"type": "STATE_SNAPSHOT", "snapshot": clean_json(event.snapshot)}]


def _state_delta(event: internal.StateDelta, _state: RunWireState) -> list[dict[str, Any]]:
    return [{"type": "STATE_DELTA", "delta": clean_json(event.delta)}] if event.delta else []


def _messages_snapshot(event: internal.MessagesSnapshot, _state: RunWireState) -> list[dict[str, Any]]:
    return [{"type": "MESSAGES_SNAPSHOT", "messages": list(event.messages)}]


def _custom(event: internal.CustomEvent, _state: RunWireState) -> list[dict[str, Any]]:
    return [{"type": "CUSTOM", "name": clean_text(event.name), "value": clean_json(event.value)}]


def _model_retrying(event: internal.ModelRetrying, _state: RunWireState) -> list[dict[str, Any]]:
    value = {"attempt": event.attempt, "delayMs": event.delay_ms, "code": event.code}
    return [{"type": "CUSTOM", "name": "agentroute.retrying", "value": value}]


def _tool_progress(event: internal.ToolProgress, state: RunWireState) -> list[dict[str, Any]]:
    if event.tool_call_id in state.answered:
        return []
    value: dict[str, Any] = {"toolCallId": event.tool_call_id}
    if event.message:
        value["message"] = clean_text(event.message)
    for name, number in (("progress", event.progress), ("total", event.total)):
        if number is not None:
            value[name] = number
    return [{"type": "CUSTOM", "name": "agentroute.tool-progress", "value": clean_json(value)}]


def _usage(event: internal.ModelUsage, state: RunWireState) -> list[dict[str, Any]]:
    total = state.usage.setdefault(
        (event.provider, event.model),
        {
            "provider": event.provider,
            "model": event.model,
            "inputTokens": 0,
            "outputTokens": 0,
            "totalTokens": 0,
        },
    )
    total["inputTokens"] += event.input_tokens
    total["outputTokens"] += event.output_tokens
    total["totalTokens"] += event.input_tokens + event.output_tokens
    for name, count in (
        ("reasoningTokens", event.reasoning_tokens),
        ("cachedInputTokens", event.cached_input_tokens),
        ("cacheWriteInputTokens", event.cache_write_tokens),
    ):
        if count:
            total[name] = total.get(name, 0) + count
    return []


def _with_usage(body: dict[str, Any], state: RunWireState) -> dict[str, Any]:
    if state.usage:
        body["usage"] = list(state.usage.values())
    return body


def _close_all(state: RunWireState, *, incomplete: bool) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []
    for subagent in reversed(list(state.subagents)):
        bodies += (
            _subagent_failed(
                internal.SubagentFailed(
                    subagent_run_id=subagent, code="interrupted", message="The subagent was interrupted."
                ),
                state,
            )
            if incomplete
            else _subagent_finished(internal.SubagentFinished(subagent_run_id=subagent), state)
        )
    return bodies + _close_items(state, incomplete=incomplete)


def _close_items(state: RunWireState, *, incomplete: bool, owner: str | None = None) -> list[dict[str, Any]]:
    """Close the open items, innermost first: all of them, or only those of a subagent."""
    bodies: list[dict[str, Any]] = []
    # The partial message stays and is marked as incomplete, in the stream and in history.
    metadata = {"incomplete": True} if incomplete else None
    for message_id in state.due(state.reasonings, owner):
        bodies += _reasoning_ended(internal.ReasoningEnded(message_id=message_id), state)
    for tool_call_id in state.due(state.tool_calls, owner):
        bodies += _tool_call_ended(internal.ToolCallEnded(tool_call_id=tool_call_id), state)
    for message_id in state.due(state.texts, owner):
        bodies += _text_ended(internal.TextEnded(message_id=message_id, metadata=metadata), state)
    for name in state.due(state.steps, owner):
        bodies += _step_finished(internal.StepFinished(name=name), state)
    return bodies


_TABLE: dict[str, Callable[[Any, RunWireState], list[dict[str, Any]]]] = {
    "run_started": _run_started,
    "run_finished": _run_finished,
    "run_failed": _run_failed,
    "step_started": _step_started,
    "step_finished": _step_finished,
    "text_started": _text_started,
    "text_delta": _text_delta,
    "text_ended": _text_ended,
    "reasoning_started": _reasoning_started,
    "reasoning_delta": _reasoning_delta,
    "reasoning_ended": _reasoning_ended,
    "reasoning_encrypted": _reasoning_encrypted,
    "tool_call_started": _tool_call_started,
    "tool_call_arguments": _tool_call_arguments,
    "tool_call_ended": _tool_call_ended,
    "tool_result": _tool_result,
    "interrupt_requested": _interrupt_requested,
    "state_snapshot": _state_snapshot,
    "state_delta": _state_delta,
    "messages_snapshot": _messages_snapshot,
    "subagent_started": _subagent_started,
    "subagent_finished": _subagent_finished,
    "subagent_failed": _subagent_failed,
    "model_retrying": _model_retrying,
    "tool_progress": _tool_progress,
    "custom": _custom,
    "usage": _usage,
}
