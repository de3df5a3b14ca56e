"""What koel makes of an event stream: which events its decoder takes, and where the app's stream ends with an error.

koel is an AG-UI client for Flutter of its own make. An unknown type is no error there. A known type whose members have
another form is a ``ProtocolError`` on the stream, which ends it. Messages of a snapshot have one of four roles and a
content that is a text; the reasoning that only a provider can read has to be base64.

Source: ``koel_core`` 1.1.0, ``event/*.dart``, ``message/message.dart``, ``json_patch/json_patch_op.dart``;
``koel_http`` 1.0.0, ``sse_parser.dart``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
_ROLES = ("user", "assistant", "system", "tool")
_OPERATIONS = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


class KoelDecodingError(AssertionError):
    """koel puts a ``ProtocolError`` on the app's stream here."""


def decode(event: Json) -> bool:
    """Say whether koel knows the type of an event.

    Raises:
        KoelDecodingError: It knows the type, and refuses the event.
    """
    rule = _EVENTS.get(event.get("type", ""))
    if rule is None:
        return False
    required, optional, more = rule
    for name in required:
        _check(isinstance(event.get(name), str), name)
    for name in optional:
        _check(event.get(name) is None or isinstance(event[name], str), name)
    if more is not None:
        more(event)
    return True


def _check(is_right: bool, what: str) -> None:
    if not is_right:
        raise KoelDecodingError(what)


def _object(name: str) -> Callable[[Json], None]:
    return lambda event: _check(isinstance(event.get(name), dict), name)


def _objects(name: str, check: Callable[[Json], None]) -> Callable[[Json], None]:
    def check_all(event: Json) -> None:
        _check(isinstance(event.get(name), list), name)
        for item in event[name]:
            _check(isinstance(item, dict), name)
            check(item)

    return check_all


def _operation(operation: Json) -> None:
    needed = _OPERATIONS.get(operation.get("op", ""))
    _check(needed is not None, "op")
    _check(isinstance(operation.get("path"), str), "path")
    _check(all(name in operation for name in needed or ()), "an operation")


def _message(message: Json) -> None:
    _check(isinstance(message.get("id"), str), "messages: id")
    _check(message.get("role") in _ROLES, "messages: role")
    for name in ("content", "timestamp", "toolCallId", "name"):
        _check(message.get(name) is None or isinstance(message[name], str), f"messages: {name}")


def _encrypted(event: Json) -> None:
    try:
        base64.b64decode(event["encryptedValue"], validate=True)
    except binascii.Error as exc:
        raise KoelDecodingError("encryptedValue is no base64") from exc


_Rule = tuple[tuple[str, ...], tuple[str, ...], Callable[[Json], None] | None]

_EVENTS: dict[str, _Rule] = {
    "RUN_STARTED": (("threadId", "runId"), ("parentRunId",), None),
    "RUN_FINISHED": (("threadId", "runId"), (), None),
    "RUN_ERROR": (("message",), ("code",), None),
    "STEP_STARTED": (("stepName",), (), None),
    "STEP_FINISHED": (("stepName",), (), None),
    "TEXT_MESSAGE_START": (("messageId", "role"), (), None),
    "TEXT_MESSAGE_CONTENT": (("messageId", "delta"), (), None),
    "TEXT_MESSAGE_END": (("messageId",), (), None),
    "TOOL_CALL_START": (("toolCallId", "toolCallName"), ("parentMessageId",), None),
    "TOOL_CALL_ARGS": (("toolCallId", "delta"), (), None),
    "TOOL_CALL_END": (("toolCallId",), (), None),
    "TOOL_CALL_RESULT": (("messageId", "toolCallId", "content"), ("role",), None),
    "STATE_SNAPSHOT": ((), (), _object("snapshot")),
    "STATE_DELTA": ((), (), _objects("delta", _operation)),
    "MESSAGES_SNAPSHOT": ((), (), _objects("messages", _message)),
    "REASONING_START": (("messageId",), (), None),
    "REASONING_MESSAGE_START": (("messageId", "role"), (), None),
    "REASONING_MESSAGE_CONTENT": (("messageId", "delta"), (), None),
    "REASONING_MESSAGE_END": (("messageId",), (), None),
    "REASONING_END": (("messageId",), (), None),
    "REASONING_ENCRYPTED_VALUE": (("entityId", "subtype", "encryptedValue"), (), _encrypted),
    "CUSTOM": (("name",), (), None),
}
"""The types that this service sends and koel knows."""
