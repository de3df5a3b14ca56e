"""What an agent shows beside text: media of its model, and events of its own middlewares."""

from __future__ import annotations

import json
from typing import Any

import orjson
from agentscope import event as agentscope

from core.agentscope.schemas.internal_events import CustomEvent
from core.text import clean_json, depth_of

_DEEPEST = 250
"""Levels of objects and lists. orjson writes 254, and an event has a few of its own."""
DATA_EVENT = "agentroute.data"
"""Media that the model wrote. The value has ``messageId``, ``blockId``, ``mediaType``, ``name`` if there is one, and one of:

* ``url``;
* ``data``: a list of pieces in the order in which the model wrote them. Each is base64 of its own: decode, then join;
* ``omittedBytes``: the size of media that are larger than an event may be.
"""


class OpenMedia:
    """The media blocks that the model has begun to write.

    Args:
        max_bytes: Largest content that an event carries.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun: dict[str, dict[str, Any]] = {}
        self._data: dict[str, list[str]] = {}

    def take(
        self,
        event: agentscope.DataBlockStartEvent | agentscope.DataBlockDeltaEvent | agentscope.DataBlockEndEvent,
        message_id: str,
    ) -> list[CustomEvent]:
        """Take in a block's event; its end returns the event that shows it."""
        match event:
            case agentscope.DataBlockStartEvent():
                named = {} if event.name is None else {"name": event.name}
                self._begun[event.block_id] = {
                    "messageId": message_id,
                    "blockId": event.block_id,
                    "mediaType": event.media_type,
                    **named,
                }
            case agentscope.DataBlockDeltaEvent():
                if event.url is not None:
                    self._begun.setdefault(event.block_id, {"mediaType": event.media_type})["url"] = event.url
                self._data.setdefault(event.block_id, []).append(event.data or "")
            case agentscope.DataBlockEndEvent():
                return self._shown(event.block_id)
        return []

    def _shown(self, block_id: str) -> list[CustomEvent]:
        value, pieces = self._begun.pop(block_id, None), self._data.pop(block_id, [])
        if value is None:
            return []
        size = sum(len(piece) for piece in pieces)
        # Each piece is encoded on its own, so they are not joined.
        if size > self._max_bytes:
            value["omittedBytes"] = size * 3 // 4
        elif size:
            value["data"] = [piece for piece in pieces if piece]
        return [CustomEvent(name=DATA_EVENT, value=value)]


def own_event(event: agentscope.CustomEvent, max_bytes: int) -> CustomEvent:
    """Return an event of a user's middleware, without its value if that is too large, or nested too deeply to write."""
    value = clean_json(event.value)
    too_deep = depth_of(value) > _DEEPEST
    size = len(json.dumps(value, ensure_ascii=False).encode() if too_deep else orjson.dumps(value))
    if too_deep or size > max_bytes:
        value = {"omittedBytes": size}
    return CustomEvent(name=event.name, value=value)
