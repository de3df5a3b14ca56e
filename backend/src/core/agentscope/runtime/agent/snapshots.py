"""How a run shows the whole conversation: the ``MESSAGES_SNAPSHOT`` events at its start. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.agentscope.schemas.internal_events import MessagesSnapshot


def snapshots(history: Sequence[dict[str, Any]], *, anew: bool) -> list[MessagesSnapshot]:
    """Return the snapshots that bring a client's copy up to date, to be shown one right after the other.

    Args:
        history: The thread's messages with the run's own new ones; empty when none is to be shown.
        anew: The copy is emptied first, so that everything comes in its order.
    """
    if not history:
        return []
    whole = MessagesSnapshot(messages=tuple(history))
    if not anew:
        return [whole]
    empty: tuple[dict[str, Any], ...] = ()
    if any(message["role"] == "reasoning" for message in history):
        # The official client keeps its own reasoning messages unless a snapshot contains one. So the
        # emptying snapshot contains one, under the id of the first message. The next snapshot replaces it.
        empty = ({"id": history[0]["id"], "role": "reasoning", "content": ""},)
    return [MessagesSnapshot(messages=empty), whole]
