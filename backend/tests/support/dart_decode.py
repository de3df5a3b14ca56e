"""What the Dart SDK makes of an event stream: which events it decodes, and where its stream ends with an error.

There is no Dart SDK for Python or Node, so its rules are repeated here: no
unknown event type, required members there and not null, strings that are
strings, ids that are not empty. Unknown members are ignored; members may be
camelCase or snake_case, and the camelCase one counts when both are there.

Stricter in one place: a ``RUN_STARTED`` that echoes its ``input`` is refused,
where the SDK decodes the echo by rules of its own; this server never sends one.

Source: ``ag_ui`` 0.3.0 for Dart, ``events/events.dart``, ``types/message.dart``,
``encoder/decoder.dart``, ``client/validators.dart``, ``sse/sse_parser.dart``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

_MAX_ID_CODE_UNITS = 100
_MAX_DATA_CODE_UNITS = 8 << 20
_MAX_SAFE_INT = 1 << 53

Json = dict[str, Any]
_Check = Callable[[Json], None]


class DartDecodingError(AssertionError):
    """The SDK puts an error on the app's stream here, which ends its ``await for``."""


def decode_stream(body: str) -> list[Json]:
    """Return the events of a response body.

    Raises:
        DartDecodingError: The SDK would not decode one of them.
    """
    return [decode(data) for data in _messages(body)]


def decode(data: str) -> Json:
    """Return the event of one ``data`` field.

    Raises:
        DartDecodingError: The SDK would not decode it.
    """
    try:
        event = json.loads(data, parse_constant=_no_constant)
    except ValueError as exc:
        raise DartDecodingError(f"no JSON: {data[:200]}") from exc
    if not isinstance(event, dict):
        raise DartDecodingError(f"no JSON object: {data[:200]}")
    type_ = _string(event, "type")
    check = _EVENTS.get(type_)
    if check is None:
        raise DartDecodingError(f"unknown event type: {type_}")
    try:
        _timestamp(event)
        check(event)
    except DartDecodingError as exc:
        raise DartDecodingError(f"{type_}: {exc}") from exc
    return event


def _messages(body: str) -> Iterator[str]:
    """Yield the ``data`` of each message: lines up to an empty one. Comments and other fields carry none."""
    lines: list[str] = []
    # Not splitlines(): JSON may hold U+2028 and others that are no line ends here.
    for line in re.split(r"\r\n|\n|\r", body):
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif line == "":
            data = "\n".join(lines)
            lines = []
            if _code_units(data) > _MAX_DATA_CODE_UNITS:
                raise DartDecodingError("a message of more than 8 Mi code units")
            if data.strip() not in ("", ":"):
                yield data


# --- members ---------------------------------------------------------------------


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _key(holder: Json, name: str) -> str:
    snake = re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
    return name if name in holder or snake not in holder else snake


def _required(holder: Json, name: str, kind: type) -> Any:
    value = holder.get(_key(holder, name))
    if value is None:
        raise DartDecodingError(f"{name} is missing or null")
    if not isinstance(value, kind):
        raise DartDecodingError(f"{name} is not a {kind.__name__}: {value!r}")
    return value


def _optional(holder: Json, name: str, kind: type) -> Any:
    return None if holder.get(_key(holder, name)) is None else _required(holder, name, kind)


def _string(holder: Json, name: str) -> str:
    return _required(holder, name, str)


def _objects(holder: Json, name: str) -> list[Json]:
    items = _required(holder, name, list)
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise DartDecodingError(f"{name}[{place}] is no object: {item!r}")
    return items


def _timestamp(event: Json) -> None:
    value = event.get("timestamp")
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DartDecodingError(f"timestamp is no number: {value!r}")
    if not math.isfinite(value) or abs(value) > _MAX_SAFE_INT:
        raise DartDecodingError(f"timestamp is out of range: {value!r}")


def _code_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# --- events ----------------------------------------------------------------------


def _event(
    *not_empty: str,
    strings: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    present: tuple[str, ...] = (),
    more: _Check | None = None,
) -> _Check:
    """Describe an event: required strings, those that may not be empty, optional strings, members of any kind."""

    def check(event: Json) -> None:
        for name in not_empty:
            if _string(event, name) == "":
                raise DartDecodingError(f"{name} is empty")
        for name in strings:
            _string(event, name)
        for name in optional:
            _optional(event, name, str)
        for name in present:
            # Null is a value here; only its absence is an error.
            if name not in event:
                raise DartDecodingError(f"{name} is missing")
        if more is not None:
            more(event)

    return check


def _bounded_ids(event: Json) -> None:
    for name in ("threadId", "runId"):
        if _code_units(_string(event, name)) > _MAX_ID_CODE_UNITS:
            raise DartDecodingError(f"{name} is longer than {_MAX_ID_CODE_UNITS} code units")


def _run_started(event: Json) -> None:
    _bounded_ids(event)
    if event.get("input") is not None:
        raise DartDecodingError("input is echoed")


def _encrypted_value(event: Json) -> None:
    if event["subtype"] not in ("tool-call", "message"):
        raise DartDecodingError(f"subtype is unknown: {event['subtype']!r}")


def _patch_of(name: str) -> _Check:
    def check(event: Json) -> None:
        _objects(event, name)

    return check


