"""What a runner says itself, as ``InternalRuntimeEvent``: texts, calls, questions, events of its own.

What has no legal place in the stream is refused with the words of ``YieldRefused``; nothing of it is shown. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, get_args

from agentscope.message import Msg, TextBlock, ThinkingBlock
from agentscope.model import ChatResponse
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic_core import to_jsonable_python

from core.agentscope.runtime.agent.agent_events import message_metadata, new_id
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.conversation import Conversation, Place
from core.agentscope.runtime.agent.shared_state import MAX_STATE_DEPTH
from core.agentscope.runtime.model.legal_history import NO_RESULT
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.tools.result_text import fit_text, result_text
from core.text import clean_json, clean_text, depth_of

_OURS = "agentroute."
_PIECE = 16 << 10
"""Characters of text in an event."""
_TAKEN_REASONS = frozenset({"tool_approval", "budget_exhausted", "connection_required"})
_TAKEN_STEPS = frozenset({"intent", "execution", "report"})
_STATES = frozenset(get_args(public.ToolState))


class YieldRefused(ValueError):
    """A runner yielded what cannot be shown. The message is one line for its author."""


class OwnVoice:
    """The runner's own messages, calls and questions, in order.

    Args:
        conversation: Keeps what is said.
        client_tools: Names of the tools that the client carries out.
        known_calls: All calls that the thread remembers.
        expires_at: When a question that is asked now expires.
        max_bytes: Largest content that an event carries.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        client_tools: Collection[str],
        known_calls: Collection[str],
        expires_at: Callable[[], datetime],
        max_bytes: int,
    ) -> None:
        self.questions: dict[str, str] = {}
        """The ids that the runner gave to its questions, by the id of the interrupt."""
        self.answered = False
        """Whether anything was said or shown that is an answer."""
        self.client_tools = set(client_tools)
        self.seen_calls = set(known_calls)
        """All calls that were shown, also those of agents."""
        self._conversation = conversation
        self._expires_at = expires_at
        self._max_bytes = max_bytes
        self._message_id = ""
        self._reasoning_id = ""
        self._has_calls = False
        self._step = ""
        self._calls: dict[str, str] = {}
        """The open calls: their names, by id."""
        self._asking: set[str] = set()
        """The open calls that wait for the user."""
        self._usages: list[internal.ModelUsage] = []
        """Model calls since the last message: they wrote the next one."""
        self._streams: dict[str, tuple[str, str]] = {}
        """The text and the reasoning that came of answers of models that are not whole yet, by the id of the answer."""

    def record(self, usage: internal.ModelUsage) -> internal.ModelUsage:
        """Take in a model call of the runner itself; returns it with the message that is being written."""
        self._usages.append(usage)
        return usage.model_copy(update={"message_id": self._message_id or None})

    def say(self, given: Any) -> list[InternalRuntimeEvent] | None:
        """Return what was yielded in our words; ``None`` if it is nothing that a runner says itself.

        Raises:
            YieldRefused: It cannot be shown.
        """
        match given:
            case str():
                return self._text(clean_text(given))
            case public.Text():
                return self._text(_text(given.text, "Text.text"))
            case public.Reasoning():
                return self._reasoning(_text(given.text, "Reasoning.text"))
            case public.MessageEnd():
                return self.end_message()
            case public.ToolCall():
                return self._call(given)
            case public.ToolResult():
                return self._result(given)
            case public.ToolProgress():
                return self._progress(given)
            case public.Interrupt():
                return self._question(given)
            case public.Custom():
                return self._custom(given)
            case public.Step():
                return self._step_of(given)
            case ChatResponse():
                return self._response(given)
            case Msg():
                return self._message(given)
            case _:
                return None

    def end(self, *, cut: bool) -> list[InternalRuntimeEvent]:
        """Close everything that is open, and give each call a result that has none and waits for nobody.

        Args:
            cut: The runner broke off: what it wrote is shown and marked as incomplete.
        """
        events = self.end_message(cut=cut)
        for call_id, name in list(self._calls.items()):
            if call_id not in self._asking and (cut or name not in self.client_tools):
                events += self._result(public.ToolResult(call_id, NO_RESULT, "interrupted"))
        if self._step:
            events.append(internal.StepFinished(name=self._step))
            self._step = ""
        return events

    def _text(self, text: str) -> list[InternalRuntimeEvent]:
        if not text:
            return []
        before = self.end_message() if self._has_calls else self._end_reasoning()
        opened = self._open_message()
        self.answered = self.answered or bool(text.strip())
        self._conversation.text(text)
        return [*before, *opened, *self._deltas(text)]

    def _deltas(self, text: str) -> list[internal.TextDelta]:
        # An event has a largest size, and a string has none.
        pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
        return [internal.TextDelta(message_id=self._message_id, delta=piece) for piece in pieces]

    def _open_message(self) -> list[InternalRuntimeEvent]:
        if self._message_id:
            return []
        self._message_id = new_id("msg")
        return [internal.TextStarted(message_id=self._message_id)]

    def _reasoning(self, text: str) -> list[InternalRuntimeEvent]:
        if not text:
            return []
        before: list[InternalRuntimeEvent] = []
        if not self._reasoning_id:
            before = self.end_message()
            self._reasoning_id = new_id("rsn")
            before.append(internal.ReasoningStarted(message_id=self._reasoning_id))
        pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
        return [
            *before,
            *(internal.ReasoningDelta(message_id=self._reasoning_id, delta=piece) for piece in pieces),
        ]

    def _end_reasoning(self) -> list[InternalRuntimeEvent]:
        if not self._reasoning_id:
            return []
        ended, self._reasoning_id = self._reasoning_id, ""
        return [internal.ReasoningEnded(message_id=ended)]

    def end_message(self, *, cut: bool = False) -> list[InternalRuntimeEvent]:
        """End the message or the reasoning that is being written."""
        events = self._end_reasoning()
        if self._message_id:
            metadata = message_metadata(self._usages) | ({"incomplete": True} if cut else {})
            events.append(internal.TextEnded(message_id=self._message_id, metadata=metadata or None))
            self._usages.clear()
            self._conversation.end_text()
        self._message_id = ""
        self._has_calls = False
        return events

    def asking_call(self, call: public.ToolCall) -> list[InternalRuntimeEvent]:
        """Return the events of a call that waits for the user's approval."""
        self._asking.add(call.id)
        return self._call(call, "asking")

    def waits(self, call_id: str) -> None:
        """Let an open call wait for the user."""
        self._asking.add(call_id)

    def reopen(self, call_id: str, name: str) -> None:
        """Let a call of an earlier run have its result here."""
        self._calls[call_id] = name

    def _call(self, call: public.ToolCall, place: Place | None = None) -> list[InternalRuntimeEvent]:
        name, call_id = _text(call.name, "ToolCall.name"), _text(call.id, "ToolCall.id")
        if not name or not call_id:
            raise YieldRefused("a ToolCall has a name and an id")
        if call_id in self.seen_calls:
            raise YieldRefused(f"there was a ToolCall of the id {call_id!r} already; leave the id out")
        if not isinstance(call.arguments, dict):
            raise YieldRefused(f"ToolCall.arguments is {type(call.arguments).__name__}; it must be a dict")
        arguments = _json(call.arguments, "ToolCall.arguments", self._max_bytes)
        self.seen_calls.add(call_id)
        self._calls[call_id] = name
        is_client = name in self.client_tools
        self._conversation.call(call_id, name, arguments, place or ("submitted" if is_client else "finished"))
        events = [*self._end_reasoning(), *self._open_message()]
        self._has_calls = True
        return [
            *events,
            internal.ToolCallStarted(tool_call_id=call_id, name=name, parent_message_id=self._message_id),
            internal.ToolCallArguments(tool_call_id=call_id, delta=arguments),
            internal.ToolCallEnded(tool_call_id=call_id),
        ]

    def _result(self, result: public.ToolResult) -> list[InternalRuntimeEvent]:
        name = self._open_call(result.tool_call_id, "ToolResult")
        if result.state not in _STATES:
            raise YieldRefused(f"ToolResult.state is {result.state!r}; it must be one of {sorted(_STATES)}")
        text = fit_text(_result_text(result.content), self._max_bytes)
        del self._calls[result.tool_call_id]
        self._conversation.result(result.tool_call_id, name, text, result.state)
        return [
            *self.end_message(),
            internal.ToolResult(
                message_id=new_id("res"), tool_call_id=result.tool_call_id, content=text, state=result.state
            ),
        ]

    def _progress(self, given: public.ToolProgress) -> list[InternalRuntimeEvent]:
        self._open_call(given.tool_call_id, "ToolProgress")
        message = fit_text(_text(given.message, "ToolProgress.message"), self._max_bytes)
        return [
            internal.ToolProgress(
                tool_call_id=given.tool_call_id,
                message=message,
                progress=_number(given.progress, "ToolProgress.progress"),
                total=_number(given.total, "ToolProgress.total"),
            )
        ]

    def _open_call(self, call_id: Any, what: str) -> str:
        if not isinstance(call_id, str) or call_id not in self._calls:
            raise YieldRefused(
                f"{what} is of a call that is not open ({call_id!r}); yield the ToolCall first, and one result for it"
            )
        return self._calls[call_id]

    def _question(self, given: public.Interrupt) -> list[InternalRuntimeEvent]:
        key, message = _text(given.id, "Interrupt.id"), _text(given.message, "Interrupt.message")
        reason = _text(given.reason, "Interrupt.reason")
        if not key or not message or not reason:
            raise YieldRefused("an Interrupt has an id, a message and a reason")
        if reason in _TAKEN_REASONS:
            raise YieldRefused(f"the reason {reason!r} is taken; use another for an Interrupt of your own")
        if key in self.questions.values():
            raise YieldRefused(f"this run has asked the Interrupt {key!r} already")
        schema = json.loads(_json(given.response_schema, "Interrupt.response_schema", self._max_bytes))
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as exc:
            raise YieldRefused(f"Interrupt.response_schema is no JSON Schema: {exc.message[:200]}") from exc
        interrupt = internal.InterruptRequested(
            interrupt_id=new_id("int"),
            reason=reason,
            message=fit_text(message, self._max_bytes),
            response_schema=schema,
            expires_at=self._expires_at(),
        )
        self.questions[interrupt.interrupt_id] = key
        return [interrupt]

    def _custom(self, given: public.Custom) -> list[InternalRuntimeEvent]:
        name = _text(given.name, "Custom.name")
        if not name or name.startswith(_OURS):
            raise YieldRefused(f"Custom.name is {name!r}; give it a name that does not begin with {_OURS}")
        value = json.loads(_json(given.value, "Custom.value", self._max_bytes))
        self.answered = True
        return [internal.CustomEvent(name=name, value=value)]

    def _step_of(self, given: public.Step) -> list[InternalRuntimeEvent]:
        name = _text(given.name, "Step.name")
        if not name or name in _TAKEN_STEPS:
            raise YieldRefused(f"Step.name is {name!r}; give it another name than {sorted(_TAKEN_STEPS)}")
        events = self.end_message()
        if self._step:
            events.append(internal.StepFinished(name=self._step))
        self._step = name
        return [*events, internal.StepStarted(name=name)]

    def _response(self, response: ChatResponse) -> list[InternalRuntimeEvent]:
        """A piece of a model's answer, or all of it. The last piece of a stream repeats the others.

        So of the last one only that is shown which has not come, whatever was yielded in between.
        """
        text = "".join(block.text for block in response.content if isinstance(block, TextBlock))
        thought = "".join(block.thinking for block in response.content if isinstance(block, ThinkingBlock))
        if response.is_last:
            came = self._came(response.id, text)
            text, thought = _rest(text, came[0]), _rest(thought, came[1])
        else:
            came = self._streams.pop(response.id, ("", ""))
            self._streams[response.id] = came[0] + text, came[1] + thought
        return [*self._reasoning(clean_text(thought)), *self._text(clean_text(text))]

    def _came(self, response_id: str, text: str) -> tuple[str, str]:
        """Return what has come of an answer. Not every model gives one id to all pieces: then it is the newest stream."""
        if response_id not in self._streams and self._streams:
            newest = next(reversed(self._streams))
            if text.startswith(self._streams[newest][0]):
                response_id = newest
        return self._streams.pop(response_id, ("", ""))

    def _message(self, message: Msg) -> list[InternalRuntimeEvent]:
        """The reply of an agent as a whole."""
        text = clean_text("\n".join(block.text for block in message.get_content_blocks("text")))
        before = self.end_message()
        if not self._conversation.keep_message(message) or not text:
            return before
        self.answered = self.answered or bool(text.strip())
        opened = self._open_message()
        return [*before, *opened, *self._deltas(text), *self.end_message()]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise YieldRefused(f"{what} is {type(value).__name__}; it must be a string")
    # A checkpoint can hold no half of a character.
    return clean_text(value)


def _rest(whole: str, came: str) -> str:
    """Return what has not come of a text. One that is another than what came repeats it in other words."""
    return whole.removeprefix(came) if whole.startswith(came) else ""


def _number(value: Any, what: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise YieldRefused(f"{what} is {type(value).__name__}; it must be a number")


def _json(value: Any, what: str, max_bytes: int) -> str:
    try:
        plain = clean_json(to_jsonable_python(value))
    except Exception as exc:
        raise _unwritable(what, value) from exc
    if depth_of(plain) > MAX_STATE_DEPTH:
        raise YieldRefused(f"{what} is nested more than {MAX_STATE_DEPTH} levels deep")
    text = json.dumps(plain, ensure_ascii=False)
    if len(text.encode()) > max_bytes:
        raise YieldRefused(f"{what} is larger than {max_bytes} bytes")
    return text


def _result_text(content: Any) -> str:
    try:
        return result_text(content)
    except Exception as exc:
        raise _unwritable("ToolResult.content", content) from exc


def _unwritable(what: str, value: Any) -> YieldRefused:
    # The words of the exception may be the author's, with passwords in them: they are for the log.
    return YieldRefused(f"{what} is {type(value).__name__}, and it cannot be written as JSON")
