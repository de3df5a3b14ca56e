"""What a stock AG-UI client makes of a stream: its messages and its state.

Source: AG-UI 1.0, the default reducer of ``@ag-ui/client`` 1.0.0
(``apply/default.ts``), for the events this server sends. One object for all
runs of a thread, as in a client.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

import jsonpatch
from jsonpatch import JsonPatchException
from jsonpointer import JsonPointerException

Message = dict[str, Any]


class AguiClient:
    """Holds a conversation and folds events into it, naively."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.messages: list[Message] = copy.deepcopy(list(messages))
        self.state: Any = None

    def see(self, event: dict[str, Any]) -> None:
        """Take in one event in wire form."""
        match event["type"]:
            case "TEXT_MESSAGE_START":
                self._begin(event, event.get("role", "assistant"))
            case "REASONING_MESSAGE_START":
                self._begin(event, "reasoning")
            case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
                if message := self._find(event["messageId"]):
                    message["content"] = str(message.get("content", "")) + event["delta"]
            case "TEXT_MESSAGE_END" | "REASONING_MESSAGE_END":
                _merge_metadata(self._find(event["messageId"]), event)
            case "TOOL_CALL_START":
                self._tool_call(event)
            case "TOOL_CALL_ARGS":
                if call := self._find_call(event["toolCallId"]):
                    call["function"]["arguments"] += event["delta"]
            case "TOOL_CALL_RESULT":
                self._tool_result(event)
            case "REASONING_ENCRYPTED_VALUE":
                find = self._find if event["subtype"] == "message" else self._find_call
                if owner := find(event["entityId"]):
                    owner["encryptedValue"] = event["encryptedValue"]
            case "STATE_SNAPSHOT":
                self.state = event["snapshot"]
            case "STATE_DELTA":
                with contextlib.suppress(JsonPatchException, JsonPointerException, TypeError):
                    self.state = jsonpatch.apply_patch(self.state, event["delta"])
            case "MESSAGES_SNAPSHOT":
                self._replace(event["messages"])
            case _:
                pass

    def _find(self, message_id: str) -> Message | None:
        return next((message for message in self.messages if message["id"] == message_id), None)

    def _find_call(self, call_id: str) -> dict[str, Any] | None:
        calls = (call for message in self.messages for call in message.get("toolCalls", ()))
        return next((call for call in calls if call["id"] == call_id), None)

    def _replace(self, messages: list[Message]) -> None:
        """Take the server's word for the conversation; reasoning it does not mention is kept."""
        told = {message["id"]: copy.deepcopy(message) for message in messages}
        says_reasoning = any(message["role"] == "reasoning" for message in messages)
        kept = [
            told.pop(message["id"], message)
            for message in self.messages
            if message["id"] in told or (message["role"] == "reasoning" and not says_reasoning)
        ]
        self.messages = [*kept, *told.values()]

    def _begin(self, event: dict[str, Any], role: str) -> None:
        message = self._find(event["messageId"])
        if message is None:
            message = {"id": event["messageId"], "role": role, "content": "", **_attribution(event)}
            self.messages.append(message)
        _merge_metadata(message, event)

    def _tool_call(self, event: dict[str, Any]) -> None:
        if existing := self._find_call(event["toolCallId"]):
            existing["function"]["name"] = event["toolCallName"]
            return
        parent_id = event.get("parentMessageId")
        owner: Message | None = self._find(parent_id) if parent_id else None
        if owner is None or owner["role"] != "assistant":
            owner_id = parent_id if parent_id and owner is None else event["toolCallId"]
            owner = {"id": owner_id, "role": "assistant", **_attribution(event)}
            self.messages.append(owner)
        calls: list[dict[str, Any]] = owner.setdefault("toolCalls", [])
        call = {
            "id": event["toolCallId"],
            "type": "function",
            "function": {"name": event["toolCallName"], "arguments": ""},
        }
        calls.append(call)

    def _tool_result(self, event: dict[str, Any]) -> None:
        message = {
            "id": event["messageId"],
            "toolCallId": event["toolCallId"],
            "role": "tool",
            "content": event["content"],
            **_attribution(event),
        }
        _merge_metadata(message, event)
        owners = (
            place
            for place, candidate in enumerate(self.messages)
            if any(call["id"] == event["toolCallId"] for call in candidate.get("toolCalls", ()))
        )
        at = next(owners, None)
        if at is None:
            self.messages.append(message)
            return
        at += 1
        while at < len(self.messages) and self.messages[at]["role"] == "tool":
            at += 1
        self.messages.insert(at, message)


def _attribution(event: dict[str, Any]) -> dict[str, str]:
    return {"subagentRunId": event["subagentRunId"]} if "subagentRunId" in event else {}


def _merge_metadata(message: Message | None, event: dict[str, Any]) -> None:
    if message is not None and "metadata" in event:
        message["metadata"] = message.get("metadata", {}) | copy.deepcopy(event["metadata"])
