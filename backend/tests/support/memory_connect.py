"""The opening of connect streams over a thread in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.support.connecting import messages_of, structure_of
from tests.support.memory_thread import MemoryRun, MemoryThread

from core.agentscope.events.connect import ConnectRequest, LoggedRun, Peer, Start, start_of
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reopening import RunStructure
from core.agentscope.events.sse import frames_of
from core.agentscope.schemas.agent_runtime import HistorySnapshotResponse
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.links import history_url
from core.errors import CursorAhead, NotFound


async def open_connect(
    thread: MemoryThread | None, history: HistorySnapshotResponse | None, request: ConnectRequest
) -> tuple[Start, bytes]:
    """Return how a connect stream starts, and the frames of its opening.

    Raises:
        NotFound, CursorAhead: As ``EventsFacade.connect``.
    """
    start = await start_of(_Source(thread, history), request, timestamp_ms=1)
    placed = thread.placed if thread else []
    run = placed[start.ordinal - 1] if 0 < start.ordinal <= len(placed) else None
    if start.follows and run is None and thread is None:
        raise NotFound("No such thread.")
    if start.follows and (run is None or start.cursor.seq > max(len(run.events), 1)):
        raise CursorAhead("No event has this cursor.", historyUrl=history_url(request.thread_id))
    peer = request.peer or Peer(run.command.protocol_version if run else "1.0")
    versions = PeerVersions(_no_lookup, {start.ordinal: peer.protocol_version})
    return start, await frames_of(start, versions)


async def once(opening: bytes) -> AsyncIterator[bytes]:
    """Yield an opening that nothing follows."""
    yield b"retry: 2000\n\n" + opening


async def _no_lookup(ordinal: int) -> str | None:
    raise AssertionError(ordinal)


class _Source:
    """``ConnectSource``: what the opening of one thread is made of; without a thread, nothing."""

    def __init__(self, thread: MemoryThread | None, history: HistorySnapshotResponse | None) -> None:
        self._thread = thread
        self._history = history

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        return self._history

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        placed = self._thread.placed if self._thread else []
        return _logged(placed[ordinal - 1]) if ordinal <= len(placed) else None

    async def find_asking_run(self) -> LoggedRun | None:
        asked = self._thread.open_interrupts if self._thread else []
        return _logged(asked[-1].run) if asked else None

    async def structure(self, upto: Cursor) -> RunStructure:
        return structure_of(self._events(upto))

    async def messages(self, upto: Cursor) -> list[dict[str, Any]]:
        return messages_of(self._events(upto))

    def _events(self, upto: Cursor) -> list[bytes]:
        assert self._thread is not None
        frames = self._thread.placed[upto.ordinal - 1].events[: upto.seq]
        return [frame.split(b"\ndata: ", 1)[1].rstrip(b"\n") for frame in frames]


def _logged(run: MemoryRun) -> LoggedRun:
    return LoggedRun(run.ordinal or 0, run.run_id, run.status, len(run.events), run.error_code)
