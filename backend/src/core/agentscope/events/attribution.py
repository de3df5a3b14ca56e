"""Determines to which subagent an event belongs: the one that opened the item, whoever closes it."""

from __future__ import annotations

from typing import Any

from core.agentscope.events.event_types import EVENT_TYPES
from core.agentscope.events.wire_state import RunWireState


def attribute(body: dict[str, Any], subagent: str | None, state: RunWireState) -> None:
    """Put ``subagentRunId`` on an event of a subagent; leave the agent's own without.

    Args:
        body: The event, changed in place.
        subagent: Who says it; ``None`` is the agent itself.
        state: Who opened what; an event that opens an item is noted there.
    """
    row = EVENT_TYPES[body["type"]]
    if row.attribution == "nobody" or (subagent is None and not state.owners):
        return
    item = row.item_of(body)
    match row.attribution:
        case "opener":
            state.own(item, subagent)
            if state.owners.get(body.get("parentMessageId", "")) != subagent:
                # A tool call belongs to the message that carries it; another's message cannot.
                body.pop("parentMessageId", None)
        case "item":
            subagent = state.owners.get(item)
        case "speaker":
            if item in state.used_ids:
                subagent = state.owners.get(item)
    if subagent is not None:
        body["subagentRunId"] = subagent
