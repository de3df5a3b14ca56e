"""AgentScope's events → ``InternalRuntimeEvent``: the only place where these two vocabularies meet.

One model call writes one assistant message: its text, and the tool calls it asked for. The message stays open until
the call's usage is known, because the usage is part of the message. Tool calls end when the model call ends:
AgentScope may repeat their starts while the deltas of parallel calls interleave.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentscope import event as agentscope
from agentscope.message import ToolCallBlock

from core.agentscope.runtime.agent import logins
from core.agentscope.runtime.agent.agent_attachments import OpenMedia, own_event
from core.agentscope.runtime.model.chat_opaque import OpaqueValue, json_text
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.tools.foreign_results import attachment_line
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.result_text import fit_text

ApprovalSchema = Callable[[str], dict[str, Any]]
"""Returns the answer's JSON Schema for a tool by name."""
Login = Callable[[str], ConnectionRequired | None]
"""Returns the login that a call lacks, by the call's id."""


def new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


class AgentEventTranslator:
    """Translates one agent's events, in order. Usage arrives beside the events, through ``record``."""

    def __init__(
        self,
        *,
        approval_schema: ApprovalSchema,
        expires_at: Callable[[], datetime],
        max_result_bytes: int,
        login: Login = lambda _call_id: None,
    ) -> None:
        """Begin with an agent that has said nothing.

        Args:
            approval_schema: The answer a tool's approval takes.
            expires_at: When a requested approval expires.
            max_result_bytes: Longest tool result an event carries.
            login: Returns what a call waits for, if it is no approval.
        """
        self.wrote_text = False
        """Whether the newest model call wrote text: then the answer is already there."""
        self.exceeded_iterations = False
        self._approval_schema = approval_schema
        self._expires_at = expires_at
        self._max_result_bytes = max_result_bytes
        self._login = login
        self._message_id = ""
        """The message that the model call writes; empty between two calls."""
        self._reasoning_id = ""
        """The newest reasoning of the model call that was shown."""
        self._text_open = False
        self._open_calls: list[str] = []
        self._kept: list[OpaqueValue] = []
        self._usages: list[internal.ModelUsage] = []
        self._notes: list[InternalRuntimeEvent] = []
        self._results: dict[str, list[str]] = {}
        self._media = OpenMedia(max_result_bytes)

    @property
    def is_writing(self) -> bool:
        """Whether a model call of the agent is writing a message."""
        return bool(self._message_id)

    def announce(self, event: InternalRuntimeEvent) -> None:
        """Take in an event from between two model calls; it is emitted before the next call."""
        self._notes.append(event)

    def record(self, usage: internal.ModelUsage) -> None:
        """Take in a finished model call; it is attributed to the message it wrote."""
        self._usages.append(usage.model_copy(update={"message_id": self._message_id or None}))

    def keep(self, value: OpaqueValue) -> None:
        """Take in what the provider wants back; it is shown with the message or the tool call it came with."""
        # A call between two messages is of a tool that asks the same model. Its answer is not shown.
        if self._message_id:
            self._kept.append(value)

    def translate(self, event: agentscope.AgentEvent) -> list[InternalRuntimeEvent]:
        """Return the event in our words: none, one or several events."""
        match event:
            case agentscope.ModelCallStartEvent():
                # Closes a call that had no end, and emits the usage of calls between two messages (a compaction).
                before = self.end_model_call(cut=True)
                self._message_id = new_id("msg")
                self.wrote_text = False
                return before
            case agentscope.TextBlockDeltaEvent():
                self.wrote_text = self.wrote_text or bool(event.delta.strip())
                return [
                    *self._open_text(),
                    internal.TextDelta(message_id=self._message_id, delta=event.delta),
                ]
            case agentscope.ThinkingBlockDeltaEvent() if event.delta:
                return self._reasoning(f"rsn-{event.block_id}", event.delta)
            case agentscope.ThinkingBlockEndEvent() if self._reasoning_id == f"rsn-{event.block_id}":
                return [internal.ReasoningEnded(message_id=self._reasoning_id)]
            case agentscope.ToolCallStartEvent():
                return self._tool_call(event)
            case agentscope.ToolCallDeltaEvent():
                return [internal.ToolCallArguments(tool_call_id=event.tool_call_id, delta=event.delta)]
            case agentscope.ModelCallEndEvent():
                return self.end_model_call(cut=_value(event.finished_reason) == "interrupted")
            case agentscope.ToolResultTextDeltaEvent():
                self._results.setdefault(event.tool_call_id, []).append(event.delta)
                return []
            case agentscope.ToolResultDataDeltaEvent():
                self._results.setdefault(event.tool_call_id, []).append(attachment_line(event))
                return []
            case agentscope.ToolResultEndEvent():
                return [*self._calls_of_tools(), self._tool_result(event)]
            case agentscope.RequireUserConfirmEvent():
                return [self._interrupt(call) for call in event.tool_calls]
            case (
                agentscope.DataBlockStartEvent()
                | agentscope.DataBlockDeltaEvent()
                | agentscope.DataBlockEndEvent()
            ):
                # A message of media alone is an answer, too.
                self.wrote_text = True
                return [*self._open_text(), *self._media.take(event, self._message_id)]
            case agentscope.CustomEvent():
                return [own_event(event, self._max_result_bytes)]
            case agentscope.ExceedMaxItersEvent():
                self.exceeded_iterations = True
                return []
            case _:
                # Forward compatibility: an event that this version does not know is skipped.
                return []

    def end_model_call(self, *, cut: bool) -> list[InternalRuntimeEvent]:
        """Close what the model call opened; also used after a failure, when no end came.

        Args:
            cut: The call broke off: what it wrote is shown and marked as incomplete.
        """
        events: list[InternalRuntimeEvent] = [*self._usages, *self._notes, *self._encrypted()]
        events += [internal.ToolCallEnded(tool_call_id=call_id) for call_id in self._open_calls]
        if self._text_open:
            metadata = message_metadata(self._usages) | ({"incomplete": True} if cut else {})
            events.append(internal.TextEnded(message_id=self._message_id, metadata=metadata))
        self._usages.clear()
        self._notes.clear()
        self._kept.clear()
        self._reasoning_id = ""
        self._open_calls.clear()
        self._text_open = False
        # A model call that starts before the next message (a compaction) writes no message.
        self._message_id = ""
        return events

    def _calls_of_tools(self) -> list[InternalRuntimeEvent]:
        """Return the usage of model calls that tools made: booked before the next call of the agent."""
        if self._message_id:
            return []
        usages: list[InternalRuntimeEvent] = [*self._usages]
        self._usages.clear()
        return usages

    def _reasoning(self, message_id: str, delta: str) -> list[InternalRuntimeEvent]:
        said = internal.ReasoningDelta(message_id=message_id, delta=delta)
        if message_id == self._reasoning_id:
            return [said]
        # Opened by its first text: a reasoning block may hold nothing but what the provider wants back.
        self._reasoning_id = message_id
        return [internal.ReasoningStarted(message_id=message_id), said]

    def _encrypted(self) -> list[InternalRuntimeEvent]:
        """Show what the provider wants back: on the reasoning, or on the answer when none was shown."""
        message_id = self._reasoning_id or (self._message_id if self._text_open else "")
        events: list[InternalRuntimeEvent] = []
        for value in self._kept:
            if message_id and value.message:
                events.append(
                    internal.ReasoningEncrypted(
                        subtype="message", entity_id=message_id, value=json_text(value.message)
                    )
                )
            events += [
                internal.ReasoningEncrypted(subtype="tool-call", entity_id=call_id, value=json_text(members))
                for call_id, members in value.calls.items()
            ]
        return events

    def _open_text(self) -> list[InternalRuntimeEvent]:
        if self._text_open:
            return []
        self._text_open = True
        self._message_id = self._message_id or new_id("msg")
        return [internal.TextStarted(message_id=self._message_id)]

    def _tool_call(self, event: agentscope.ToolCallStartEvent) -> list[InternalRuntimeEvent]:
        if event.tool_call_id in self._open_calls:
            return []
        self._open_calls.append(event.tool_call_id)
        return [
            # The message carries the call's usage, so it exists even when the model wrote no text.
            *self._open_text(),
            internal.ToolCallStarted(
                tool_call_id=event.tool_call_id,
                name=event.tool_call_name,
                parent_message_id=self._message_id,
            ),
        ]

    def _tool_result(self, event: agentscope.ToolResultEndEvent) -> internal.ToolResult:
        content = "".join(self._results.pop(event.tool_call_id, ()))
        state = _value(event.state)
        return internal.ToolResult(
            message_id=new_id("res"),
            tool_call_id=event.tool_call_id,
            content=fit_text(content, self._max_result_bytes),
            state=state if state in ("success", "error", "denied", "interrupted") else "error",
        )

    def _interrupt(self, call: ToolCallBlock) -> internal.InterruptRequested:
        required = self._login(call.id)
        return internal.InterruptRequested(
            interrupt_id=new_id("int"),
            reason="tool_approval" if required is None else logins.REASON,
            message=f"Allow the tool {call.name}?"
            if required is None
            else logins.question(required, call.name),
            tool_call_id=call.id,
            tool_name=call.name,
            arguments=call.input,
            response_schema=self._approval_schema(call.name) if required is None else logins.ANSWER,
            expires_at=self._expires_at(),
            metadata=None if required is None else logins.metadata(required),
        )


