"""An event with its place in the thread, as readers get it."""

from __future__ import annotations

from typing import NamedTuple

from core.agentscope.schemas.cursor import Cursor

_TERMINAL_PREFIXES = (b'{"type":"RUN_FINISHED"', b'{"type":"RUN_ERROR"')


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
        # The codec writes `type` first, so the bytes tell without parsing them.
        return self.payload.startswith(_TERMINAL_PREFIXES)
