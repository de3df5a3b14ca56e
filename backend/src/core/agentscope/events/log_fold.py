"""Reads the log of one run in pages, and keeps what the events so far add up to: messages, state, open items.

Every page is small, so a caller can let the event loop go on between two of them. The log of a run only grows: what was
read once stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.wire_state import RunWireState, follow_log
from core.agentscope.schemas.agent_runtime import AgUiWireEvent

PAGE_EVENTS = 500
"""Events of a page: about 5 ms of the event loop."""
PAGE_BYTES = 1 << 20
"""A page ends with the event that reaches this size, or earlier."""

_PAGE = text("""
SELECT seq, payload FROM (
    SELECT seq, payload, sum(octet_length(payload)) OVER (ORDER BY seq) - octet_length(payload) AS bytes_before
    FROM (
        SELECT seq, payload FROM agent_run_event
        WHERE session_id = :session_id AND ordinal = :ordinal AND seq > :after
            AND log_part >= coalesce(
                (SELECT log_part FROM agent_run WHERE session_id = :session_id AND ordinal = :ordinal), 0)
        ORDER BY seq LIMIT :limit
    ) AS following
) AS page WHERE bytes_before < :max_bytes ORDER BY seq
""")


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event of a run's log."""

    seq: int
    payload: str


class LogFold:
    """What the events of one run add up to, up to ``seq``.

    Args:
        wire: Follows what the events open and close, if given.
    """

    def __init__(self, wire: RunWireState | None = None) -> None:
        self.seq = 0
        """The newest event taken in."""
        self.size = 0
        """Bytes of all events taken in."""
        self.fold = HistoryFold()
        self._wire = wire

    def extend(self, page: Sequence[LoggedEvent]) -> None:
        """Take in the events that come next."""
        for logged in page:
            event = AgUiWireEvent.from_json(logged.payload)
            self.fold.apply(event)
            if self._wire is not None:
                follow_log(self._wire, event)
            self.seq = logged.seq
            self.size += len(logged.payload.encode())


async def log_page(
    connection: AsyncConnection, session_id: int, ordinal: int, *, after: int
) -> list[LoggedEvent]:
    """Return the next events of a run, oldest first; empty at the end of its log."""
    return await connection.run_sync(read_log_page, session_id, ordinal, after)


def read_log_page(connection: Connection, session_id: int, ordinal: int, after: int) -> list[LoggedEvent]:
    """Return the next events of a run, for code that runs synchronously."""
    rows = connection.execute(
        _PAGE,
        {
            "session_id": session_id,
            "ordinal": ordinal,
            "after": after,
            "limit": PAGE_EVENTS,
            "max_bytes": PAGE_BYTES,
        },
    )
    return [LoggedEvent(row.seq, row.payload) for row in rows]
