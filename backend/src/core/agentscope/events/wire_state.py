"""What one run's stream has open, who opened it, and which ids are used up. The codec keeps it; a log can rebuild it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.agentscope.events.event_types import EVENT_TYPES, Thing
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import AgUiWireEvent


@dataclass(slots=True)
class RunWireState:
    """What one run's stream has open. Made once a run; ``to_agui_wire`` keeps it true."""

    thread_id: str
    run_id: str
    started: bool = False
    ended: bool = False
    steps: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasonings: list[str] = field(default_factory=list)
    tool_calls: dict[str, list[str]] = field(default_factory=dict)
    """Open tool calls with the argument text so far."""
    subagents: list[str] = field(default_factory=list)
    """Open subagents, oldest first."""
    owners: dict[str, str] = field(default_factory=dict)
    """The subagent that opened a message, a tool call or a step; the agent's own are not listed."""
    used_ids: set[str] = field(default_factory=set)
    """Messages and tool calls that were opened in this run."""
    parents: set[str] = field(default_factory=set)
    """Messages that carry tool calls. A client makes such a message when nothing else has begun it."""
    answered: set[str] = field(default_factory=set)
    """Tool calls that have their result."""
    interrupts: list[internal.InterruptRequested] = field(default_factory=list)
    usage: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def own(self, item: str, subagent: str | None) -> None:
        """Note who opened an item."""
        # A step's name comes again; then it belongs to whoever starts it now.
        if subagent is None:
            self.owners.pop(item, None)
        else:
            self.owners[item] = subagent

    def due(self, items: Iterable[str], owner: str | None) -> list[str]:
        """Return items in the order they are closed in, innermost first: all, or those a subagent opened."""
        return [item for item in items if owner is None or self.owners.get(item) == owner][::-1]

    def open(self, thing: Thing, item: str) -> None:
        """Note that an item is open. A step's name may come again; every other id is used up."""
        if thing == "tool_call":
            self.tool_calls[item] = []
        else:
            self._open(thing).append(item)
        if thing != "step":
            self.used_ids.add(item)

    def close(self, thing: Thing, item: str) -> None:
        """Note that an open item is closed.

        Raises:
            KeyError, ValueError: It is not open.
        """
        if thing == "tool_call":
            del self.tool_calls[item]
        else:
            self._open(thing).remove(item)

    def _open(self, thing: Thing) -> list[str]:
        return {
            "text": self.texts,
            "reasoning": self.reasonings,
            "step": self.steps,
            "subagent": self.subagents,
        }[thing]


def follow_log(state: RunWireState, event: AgUiWireEvent) -> None:
    """Note what the next stored event of the log opens and closes."""
    row, body = EVENT_TYPES.get(event.type), event.body
    if row is None:
        # A newer worker's event, read by an older process during a deploy.
        return
    item = row.item_of(body)
    if row.attribution == "opener":
        state.own(item, body.get("subagentRunId"))
    if row.opens:
        state.open(row.opens, item)
    if row.closes:
        state.close(row.closes, item)
    if row.terminal:
        state.ended = True
    match event.type:
        case "RUN_STARTED":
            state.started = True
        case "TOOL_CALL_START" if parent := body.get("parentMessageId"):
            state.parents.add(parent)
        case "TOOL_CALL_ARGS":
            state.tool_calls[item].append(body["delta"])
        case "TOOL_CALL_RESULT":
            state.answered.add(item)
            state.used_ids.add(body["messageId"])
        case _:
            pass
