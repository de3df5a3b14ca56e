"""What a run was asked, for those who follow its thread: messages of other devices, and what they replace.

The log has no user messages: the client that sends one holds it already. The other devices of the user do not. So a
stream that follows a whole thread tells them behind each ``RUN_STARTED``, as a ``CUSTOM`` event. The event is not in the
log and has no id. A client that was cut off right behind ``RUN_STARTED`` is told again when it comes back. See
docs/adr/0045.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from core.agentscope.events.peer_version import older_message
from core.agentscope.events.store import EventStore

INPUT_EVENT = "agentroute.input"
_KEPT = 256
"""Runs whose frames are kept: many devices may follow one thread, and all are told in the same moment."""
_KEPT_BYTES = 1 << 16
"""Larger frames are made again for each stream."""


class RunInputs:
    """Tells what the runs of threads were asked. All who ask about a run in the same moment share one look.

    Args:
        store: Reads the requests.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._looks: dict[tuple[int, int], asyncio.Task[bytes]] = {}

    async def frame(self, session_id: int, ordinal: int) -> bytes:
        """Return the frame of a run's input; empty if it brought no message, or is no longer kept.

        Raises:
            Overloaded: Too many streams read.
        """
        key = (session_id, ordinal)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(self._look(session_id, ordinal))
            # Of the look, not of those who wait: all of them may be gone when it ends.
            look.add_done_callback(partial(self._keep, key))
            if len(self._looks) > _KEPT:
                del self._looks[next(iter(self._looks))]
        # Shielded: one who leaves takes the answer from nobody.
        return await asyncio.shield(look)

    def _keep(self, key: tuple[int, int], look: asyncio.Task[bytes]) -> None:
        """Forget a look that has failed, or found much."""
        good = not look.cancelled() and look.exception() is None and len(look.result()) <= _KEPT_BYTES
        if not good and self._looks.get(key) is look:
            del self._looks[key]

    async def _look(self, session_id: int, ordinal: int) -> bytes:
        row = await self._store.find_input(session_id, ordinal)
        if row is None:
            return b""
        return input_frame(row["run_id"], row["input"], row["protocol_version"], row["created_at"])


def input_frame(run_id: str, request: str, protocol_version: str | None, created_at: datetime) -> bytes:
    """Return the frame that tells what a run was asked; empty if there is nothing to tell.

    Args:
        run_id: The run.
        request: JSON text: the request as its run reads it, ``{}`` when it is no longer kept.
        protocol_version: Of the client that started the run; ``None`` is one before 1.0.
        created_at: When the run was accepted.
    """
    asked: dict[str, Any] = orjson.loads(request)
    messages: list[dict[str, Any]] = asked.get("messages") or []
    replaced = (asked.get("forwardedProps") or {}).get("regenerateFrom")
    if not messages and replaced is None:
        return b""
    if protocol_version is None:
        messages = [older_message(message) for message in messages]
    value: dict[str, Any] = {"runId": run_id, "messages": messages}
    if replaced is not None:
        value["regenerateFrom"] = replaced
    timestamp = int(created_at.timestamp() * 1000)
    event = {"type": "CUSTOM", "name": INPUT_EVENT, "value": value, "timestamp": timestamp}
    return b"data: %b\n\n" % orjson.dumps(event)
