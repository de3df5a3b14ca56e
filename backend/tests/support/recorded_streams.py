"""Recorded streams: what the runtime said in a run, and every byte that clients got for it.

A recording is a file of ``tests/recorded/streams``. Its ``events`` are the input, ``InternalRuntimeEvent``s as
JSON; its other members are what the code made of them. See ``tests/recorded/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.history_fold import fold
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.sse import frame
from core.agentscope.events.wire_state import RunWireState, follow_log
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.agentscope.schemas.internal_events import RunFailed, internal_event_adapter

STREAMS = Path(__file__).parents[1] / "recorded" / "streams"
_ORDINAL = 3
_FIRST_MS = 1_780_000_000_000
"""Unix time of a run's first event; each later one comes seven milliseconds after the one before."""
_THREAD, _RUN = "t-1", "r-1"


@dataclass(frozen=True)
class Recording:
    """One file: its name, the events of its run, and what was recorded of them."""

    name: str
    events: list[InternalRuntimeEvent]
    content: dict[str, Any]


def state_from_log(thread_id: str, run_id: str, events: Iterable[AgUiWireEvent]) -> RunWireState:
    """Rebuild what a run's stream has open from its stored events."""
    state = RunWireState(thread_id, run_id)
    for event in events:
        follow_log(state, event)
    return state


def recordings() -> list[Recording]:
    """Return every recording, by name."""
    return [_read(path) for path in sorted(STREAMS.glob("*.json"))]


def _read(path: Path) -> Recording:
    content = json.loads(path.read_text())
    events = [internal_event_adapter.validate_python(event, strict=False) for event in content["events"]]
    return Recording(path.stem, events, content)


async def play(recording: Recording) -> dict[str, Any]:
    """Return what a recording would hold if it were made now.

    ``frames`` is what a client of AG-UI 1.0 reads, ``older_frames`` what a client before it reads instead of some
    of them, ``messages`` what history shows. ``lost_after`` closes the stream by its stored events, as for a worker that was lost
    half-way.
    """
    wire = _encoded(recording.events)
    half = _encoded(recording.events[: len(recording.events) // 2])
    frames, older = await _frames(wire, "1.0"), await _frames(wire, None)
    return {
        "events": recording.content["events"],
        "frames": frames,
        "older_frames": [frame for newer, frame in zip(frames, older, strict=True) if frame != newer],
        "messages": fold(wire),
        "lost_after": {"events": len(half), "frames": await _frames(_closed(half), "1.0", len(half))},
    }


def record(recording: Recording, content: dict[str, Any]) -> None:
    """Write a recording anew; its events stay."""
    members = ",\n".join(f'"{name}": {_lines(member)}' for name, member in content.items())
    (STREAMS / f"{recording.name}.json").write_text(f"{{\n{members}\n}}\n")


def _lines(value: Any) -> str:
    """Return JSON with an item a line, so that a change can be read in a diff."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


def _encoded(events: list[InternalRuntimeEvent]) -> list[AgUiWireEvent]:
    state = RunWireState(_THREAD, _RUN)
    return [
        item
        for number, event in enumerate(events)
        for item in to_agui_wire(event, state, timestamp_ms=_FIRST_MS + 7 * number)
    ]


def _closed(stored: list[AgUiWireEvent]) -> list[AgUiWireEvent]:
    """Return the events that end a run whose stored events are these."""
    state = state_from_log(_THREAD, _RUN, [AgUiWireEvent.from_json(event.to_json()) for event in stored])
    lost = RunFailed(code="worker-lost", message="The worker was lost.")
    return to_agui_wire(lost, state, timestamp_ms=_FIRST_MS)


async def _frames(wire: list[AgUiWireEvent], version: str | None, after: int = 0) -> list[str]:
    async def version_of(_ordinal: int) -> str | None:
        return version

    versions = PeerVersions(version_of)
    envelopes = [
        Envelope(_ORDINAL, after + place, event.to_json().encode()) for place, event in enumerate(wire, 1)
    ]
    return [frame(await versions.fit(envelope)).decode() for envelope in envelopes]
