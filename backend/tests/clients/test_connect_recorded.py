"""The official client connects at every moment of every recorded run, and then holds what history says.

The streams are prepared here and played inside one Node process, so that all moments can be tried. Against the running
service: ``test_stock_clients.py``. The same without Node: ``tests/unit/core/agentscope/events/test_connect.py``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import installed
from tests.support.connecting import (
    ORDINAL,
    RecordedRun,
    RecordedThread,
    connect,
    peer,
    recorded_runs,
)
from tests.support.node_project import NodeProgram
from tests.support.recorded_streams import recordings

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.peer_version import older_message
from core.agentscope.events.sse import frame, frames_of

pytestmark = pytest.mark.slow


@pytest.fixture
def connecting(version: str) -> Iterator[NodeProgram]:
    """An official client that connects to prepared streams."""
    with installed(Path(__file__).parent).start("connected.mjs", version) as program:
        yield program


async def test_at_every_moment_of_every_recorded_run(
    connecting: NodeProgram, version: str, tmp_path: Path
) -> None:
    path = tmp_path / "streams.json"
    runs = list(recorded_runs(recordings()))
    entries = [entry for run in runs async for entry in _moments(run, version)]
    path.write_text(json.dumps(entries))

    report = connecting.ask(str(path))

    assert report["different"] == [], json.dumps(report["different"])
    assert report["count"] == sum(len(run.payloads) + 1 for run in runs)


async def _moments(run: RecordedRun, version: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the stream for each moment of a run, with what the client should hold at its end."""
    vocabulary = peer("1.0" if version == "1.0.0" else None)
    held = run.held()
    length = len(run.payloads)
    at_end = RecordedThread(run, held[-1], length)
    for seen in range(length + 1):
        start = await connect(RecordedThread(run, held[seen], seen))
        tail = [
            frame(await vocabulary.fit(Envelope(ORDINAL, seq, run.payloads[seq - 1])))
            for seq in range(start.cursor.seq + 1, length + 1)
        ]
        body = await frames_of(start, vocabulary) + b"".join(tail if start.follows else [])
        state = held[-1].state
        yield {
            "name": f"{run.name} after {seen} events",
            "body": body.decode(),
            "messages": [
                message if version == "1.0.0" else older_message(message) for message in held[-1].messages
            ],
            # A client that was never given a state holds {}.
            "state": {} if state is None else state,
            "pendingInterrupts": at_end.pending,
        }
