"""An event with its place in the thread, as readers get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.agentscope.events.event_types import TERMINAL_TYPES, prefixes
from core.agentscope.schemas.cursor import Cursor

_TERMINAL = prefixes(TERMINAL_TYPES)


class Envelope(NamedTuple):
    """``payload`` is the stored JSON of one AG-UI event, the same bytes for every reader."""

    ordinal: int
    seq: int
    payload: bytes

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.ordinal, self.seq)

    @property
    def is_terminal(self) -> bool:
        return self.payload.startswith(_TERMINAL)


def first_bytes(envelopes: Sequence[Envelope], max_bytes: int) -> list[Envelope]:
    """Return the first events, up to and with the one that reaches ``max_bytes``."""
    size = 0
    for count, envelope in enumerate(envelopes, start=1):
        size += len(envelope.payload)
        if size >= max_bytes:
            return list(envelopes[:count])
    return list(envelopes)
