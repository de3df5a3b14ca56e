"""The order of messages, and how they change: the mirror of the Flutter app's ``domain/chat_messages.dart``.

A message is a JSON object in the form of the wire. Pure: each function returns a new list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentroute.client.events import Event

Message = dict[str, Any]
Messages = list[Message]
Call = dict[str, Any]


def new_message(message_id: str, role: str, members: Mapping[str, Any]) -> Message:
    """Return a message made of members in the form of the wire."""
    return {"id": message_id, "role": role, **members}


def with_members(message: Message, members: Mapping[str, Any]) -> Message:
    """Return a message with other members."""
    return {**message, **members}


def attribution(event: Event) -> dict[str, Any]:
    """Return whose event it is, as a message says it."""
    return {} if event.subagent_run_id is None else {"subagentRunId": event.subagent_run_id}


def before(messages: Messages, message_id: str) -> Messages:
    """Return the messages before one; all, if it is not there."""
    place = _index(messages, lambda message: message["id"] == message_id)
    return messages if place < 0 else messages[:place]


def with_new(messages: Messages, message: Message) -> Messages:
    """Return the messages with one more, if it is not there yet. A result goes behind its call."""
    if any(each["id"] == message["id"] for each in messages):
        return messages
    if message["role"] == "tool":
        return with_result(messages, message, message["toolCallId"])
    return [*messages, message]


def replaced(messages: Messages, message: Message) -> Messages:
    """Return the messages with one in place of its older form, or at the end."""
    if all(each["id"] != message["id"] for each in messages):
        return [*messages, message]
    return [message if each["id"] == message["id"] else each for each in messages]


def with_result(messages: Messages, result: Message, call_id: str) -> Messages:
    """Return the messages with a result: behind the message of its call and the results that are there already."""
    if any(each["id"] == result["id"] for each in messages):
        return replaced(messages, result)
    place = _index(messages, lambda message: _has_call(message, call_id))
    if place < 0:
        return [*messages, result]
    place += 1
    while place < len(messages) and messages[place]["role"] == "tool":
        place += 1
    return [*messages[:place], result, *messages[place:]]


def with_call(messages: Messages, call: Call, parent_id: str | None, members: Mapping[str, Any]) -> Messages:
    """Return the messages with a new call: of its parent message, if that is one of the assistant's, or of its own."""
    owner_id = call["id"] if parent_id is None else parent_id
    owner = next((message for message in messages if message["id"] == owner_id), None)
    if owner is not None and owner["role"] == "assistant":
        return replaced(messages, {**owner, "toolCalls": [*owner.get("toolCalls", []), call]})
    message_id = owner_id if owner is None else call["id"]
    return [*messages, new_message(message_id, "assistant", {"toolCalls": [call], **members})]


def grown(messages: Messages, message_id: str, delta: str) -> Messages:
    """Return the messages after a piece of text."""
    return [
        _grown_message(message, delta) if message["id"] == message_id else message for message in messages
    ]


def _grown_message(message: Message, delta: str) -> Message:
    match message["role"]:
        case "assistant" | "reasoning" | "user" | "system" | "developer":
            return {**message, "content": message.get("content", "") + delta}
        case _:
            return message


def grown_call(messages: Messages, call_id: str, delta: str) -> Messages:
    """Return the messages after a piece of a call's arguments."""

    def grow(call: Call) -> Call:
        function = call["function"]
        return {**call, "function": {**function, "arguments": function["arguments"] + delta}}

    return _with_changed_call(messages, call_id, grow)


def with_metadata(messages: Messages, message_id: str, metadata: Mapping[str, Any]) -> Messages:
    """Return the messages with more metadata of one: members that come later win."""
    if not metadata:
        return messages
    return [
        with_members(message, {"metadata": {**message.get("metadata", {}), **metadata}})
        if message["id"] == message_id
        else message
        for message in messages
    ]


def encrypted_message(messages: Messages, message_id: str, value: str) -> Messages:
    """Return the messages with reasoning that only its provider can read; the app sends it back."""
    return [
        with_members(message, {"encryptedValue": value}) if message["id"] == message_id else message
        for message in messages
    ]


def encrypted_call(messages: Messages, call_id: str, value: str) -> Messages:
    """Return the same, of a call."""
    return _with_changed_call(messages, call_id, lambda call: {**call, "encryptedValue": value})


def _with_changed_call(messages: Messages, call_id: str, change: Callable[[Call], Call]) -> Messages:
    return [
        {
            **message,
            "toolCalls": [change(call) if call["id"] == call_id else call for call in message["toolCalls"]],
        }
        if _has_call(message, call_id)
        else message
        for message in messages
    ]


def _has_call(message: Message, call_id: str) -> bool:
    return any(call["id"] == call_id for call in message.get("toolCalls", []))


def with_id(ids: list[str], each: str) -> list[str]:
    """Return ids with one more, each once."""
    return ids if each in ids else [*ids, each]


def without_id(ids: list[str], gone: str) -> list[str]:
    """Return ids without one."""
    return [each for each in ids if each != gone]


def _index(messages: Sequence[Message], is_it: Callable[[Message], bool]) -> int:
    return next((place for place, message in enumerate(messages) if is_it(message)), -1)