def message_metadata(usages: list[internal.ModelUsage]) -> dict[str, Any]:
    """Return what an assistant message says of the model calls that wrote it."""
    if not usages:
        return {}
    last = usages[-1]
    metadata: dict[str, Any] = {
        "model": last.model,
        "inputTokens": sum(usage.input_tokens for usage in usages),
        "outputTokens": sum(usage.output_tokens for usage in usages),
        "latencyMs": sum(usage.latency_ms for usage in usages),
    }
    for name, tokens in (
        ("cachedInputTokens", sum(usage.cached_input_tokens for usage in usages)),
        ("reasoningTokens", sum(usage.reasoning_tokens for usage in usages)),
    ):
        if tokens:
            metadata[name] = tokens
    if last.ttft_ms is not None:
        metadata["ttftMs"] = last.ttft_ms
    if last.finish_reason is not None:
        metadata["finishReason"] = last.finish_reason
    costs = [usage.cost for usage in usages]
    if all(cost is not None for cost in costs):
        # Text, not a number: a JSON number would round it.
        metadata["cost"] = format(sum(cost for cost in costs if cost is not None), "f")
        metadata["currency"] = last.currency
    return metadata


def _value(member: object) -> str:
    """Return an enum member's value; AgentScope stores some of them as plain text."""
    return str(getattr(member, "value", member))