def _replace(event: Json) -> None:
    _optional(event, "replace", bool)


def _messages_snapshot(event: Json) -> None:
    for place, message in enumerate(_objects(event, "messages")):
        try:
            _message(message)
        except DartDecodingError as exc:
            raise DartDecodingError(f"messages[{place}]: {exc}") from exc


_TEXT = _event("messageId")
_DELTA = _event("messageId", strings=("delta",))
_THINKING_DELTA = _event(strings=("delta",))
_ANYTHING = _event()

_EVENTS: dict[str, _Check] = {
    "RUN_STARTED": _event("threadId", "runId", optional=("parentRunId",), more=_run_started),
    "RUN_FINISHED": _event("threadId", "runId", more=_bounded_ids),
    "RUN_ERROR": _event("message", optional=("code",)),
    "STEP_STARTED": _event("stepName"),
    "STEP_FINISHED": _event("stepName"),
    "TEXT_MESSAGE_START": _event("messageId", optional=("role", "name")),
    "TEXT_MESSAGE_CONTENT": _DELTA,
    "TEXT_MESSAGE_END": _TEXT,
    "TEXT_MESSAGE_CHUNK": _event(optional=("messageId", "role", "delta", "name")),
    "TOOL_CALL_START": _event("toolCallId", "toolCallName", optional=("parentMessageId",)),
    "TOOL_CALL_ARGS": _event("toolCallId", strings=("delta",)),
    "TOOL_CALL_END": _event("toolCallId"),
    "TOOL_CALL_CHUNK": _event(optional=("toolCallId", "toolCallName", "parentMessageId", "delta")),
    "TOOL_CALL_RESULT": _event("messageId", "toolCallId", strings=("content",), optional=("role",)),
    "STATE_SNAPSHOT": _event(present=("snapshot",)),
    "STATE_DELTA": _event(more=_patch_of("delta")),
    "MESSAGES_SNAPSHOT": _event(more=_messages_snapshot),
    "ACTIVITY_SNAPSHOT": _event(
        "messageId",
        "activityType",
        present=("content",),
        more=_replace,
    ),
    "ACTIVITY_DELTA": _event("messageId", "activityType", more=_patch_of("patch")),
    "RAW": _event(present=("event",), optional=("source",)),
    "CUSTOM": _event("name", present=("value",)),
    "REASONING_START": _TEXT,
    "REASONING_MESSAGE_START": _event("messageId", strings=("role",)),
    "REASONING_MESSAGE_CONTENT": _DELTA,
    "REASONING_MESSAGE_END": _TEXT,
    "REASONING_MESSAGE_CHUNK": _event(optional=("messageId", "delta")),
    "REASONING_END": _TEXT,
    "REASONING_ENCRYPTED_VALUE": _event(
        strings=("subtype", "entityId", "encryptedValue"), more=_encrypted_value
    ),
    "THINKING_START": _event(optional=("title",)),
    "THINKING_CONTENT": _THINKING_DELTA,
    "THINKING_END": _ANYTHING,
    "THINKING_TEXT_MESSAGE_START": _ANYTHING,
    "THINKING_TEXT_MESSAGE_CONTENT": _THINKING_DELTA,
    "THINKING_TEXT_MESSAGE_END": _ANYTHING,
}
"""Every event type the SDK knows; ``SUBAGENT_*`` and whatever comes later are not among them."""


# --- messages of a snapshot ------------------------------------------------------


def _message(message: Json) -> None:
    role = _string(message, "role")
    check = _MESSAGES.get(role)
    if check is None:
        raise DartDecodingError(f"role is unknown: {role}")
    check(message)


def _assistant(message: Json) -> None:
    if _optional(message, "toolCalls", list) is None:
        return
    for call in _objects(message, "toolCalls"):
        _string(call, "id")
        _optional(call, "type", str)
        function = _required(call, "function", dict)
        _string(function, "name")
        _string(function, "arguments")


def _activity(message: Json) -> None:
    _required(message, "content", dict)


def _user(message: Json) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    for part in _objects(message, "content"):
        type_ = _string(part, "type")
        if type_ == "text":
            _string(part, "text")
        elif type_ in ("image", "audio", "video", "document"):
            _source(_required(part, "source", dict))
        else:
            raise DartDecodingError(f"content type is unknown: {type_}")


def _source(source: Json) -> None:
    type_ = _string(source, "type")
    if type_ not in ("data", "url"):
        raise DartDecodingError(f"source type is unknown: {type_}")
    _string(source, "value")
    if type_ == "data":
        _string(source, "mimeType")


_TOLD = _event(strings=("id", "content"), optional=("name", "encryptedValue"))

_MESSAGES: dict[str, _Check] = {
    "developer": _TOLD,
    "system": _TOLD,
    "assistant": _event(strings=("id",), optional=("content", "name", "encryptedValue"), more=_assistant),
    "user": _event(strings=("id",), optional=("name", "encryptedValue"), more=_user),
    "tool": _event(strings=("id", "content", "toolCallId"), optional=("error", "encryptedValue")),
    "activity": _event(strings=("id", "activityType"), more=_activity),
    "reasoning": _event(optional=("id", "content", "thinking", "encryptedValue")),
}
