"""A thread of recorded events that a client connects to, at any moment of it. See ``events/connect.py``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from tests.support.agui_reducer import AguiClient
from tests.support.internal_event_strategies import EARLIER_TOOL_CALLS
from tests.support.recorded_streams import Recording

from core.agentscope.events.connect import (
    ConnectRequest,
    LoggedRun,
    Start,
    start_of,
)
from core.agentscope.events.event_types import TERMINAL_TYPES
from core.agentscope.events.history_fold import fold
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reopening import STRUCTURE_TYPES, RunStructure
from core.agentscope.events.run_status import OUTCOME_STATUS
from core.agentscope.schemas.agent_runtime import (
    AgUiWireEvent,
    HistorySnapshotResponse,
    RunStatus,
    ThreadUsage,
)
from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.agentscope.schemas.links import events_url

THREAD, RUN, ORDINAL = "t-1", "r-1", 3
EARLIER: list[dict[str, Any]] = [
    {"id": "earlier-question", "role": "user", "content": "Pay twice."},
    {"id": "earlier-answer", "role": "assistant", "toolCalls": EARLIER_TOOL_CALLS},
]
"""What was said before the run: the calls that it may answer are in there."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that was recorded, and what a client holds that saw its first events."""

    name: str
    payloads: list[bytes]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(payload) for payload in self.payloads]

    def held(self) -> list[AguiClient]:
        """Return what a client holds that stayed, after each number of events."""
        client = AguiClient(EARLIER)
        changes = [event["type"] for event in self.events if event["type"].startswith("STATE_")]
        # The service changes only a state that it has shown before; a drawn run begins with what it may change.
        client.state = {} if changes[:1] == ["STATE_DELTA"] else None
        moments = [copy.deepcopy(client)]
        for event in self.events:
            client.see(event)
            moments.append(copy.deepcopy(client))
        return moments


def recorded_runs(recordings: Sequence[Recording]) -> Iterator[RecordedRun]:
    """Yield each recorded run, also as one whose worker was lost half-way."""
    for recording in recordings:
        frames: list[str] = recording.content["frames"]
        lost: dict[str, Any] = recording.content["lost_after"]
        yield RecordedRun(recording.name, [_payload(frame) for frame in frames])
        half = [*frames[: lost["events"]], *lost["frames"]]
        yield RecordedRun(f"{recording.name}, lost", [_payload(frame) for frame in half])


def _payload(frame: str) -> bytes:
    return frame.split("\ndata: ", 1)[1].rstrip("\n").encode()


class RecordedThread:
    """``ConnectSource`` of a thread whose newest run has said the first ``seen`` of its events."""

    def __init__(
        self, run: RecordedRun, held: AguiClient, seen: int, *, pruned: bool = False, withdrawn: bool = False
    ) -> None:
        self._run = run
        self._held = held
        self._pruned = pruned
        self._withdrawn = withdrawn
        self.seen = seen

    @property
    def last(self) -> dict[str, Any] | None:
        """The terminal event; ``None`` while the run is live."""
        event = orjson.loads(self._run.payloads[self.seen - 1]) if self.seen else {"type": ""}
        return event if event["type"] in TERMINAL_TYPES else None

    @property
    def pending(self) -> list[dict[str, Any]]:
        """The questions that are open: those of its end, unless they were withdrawn."""
        return [] if self._withdrawn else (self.last or {}).get("outcome", {}).get("interrupts", [])

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        active = {"run_id": RUN, "status": "running", "events_url": events_url(THREAD, RUN)}
        return HistorySnapshotResponse.model_validate(
            {
                "thread_id": THREAD,
                "messages": self._held.messages[-limit:],
                "state": self._held.state,
                "pending_interrupts": self.pending,
                "active_run": None if self.last else active,
                "cursor": str(Cursor(ORDINAL, self.seen)),
                "has_more": len(self._held.messages) > limit,
                "next_before": self._held.messages[-limit:][0]["id"] if self._held.messages else None,
                "usage": ThreadUsage(),
            }
        )

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        if ordinal != ORDINAL:
            return None
        last = self.last
        status: RunStatus = "running"
        if last is not None:
            failed = last["type"] == "RUN_ERROR"
            status = "failed" if failed else OUTCOME_STATUS[last["outcome"]["type"]]
        return LoggedRun(ORDINAL, RUN, status, self.seen, (last or {}).get("code"))

    async def find_asking_run(self) -> LoggedRun | None:
        return await self.find_run(ORDINAL)

    async def structure(self, upto: Cursor) -> RunStructure:
        return structure_of([] if self._pruned else self._run.payloads[: min(upto.seq, self.seen)])

    async def messages(self, upto: Cursor) -> list[dict[str, Any]]:
        return messages_of(self._run.payloads[: upto.seq])


def structure_of(payloads: Sequence[bytes]) -> RunStructure:
    """Return the structure of a run with these events."""
    told = (payload for payload in payloads if orjson.loads(payload)["type"] in STRUCTURE_TYPES)
    structure = RunStructure()
    structure.extend(told)
    return structure


def messages_of(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return what a run with these events has said."""
    return fold([AgUiWireEvent.from_json(payload) for payload in payloads])


async def connect(thread: RecordedThread, after: str | None = None) -> Start:
    """Return what a client is told first that connects to a thread, after an event of an earlier stream."""
    place = None if after is None else ConnectCursor.parse(after)
    return await start_of(thread, ConnectRequest(THREAD, after=place), timestamp_ms=7)


def peer(version: str | None) -> PeerVersions:
    """Return the vocabulary of a client."""

    async def version_of(_ordinal: int) -> str | None:
        return version

    return PeerVersions(version_of)
