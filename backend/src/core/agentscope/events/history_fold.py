"""Folds AG-UI events into the messages a client holds after seeing them.

The same reducer serves a finished run, a run that still streams and a run whose
worker was lost, so history always equals the fold of the log.

Source: the default reducer of ``@ag-ui/client`` 1.0.0 (``apply/default.ts``).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import jsonpatch
from jsonpatch import JsonPatchException
from jsonpointer import JsonPointerException

from core.agentscope.schemas.agent_runtime import AgUiWireEvent


class HistoryFold:
    """The messages of one run, as a client builds them from its events.

    A result whose tool call belongs to an earlier run comes first: its place is
    right behind that run's messages (see ``leading_results``).
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._texts: dict[str, list[str]] = {}
        """Pieces of growing contents; joined when asked for, so a delta costs O(1)."""
        self._arguments: dict[str, tuple[dict[str, Any], list[str]]] = {}
        self._by_id: dict[str, dict[str, Any]] = {}
        self._open: set[str] = set()
        self.state_changed: bool = False
        self.state: Any = None

    def apply(self, event: AgUiWireEvent) -> None:
        """Take in one event; those that build no message are ignored."""
        body = event.body
        match event.type:
            case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
                self._text(body["messageId"]).append(body["delta"])
            case "TOOL_CALL_ARGS":
                self._arguments[body["toolCallId"]][1].append(body["delta"])
            case "TEXT_MESSAGE_START":
                self._begin(body, body.get("role", "assistant"))
            case "REASONING_MESSAGE_START":
                self._begin(body, "reasoning")
            case "TEXT_MESSAGE_END" | "REASONING_MESSAGE_END":
                self._open.discard(body["messageId"])
                if metadata := body.get("metadata"):
                    self._by_id[body["messageId"]].setdefault("metadata", {}).update(metadata)
            case "TOOL_CALL_START":
                self._tool_call(body)
            case "TOOL_CALL_RESULT":
                self._tool_result(body)
            case "REASONING_ENCRYPTED_VALUE":
                self._encrypted(body)
            case "STATE_SNAPSHOT":
                self.state, self.state_changed = body["snapshot"], True
            case "STATE_DELTA":
                self._patch_state(body["delta"])
            case _:
                pass

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the messages as they stand; they are the caller's."""
        for message_id, pieces in self._texts.items():
            if len(pieces) > 1:
                pieces[:] = ["".join(pieces)]
            self._by_id[message_id]["content"] = pieces[0]
        for call, pieces in self._arguments.values():
            if len(pieces) > 1:
                pieces[:] = ["".join(pieces)]
            call["function"]["arguments"] = pieces[0] if pieces else ""
        return copy.deepcopy(self.messages)

    def _encrypted(self, body: dict[str, Any]) -> None:
        if body["subtype"] == "message":
            owner = self._by_id.get(body["entityId"])
        else:
            owner, _ = self._arguments.get(body["entityId"], (None, None))
        if owner is not None:
            owner["encryptedValue"] = body["encryptedValue"]

    def _patch_state(self, delta: list[dict[str, Any]]) -> None:
        try:
            self.state = jsonpatch.apply_patch(self.state, delta)
            self.state_changed = True
        except (JsonPatchException, JsonPointerException, TypeError):
            # As the client does: a patch that does not fit changes nothing.
            return

    def _begin(self, body: dict[str, Any], role: str) -> None:
        message_id = body["messageId"]
        self._open.add(message_id)
        if message_id not in self._by_id:
            self._add({"id": message_id, "role": role, "content": "", **_attribution(body)})

    def _text(self, message_id: str) -> list[str]:
        # Only what is said makes a content: a message that a tool call has made may have none.
        return self._texts.setdefault(message_id, [self._by_id[message_id].get("content", "")])

    def _add(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._by_id[message["id"]] = message

    def _tool_call(self, body: dict[str, Any]) -> None:
        owner_id = body.get("parentMessageId") or body["toolCallId"]
        owner: dict[str, Any] | None = self._by_id.get(owner_id)
        if owner is None or owner["role"] != "assistant":
            owner = {
                "id": owner_id if owner is None else body["toolCallId"],
                "role": "assistant",
                **_attribution(body),
            }
            self._add(owner)
        call: dict[str, Any] = {
            "id": body["toolCallId"],
            "type": "function",
            "function": {"name": body["toolCallName"], "arguments": ""},
        }
        calls: list[dict[str, Any]] = owner.setdefault("toolCalls", [])
        calls.append(call)
        self._arguments[body["toolCallId"]] = (call, [])

    def _tool_result(self, body: dict[str, Any]) -> None:
        message = {
            "id": body["messageId"],
            "toolCallId": body["toolCallId"],
            "role": "tool",
            "content": body["content"],
            **_attribution(body),
        }
        if metadata := body.get("metadata"):
            message["metadata"] = dict(metadata)
        self._by_id[message["id"]] = message
        # Right behind the owner and the results it already has. Without the owner in this
        # run (a resumed call) that place is before everything this run said.
        at = next(
            (
                index + 1
                for index, candidate in enumerate(self.messages)
                if any(call["id"] == body["toolCallId"] for call in candidate.get("toolCalls", ()))
            ),
            0,
        )
        while at < len(self.messages) and self.messages[at]["role"] == "tool":
            at += 1
        self.messages.insert(at, message)


def leading_results(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results of an earlier run's tool calls: what a run's messages begin with."""
    return list(itertools.takewhile(lambda message: message["role"] == "tool", messages))


def _attribution(body: dict[str, Any]) -> dict[str, Any]:
    return {"subagentRunId": body["subagentRunId"]} if "subagentRunId" in body else {}


def fold(events: Iterable[AgUiWireEvent]) -> list[dict[str, Any]]:
    """Return the messages a client holds after the events of one run."""
    folding = HistoryFold()
    for event in events:
        folding.apply(event)
    return folding.snapshot()
