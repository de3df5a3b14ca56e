"""The older AG-UI vocabulary for clients that name no protocol version.

The log keeps the full vocabulary; the change happens while frames are written
and keeps every id, so cursors mean the same to old and new clients.

Source: ``@ag-ui/client`` 0.0.59 and the Dart SDK 0.3.0, which refuse what they
do not know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.event_types import AFFECTED_BEFORE_1_0, EVENT_TYPES, prefixes

ProtocolVersionOf = Callable[[int], Awaitable[str | None]]
_AFFECTED = prefixes(AFFECTED_BEFORE_1_0)


class PeerVersions:
    """Fits events to what the client that started each run understands."""

    __slots__ = ("_known", "_version_of")

    def __init__(self, version_of: ProtocolVersionOf, known: dict[int, str | None] | None = None) -> None:
        self._version_of = version_of
        self._known: dict[int, str | None] = dict(known or {})

    async def fit(self, envelope: Envelope) -> Envelope:
        """Return the event as the run's client can read it; most are returned as they are."""
        if not self.depends_on_client(envelope):
            return envelope
        ordinal = envelope.ordinal
        if ordinal not in self._known:
            self._known[ordinal] = await self._version_of(ordinal)
        if self._known[ordinal] is not None:
            return envelope
        return _older(envelope)

    def is_older(self, ordinal: int) -> bool | None:
        """Say whether the run's client names no protocol version; ``None`` if that is not known yet."""
        return self._known[ordinal] is None if ordinal in self._known else None

    @staticmethod
    def depends_on_client(envelope: Envelope) -> bool:
        """Say whether older clients may need another form of this event."""
        return envelope.payload.startswith(_AFFECTED)

    @staticmethod
    def fitted(envelope: Envelope) -> Envelope:
        """Return the event as an older client can read it."""
        return _older(envelope) if PeerVersions.depends_on_client(envelope) else envelope


def _older(envelope: Envelope) -> Envelope:
    return envelope._replace(payload=downgrade(envelope.payload))


def downgrade(payload: bytes) -> bytes:
    """Return an event in the vocabulary before 1.0."""
    body: dict[str, Any] = orjson.loads(payload)
    if (name := EVENT_TYPES[body["type"]].custom_before_1_0) is not None:
        # Unknown before 1.0, and fatal to strict decoders; as a custom event its id stays in use.
        value = {key: item for key, item in body.items() if key != "timestamp"}
        return orjson.dumps({"type": "CUSTOM", "name": name, "value": value, "timestamp": body["timestamp"]})
    if body["type"] == "MESSAGES_SNAPSHOT":
        messages = [older_message(message) for message in body["messages"]]
        return payload if messages == body["messages"] else orjson.dumps(body | {"messages": messages})
    outcome = body.get("outcome", {})
    if outcome.get("type") == "cancelled":
        older = {"type": "RUN_ERROR", "message": "The run was cancelled.", "code": "cancelled"}
        older |= {key: body[key] for key in ("timestamp", "usage") if key in body}
        return orjson.dumps(older)
    if "pendingToolCallIds" not in outcome:
        return payload
    del outcome["pendingToolCallIds"]
    return orjson.dumps(body)


def older_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in the vocabulary before 1.0: a tool's result is a string, no part is a file by its id."""
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    if message["role"] == "tool":
        return {**message, "content": "\n".join(_in_words(part) for part in content)}
    return {
        **message,
        "content": [
            {"type": "text", "text": _in_words(part)} if _is_file(part) else part for part in content
        ],
    }


def _in_words(part: Mapping[str, Any]) -> str:
    if part["type"] == "text":
        return part["text"]
    metadata = part.get("metadata")
    name = metadata.get("filename") if isinstance(metadata, dict) else None
    return f"[{part['type']}: {name}]" if isinstance(name, str) and _is_file(part) else f"[{part['type']}]"


def _is_file(part: Mapping[str, Any]) -> bool:
    return part.get("source", {}).get("type") == "file"
