"""From events to the state of a chat: the mirror of the Flutter app's ``domain/chat_reducer.dart``.

There is no Dart where these tests run. So the app's reducer is written twice, with the same functions in the same order,
and both are tested on the streams of ``contract/``. ``test_chat_reducer.py`` compares the two texts. The rules:

1. ``receive`` takes what a stream brings, and drops what came before: events have places. ``reduce`` takes an event alone.
2. The order and the content of messages are those of ``GET /history``, after every event.
3. What is not known, and what does not fit, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.support.chat_cursor import is_behind
from tests.support.chat_events import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    ReasoningMessageChunkEvent,
    TextMessageChunkEvent,
    ToolCallChunkEvent,
    read_chat_event,
)
from tests.support.chat_messages import (
    Message,
    attribution,
    before,
    encrypted_call,
    encrypted_message,
    grown,
    grown_call,
    new_message,
    replaced,
    with_call,
    with_id,
    with_members,
    with_metadata,
    with_new,
    with_result,
    without_id,
)
from tests.support.chat_state import ChatState, RunFailure, Stage, SubagentRun
from tests.support.json_patch import PatchError, apply_patch

from agentroute.client.events import (
    CustomEvent,
    Event,
    MessagesSnapshotEvent,
    ReasoningEncryptedValueEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    SubagentErrorEvent,
    SubagentFinishedEvent,
    SubagentStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    UnknownEvent,
)


def opened(page: Mapping[str, Any]) -> ChatState:
    """Return the state of a thread whose history was read."""
    run = page["activeRun"]
    return ChatState(
        thread_id=page["threadId"],
        run_id=None if run is None else run["runId"],
        cursor=page["cursor"],
        status="running" if run is not None else "interrupted" if page["pendingInterrupts"] else "idle",
        messages=page["messages"],
        interrupts=page["pendingInterrupts"],
        shared_state=page["state"],
        next_before=page["nextBefore"] if page["hasMore"] else None,
    )


def with_older(state: ChatState, page: Mapping[str, Any]) -> ChatState:
    """Return the state with a page of older messages in front."""
    older = [message for message in page["messages"] if state.message(message["id"]) is None]
    return replace(
        state,
        messages=[*older, *state.messages],
        next_before=page["nextBefore"] if page["hasMore"] else None,
    )


def asked(state: ChatState, messages: Sequence[Message], regenerate_from: str | None = None) -> ChatState:
    """Return the state when a run is asked something."""
    kept = state.messages
    asks = messages
    if regenerate_from is not None:
        again = state.message(regenerate_from)
        if not messages and again is not None:
            asks = [again]
        kept = before(kept, regenerate_from)
    for message in asks:
        kept = with_new(kept, message)
    return replace(state, messages=kept)


def receive(state: ChatState, cursor: str | None, event: Event) -> ChatState:
    """Return the state after what a stream brought. What came before changes nothing."""
    if cursor is None:
        return reduce(state, event)
    if is_behind(cursor, state.cursor):
        return state
    return replace(reduce(state, event), cursor=cursor)


def reduce(state: ChatState, event: Event) -> ChatState:
    """Return the state after an event."""
    match event:
        case RunStartedEvent():
            return _run_started(state, event)
        case RunFinishedEvent():
            return _run_finished(state, event)
        case RunErrorEvent():
            return _run_error(state, event)
        case StepStartedEvent():
            return _step_started(state, event)
        case StepFinishedEvent():
            return _step_finished(state, event)
        case SubagentStartedEvent():
            return _subagent_started(state, event)
        case SubagentFinishedEvent():
            return _subagent_finished(state, event)
        case SubagentErrorEvent():
            return _subagent_error(state, event)
        case TextMessageStartEvent():
            return _text_message_start(state, event)
        case TextMessageContentEvent():
            return _text_message_content(state, event)
        case TextMessageEndEvent():
            return _text_message_end(state, event)
        case TextMessageChunkEvent():
            return _text_message_chunk(state, event)
        case ReasoningMessageStartEvent():
            return _reasoning_message_start(state, event)
        case ReasoningMessageContentEvent():
            return _reasoning_message_content(state, event)
        case ReasoningMessageEndEvent():
            return _reasoning_message_end(state, event)
        case ReasoningMessageChunkEvent():
            return _reasoning_message_chunk(state, event)
        case ReasoningEncryptedValueEvent():
            return _reasoning_encrypted_value(state, event)
        case ToolCallStartEvent():
            return _tool_call_start(state, event)
        case ToolCallArgsEvent():
            return _tool_call_args(state, event)
        case ToolCallEndEvent():
            return _tool_call_end(state, event)
        case ToolCallChunkEvent():
            return _tool_call_chunk(state, event)
        case ToolCallResultEvent():
            return _tool_call_result(state, event)
        case StateSnapshotEvent():
            return _state_snapshot(state, event)
        case StateDeltaEvent():
            return _state_delta(state, event)
        case MessagesSnapshotEvent():
            return _messages_snapshot(state, event)
        case ActivitySnapshotEvent():
            return _activity_snapshot(state, event)
        case ActivityDeltaEvent():
            return _activity_delta(state, event)
        case CustomEvent():
            return _custom(state, event)
        case UnknownEvent():
            return _unknown(state, event)
        case _:
            return state


# --- runs -------------------------------------------------------------------------


def _run_started(state: ChatState, event: RunStartedEvent) -> ChatState:
    return replace(
        state,
        thread_id=event.thread_id,
        run_id=event.run_id,
        status="running",
        stages=[],
        # A run begins when all questions are answered, or given up.
        interrupts=[],
        pending_tool_call_ids=[],
        error=None,
        usage=[],
        retrying=None,
        progress={},
        subagents=[],
        sources=[],
        media=[],
    )


def _run_finished(state: ChatState, event: RunFinishedEvent) -> ChatState:
    outcome = event.outcome
    match outcome.type:
        case "interrupt":
            status = "interrupted"
        case "cancelled":
            status = "cancelled"
        case _:
            status = "succeeded"
    interrupts = event.raw.get("outcome", {}).get("interrupts", [])
    return replace(
        _ended(state, status, event.usage),
        interrupts=interrupts,
        pending_tool_call_ids=list(outcome.pending_tool_call_ids),
    )


def _run_error(state: ChatState, event: RunErrorEvent) -> ChatState:
    # The words for a stopped run before AG-UI 1.0.
    if event.code == "cancelled":
        return _ended(state, "cancelled", event.usage)
    error = RunFailure(code=event.code, message=event.message)
    return replace(_ended(state, "failed", event.usage), error=error)


def _unknown(state: ChatState, event: UnknownEvent) -> ChatState:
    """Whatever else is broken in the last event of a run, the run has ended."""
    match event.type:
        case "RUN_FINISHED":
            return _ended(state, "succeeded", [])
        case "RUN_ERROR":
            return _ended(state, "failed", [])
        case _:
            return state


def _ended(state: ChatState, status: str, usage: Sequence[Mapping[str, Any]]) -> ChatState:
    """Nothing goes on after the end of a run."""
    return replace(
        state,
        status=status,
        stages=[replace(stage, is_open=False) for stage in state.stages],
        open=[],
        usage=list(usage),
        retrying=None,
        progress={},
        subagents=[
            _with_status(subagent, "stopped") if subagent.status == "running" else subagent
            for subagent in state.subagents
        ],
    )


def _step_started(state: ChatState, event: StepStartedEvent) -> ChatState:
    is_there = any(_is_stage(stage, event.step_name, event.subagent_run_id) for stage in state.stages)
    if is_there:
        return state
    stage = Stage(name=event.step_name, subagent_run_id=event.subagent_run_id)
    return replace(state, stages=[*state.stages, stage])


def _step_finished(state: ChatState, event: StepFinishedEvent) -> ChatState:
    return replace(
        state,
        stages=[
            replace(stage, is_open=False)
            if _is_stage(stage, event.step_name, event.subagent_run_id)
            else stage
            for stage in state.stages
        ],
    )


def _is_stage(stage: Stage, name: str, subagent_run_id: str | None) -> bool:
    return stage.is_open and stage.name == name and stage.subagent_run_id == subagent_run_id


# --- subagents --------------------------------------------------------------------


def _subagent_started(state: ChatState, event: SubagentStartedEvent) -> ChatState:
    subagent_id = event.subagent_run_id
    if subagent_id is None or any(subagent.id == subagent_id for subagent in state.subagents):
        return state
    subagent = SubagentRun(id=subagent_id, name=event.name, parent_tool_call_id=event.parent_tool_call_id)
    return replace(state, subagents=[*state.subagents, subagent])


def _subagent_finished(state: ChatState, event: SubagentFinishedEvent) -> ChatState:
    return _with_subagent(state, event.subagent_run_id, "done")


def _subagent_error(state: ChatState, event: SubagentErrorEvent) -> ChatState:
    return _with_subagent(state, event.subagent_run_id, "failed")


def _with_subagent(state: ChatState, subagent_id: str | None, status: str) -> ChatState:
    return replace(
        state,
        subagents=[
            _with_status(subagent, status) if subagent.id == subagent_id else subagent
            for subagent in state.subagents
        ],
    )


def _with_status(subagent: SubagentRun, status: str) -> SubagentRun:
    return replace(subagent, status=status)


# --- text and reasoning -----------------------------------------------------------


def _text_message_start(state: ChatState, event: TextMessageStartEvent) -> ChatState:
    return _begin(state, event.message_id, event.role, event)


def _text_message_content(state: ChatState, event: TextMessageContentEvent) -> ChatState:
    return _grow(state, event.message_id, event.delta)


def _text_message_end(state: ChatState, event: TextMessageEndEvent) -> ChatState:
    return _end(state, event.message_id, event)


def _text_message_chunk(state: ChatState, event: TextMessageChunkEvent) -> ChatState:
    message_id = event.message_id or _last_open(state, "assistant")
    if message_id is None:
        return state
    return _grow(_begin(state, message_id, event.role or "assistant", event), message_id, event.delta or "")


def _reasoning_message_start(state: ChatState, event: ReasoningMessageStartEvent) -> ChatState:
    return _begin(state, event.message_id, "reasoning", event)


def _reasoning_message_content(state: ChatState, event: ReasoningMessageContentEvent) -> ChatState:
    return _grow(state, event.message_id, event.delta)


def _reasoning_message_end(state: ChatState, event: ReasoningMessageEndEvent) -> ChatState:
    return _end(state, event.message_id, event)


def _reasoning_message_chunk(state: ChatState, event: ReasoningMessageChunkEvent) -> ChatState:
    message_id = event.message_id or _last_open(state, "reasoning")
    if message_id is None:
        return state
    return _grow(_begin(state, message_id, "reasoning", event), message_id, event.delta or "")


def _reasoning_encrypted_value(state: ChatState, event: ReasoningEncryptedValueEvent) -> ChatState:
    change = encrypted_message if event.subtype == "message" else encrypted_call
    return replace(state, messages=change(state.messages, event.entity_id, event.encrypted_value))


def _begin(state: ChatState, message_id: str, role: str, event: Event) -> ChatState:
    """A message begins. One that is there already goes on: a stream that connects opens it again."""
    messages = (
        with_new(state.messages, new_message(message_id, role, {"content": "", **attribution(event)}))
        if state.message(message_id) is None
        else state.messages
    )
    return replace(
        state,
        messages=with_metadata(messages, message_id, event.metadata),
        open=with_id(state.open, message_id),
        retrying=None,
    )


def _grow(state: ChatState, message_id: str, delta: str) -> ChatState:
    if state.message(message_id) is None:
        return state
    # A message that history told in the middle of its writing was never begun here.
    return replace(
        state, messages=grown(state.messages, message_id, delta), open=with_id(state.open, message_id)
    )


def _end(state: ChatState, message_id: str, event: Event) -> ChatState:
    return replace(
        state,
        messages=with_metadata(state.messages, message_id, event.metadata),
        open=without_id(state.open, message_id),
    )


def _last_open(state: ChatState, role: str) -> str | None:
    """Return the message to which a chunk without an id belongs."""
    for message in reversed(state.messages):
        if message["role"] == role and message["id"] in state.open:
            return message["id"]
    return None


# --- tool calls -------------------------------------------------------------------


def _tool_call_start(state: ChatState, event: ToolCallStartEvent) -> ChatState:
    return _begin_call(state, event.tool_call_id, event.tool_call_name, event.parent_message_id, event)


def _tool_call_args(state: ChatState, event: ToolCallArgsEvent) -> ChatState:
    return _grow_call(state, event.tool_call_id, event.delta)


def _tool_call_end(state: ChatState, event: ToolCallEndEvent) -> ChatState:
    return replace(state, open=without_id(state.open, event.tool_call_id))


def _tool_call_chunk(state: ChatState, event: ToolCallChunkEvent) -> ChatState:
    call_id = event.tool_call_id or _last_open_call(state)
    if call_id is None:
        return state
    known = state.tool_call(call_id)
    name = event.tool_call_name or (None if known is None else known["function"]["name"])
    if name is None:
        return state
    return _grow_call(
        _begin_call(state, call_id, name, event.parent_message_id, event), call_id, event.delta or ""
    )


def _tool_call_result(state: ChatState, event: ToolCallResultEvent) -> ChatState:
    members = {
        "toolCallId": event.tool_call_id,
        "content": event.content,
        **attribution(event),
        **({"metadata": event.metadata} if event.metadata else {}),
    }
    message = new_message(event.message_id, "tool", members)
    return replace(
        state,
        messages=with_result(state.messages, message, event.tool_call_id),
        open=without_id(state.open, event.tool_call_id),
        pending_tool_call_ids=without_id(state.pending_tool_call_ids, event.tool_call_id),
        progress={
            call_id: value for call_id, value in state.progress.items() if call_id != event.tool_call_id
        },
    )


def _begin_call(state: ChatState, call_id: str, name: str, parent_id: str | None, event: Event) -> ChatState:
    """A call begins. One that is there already goes on: a stream that connects opens it again."""
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    messages = (
        with_call(state.messages, call, parent_id, attribution(event))
        if state.tool_call(call_id) is None
        else state.messages
    )
    return replace(state, messages=messages, open=with_id(state.open, call_id), retrying=None)


def _grow_call(state: ChatState, call_id: str, delta: str) -> ChatState:
    if state.tool_call(call_id) is None:
        return state
    return replace(
        state, messages=grown_call(state.messages, call_id, delta), open=with_id(state.open, call_id)
    )


def _last_open_call(state: ChatState) -> str | None:
    last = None
    for call in state.calls:
        if call["id"] in state.open:
            last = call["id"]
    return last


# --- snapshots, the shared state, activities --------------------------------------


def _state_snapshot(state: ChatState, event: StateSnapshotEvent) -> ChatState:
    return replace(state, shared_state=event.snapshot)


def _state_delta(state: ChatState, event: StateDeltaEvent) -> ChatState:
    try:
        changed = apply_patch(state.shared_state, event.delta)
    except PatchError:
        # As the official client does: a patch that does not fit changes nothing.
        return state
    return replace(state, shared_state=changed)


def _messages_snapshot(state: ChatState, event: MessagesSnapshotEvent) -> ChatState:
    return replace(state, messages=[dict(message) for message in event.messages])


def _activity_snapshot(state: ChatState, event: ActivitySnapshotEvent) -> ChatState:
    if state.message(event.message_id) is not None and not event.replace:
        return state
    members = {"activityType": event.activity_type, "content": event.content, **attribution(event)}
    return replace(
        state, messages=replaced(state.messages, new_message(event.message_id, "activity", members))
    )


def _activity_delta(state: ChatState, event: ActivityDeltaEvent) -> ChatState:
    message = state.message(event.message_id)
    if message is None or message["role"] != "activity":
        return state
    try:
        content = apply_patch(message["content"], event.patch)
    except PatchError:
        return state
    return replace(state, messages=replaced(state.messages, with_members(message, {"content": content})))


# --- what is AgentRoute's own -----------------------------------------------------


def _custom(state: ChatState, event: CustomEvent) -> ChatState:
    match event.name, event.value:
        case "agentroute.input", {"runId": str()} as value:
            return _input(state, value)
        case "agentroute.history", {} as value:
            return _history(state, value)
        case "agentroute.retrying", {} as value:
            return replace(state, retrying=value)
        case "agentroute.tool-progress", {"toolCallId": str(call_id)} as value:
            return replace(state, progress={**state.progress, call_id: value})
        case "agentroute.sources", {} as value:
            return replace(state, sources=[*state.sources, value])
        case "agentroute.data", {"mediaType": str()} as value:
            return replace(state, media=[*state.media, value])
        case _:
            return _other(state, event)


def _input(state: ChatState, value: Mapping[str, Any]) -> ChatState:
    # Told again, with the events of an older run: what came of it is there.
    if value["runId"] != state.run_id:
        return state
    # Told again behind a broken line: what was asked to be replaced is replaced.
    regenerate_from = None if value["runId"] == state.input_run_id else value.get("regenerateFrom")
    return replace(asked(state, value.get("messages", []), regenerate_from), input_run_id=value["runId"])


def _history(state: ChatState, value: Mapping[str, Any]) -> ChatState:
    return replace(state, next_before=value.get("nextBefore") if value.get("hasMore") else None)


def _other(state: ChatState, event: CustomEvent) -> ChatState:
    match event.name:
        case "agentroute.messages-snapshot-omitted" | "agentroute.state-snapshot-omitted":
            return replace(state, is_incomplete=True)
        case "agentroute.subagent":
            # The words for SUBAGENT_* before AG-UI 1.0: the value is the event.
            value = event.value
            return reduce(state, read_chat_event(value)) if isinstance(value, dict) else state
        case _:
            return state
