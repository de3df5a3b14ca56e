"""What this service knows about each AG-UI event type that it writes: one row a type.

The codec, the writer, the pipeline, the readers and the vocabulary before 1.0 read
this table; a new event is a new row. Members are AG-UI's, in wire form. Types that
are never written (chunks, activities, ``RAW``) have no row.

Source: AG-UI 1.0; ``tests/unit/core/agentscope/events/test_event_types.py`` compares
the rows with the official models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Thing = Literal["text", "reasoning", "tool_call", "step", "subagent"]
"""What a stream can have open."""

Attribution = Literal["nobody", "opener", "item", "speaker"]
"""Which subagent ``subagentRunId`` names:

* ``nobody``: none, for an event of the run, or an event that names its subagent itself.
* ``opener``: the emitter of the event, which becomes the owner of the item.
* ``item``: the owner of the item.
* ``speaker``: the emitter of the event, except for an item that this run opened.
"""


@dataclass(frozen=True, slots=True)
class EventType:
    """The properties of one AG-UI event type."""

    attribution: Attribution
    item: str | None = None
    """The member that names what the event is about."""
    opens: Thing | None = None
    closes: Thing | None = None
    growing: bool = False
    """Its ``delta`` continues the item: neighbours of one item merge, and it waits for the next flush."""
    first_token: bool = False
    """The first event of such a type in a run ends the time to the first token (``ttftMs``)."""
    terminal: bool = False
    """The last event of a run."""
    differs_before_1_0: bool = False
    """A member can have a form that clients before 1.0 refuse (``peer_version.py``)."""
    custom_before_1_0: str | None = None
    """Clients before 1.0 do not know the type: they get a ``CUSTOM`` event of this name."""

    def item_of(self, body: Mapping[str, Any]) -> str:
        """Return the id of what an event is about; empty when it is about nothing in particular."""
        return "" if self.item is None else body[self.item]


_SUBAGENT: Final = "agentroute.subagent"

EVENT_TYPES: Final[dict[str, EventType]] = {
    # run and steps
    "RUN_STARTED": EventType("nobody"),
    "RUN_FINISHED": EventType("nobody", terminal=True, differs_before_1_0=True),
    "RUN_ERROR": EventType("nobody", terminal=True),
    "STEP_STARTED": EventType("opener", "stepName", opens="step"),
    "STEP_FINISHED": EventType("item", "stepName", closes="step"),
    # text and reasoning; a reasoning's span and its message share their id
    "TEXT_MESSAGE_START": EventType("opener", "messageId", opens="text"),
    "TEXT_MESSAGE_CONTENT": EventType("item", "messageId", growing=True, first_token=True),
    "TEXT_MESSAGE_END": EventType("item", "messageId", closes="text"),
    "REASONING_START": EventType("opener", "messageId"),
    "REASONING_MESSAGE_START": EventType("opener", "messageId", opens="reasoning"),
    "REASONING_MESSAGE_CONTENT": EventType("item", "messageId", growing=True, first_token=True),
    "REASONING_MESSAGE_END": EventType("item", "messageId", closes="reasoning"),
    "REASONING_END": EventType("item", "messageId"),
    "REASONING_ENCRYPTED_VALUE": EventType("item", "entityId"),
    # tools
    "TOOL_CALL_START": EventType("opener", "toolCallId", opens="tool_call", first_token=True),
    "TOOL_CALL_ARGS": EventType("item", "toolCallId", growing=True),
    "TOOL_CALL_END": EventType("item", "toolCallId", closes="tool_call"),
    "TOOL_CALL_RESULT": EventType("speaker", "toolCallId"),
    # subagents
    "SUBAGENT_STARTED": EventType("nobody", "subagentRunId", opens="subagent", custom_before_1_0=_SUBAGENT),
    "SUBAGENT_FINISHED": EventType("nobody", "subagentRunId", closes="subagent", custom_before_1_0=_SUBAGENT),
    "SUBAGENT_ERROR": EventType("nobody", "subagentRunId", closes="subagent", custom_before_1_0=_SUBAGENT),
    # the rest
    "STATE_SNAPSHOT": EventType("speaker"),
    "STATE_DELTA": EventType("speaker"),
    "MESSAGES_SNAPSHOT": EventType("nobody", differs_before_1_0=True),
    "CUSTOM": EventType("speaker"),
}

TERMINAL_TYPES: Final = frozenset(name for name, row in EVENT_TYPES.items() if row.terminal)
FIRST_TOKEN_TYPES: Final = frozenset(name for name, row in EVENT_TYPES.items() if row.first_token)
AFFECTED_BEFORE_1_0: Final = frozenset(
    name for name, row in EVENT_TYPES.items() if row.differs_before_1_0 or row.custom_before_1_0
)


def prefixes(types: frozenset[str]) -> tuple[bytes, ...]:
    """Return how stored events of these types begin: the codec writes ``type`` first, so bytes tell a type."""
    return tuple(b'{"type":"%s"' % name.encode() for name in sorted(types))
