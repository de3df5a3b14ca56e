"""How a run shows the whole conversation: the ``MESSAGES_SNAPSHOT`` events at its start. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from core.agentscope.schemas.internal_events import CustomEvent, MessagesSnapshot

MESSAGES_OMITTED = "agentroute.messages-snapshot-omitted"
STATE_OMITTED = "agentroute.state-snapshot-omitted"


def snapshots(
    history: Sequence[dict[str, Any]], *, anew: bool, max_bytes: int
) -> list[MessagesSnapshot | CustomEvent]:
    """Return the snapshots that bring a client's copy up to date, to be shown one right after the other.

    A snapshot that is too large for an event is left out, and the client is told: the conversation must go on.

    Args:
        history: The thread's messages with the run's own new ones; empty when none is to be shown.
        anew: The copy is emptied first, so that everything comes in its order.
        max_bytes: Maximum size of the messages in an event.
    """
    if not history:
        return []
    if (size := len(orjson.dumps(history))) > max_bytes:
        return [omitted(MESSAGES_OMITTED, size, max_bytes)]
    whole = MessagesSnapshot(messages=tuple(history))
    if not anew:
        return [whole]
    empty: tuple[dict[str, Any], ...] = ()
    if any(message["role"] == "reasoning" for message in history):
        # The official client keeps its own reasoning messages unless a snapshot contains one. So the
        # emptying snapshot contains one, under the id of the first message. The next snapshot replaces it.
        empty = ({"id": history[0]["id"], "role": "reasoning", "content": ""},)
    return [MessagesSnapshot(messages=empty), whole]


def omitted(name: str, size: int, max_bytes: int) -> CustomEvent:
    """Return the event that says that a snapshot was left out. ``GET /history`` has what it would have shown."""
    return CustomEvent(name=name, value={"bytes": size, "maxBytes": max_bytes})


def snapshot_bytes(max_event_bytes: int) -> int:
    """Return how large the content of a snapshot may be, so that its event is not too large."""
    return max_event_bytes - 4096
