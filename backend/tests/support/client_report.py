"""What a client in Node reports of a scenario, and what holds for every such report.

* No client complains: neither of a field it strips, nor of a promise that nobody caught.
* What it holds is what ``GET /history`` says, at every check.
* Every event stream is whole, valid by the protocol's validator, and the same bytes as its replay.
* A stream for a client that names no protocol version uses the older vocabulary; the Dart SDK decodes it.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
from ag_ui_validate.pytest_plugin import validate_agui
from tests.support import dart_decode
from tests.support.stack import TERMINAL, Event, Frame, parse_block

from core.agentscope.events.peer_version import older_message

_NEWER_ONLY = ('"pendingToolCallIds"', '"outcome":{"type":"cancelled"}', 'data: {"type":"SUBAGENT_')


@dataclass(frozen=True)
class RecordedStream:
    """One event stream as it came over the wire."""

    path: str
    thread_id: str
    run_id: str | None
    protocol_version: str | None
    body: str
    connects: bool = False
    """It has an opening, which is not in the log (``events/connect.py``)."""

    @cached_property
    def frames(self) -> list[Frame]:
        *blocks, rest = self.body.encode().split(b"\n\n")
        assert rest == b"", rest
        return [frame for block in blocks if (frame := parse_block(block))]

    @property
    def logged(self) -> list[Frame]:
        """The frames that are in the log: all but the opening of a stream that connects."""
        return self.frames[self._opening :]

    @property
    def _opening(self) -> int:
        return 1 + [frame.id.count(".") for frame in self.frames].index(0) if self.connects else 0

    @property
    def events(self) -> list[Event]:
        return [frame.event for frame in self.frames]

    @property
    def interrupts(self) -> list[dict[str, Any]]:
        return self.events[-1].get("outcome", {}).get("interrupts", [])

    @property
    def raw(self) -> bytes:
        """The bytes of the events, without the retry line and the heartbeats."""
        return b"".join(frame.raw for frame in self.logged)


class ClientReport:
    """The report of one scenario."""

    def __init__(self, body: dict[str, Any]) -> None:
        assert "error" not in body, body["error"]
        self._body = body
        self.streams = [
            RecordedStream(
                stream["path"],
                stream["threadId"],
                stream.get("runId"),
                stream.get("protocolVersion"),
                stream["body"],
                stream.get("connects", False),
            )
            for stream in body["streams"]
        ]

    def __getitem__(self, name: str) -> Any:
        """Return a member that the scenario added."""
        return self._body[name]

    @property
    def events(self) -> list[Event]:
        """What the client's own subscriber was shown."""
        return self._body["events"]

    @property
    def ends(self) -> list[str]:
        """How each run ended, in the client's eyes: the outcome's type or the error's code."""
        return [_end(event) for event in self.events if event["type"] in TERMINAL]

    def held(self, check: str) -> list[dict[str, Any]]:
        """The messages the client held at a check."""
        return next(entry["client"]["messages"] for entry in self._body["checks"] if entry["name"] == check)

    @property
    def roles(self) -> list[str]:
        """The roles of the messages the client held at the last check."""
        return [message["role"] for message in self._body["checks"][-1]["client"]["messages"]]

    def of(self, type_: str) -> list[Event]:
        return [event for event in self.events if event["type"] == type_]

    # --- what holds for every report

    def judge(self, http: httpx.Client, *, complaints: tuple[str, ...] = ()) -> None:
        """Check all of it.

        Args:
            http: Asks the API for replays.
            complaints: What the client is expected to complain of; each a part of one complaint, in order.
        """
        self._judge_complaints(complaints)
        self._judge_checks()
        gated = {interrupt["toolCallId"] for stream in self.streams for interrupt in stream.interrupts}
        for stream in self.streams:
            _judge_order(stream)
            _judge_validity(stream, gated)
            _judge_vocabulary(stream)
            _judge_replay(stream, http)

    def _judge_complaints(self, expected: tuple[str, ...]) -> None:
        said: list[str] = self._body["complaints"]
        assert len(said) == len(expected), said
        assert all(part in complaint for part, complaint in zip(expected, said, strict=True)), said

    def _judge_checks(self) -> None:
        for check in self._body["checks"]:
            client, history, name = check["client"], check["history"], check["name"]
            assert client["messages"] == self._in_its_words(client["messages"], history["messages"]), name
            assert client["pendingInterrupts"] == history["pendingInterrupts"], name
            # A client that was never given a state holds {} and a thread without one has none.
            assert client["state"] == ({} if history["state"] is None else history["state"]), name
            assert history["hasMore"] is False

    def _in_its_words(self, held: list[Event], told: list[Event]) -> list[Event]:
        """Return what history tells, as the client holds it: an older one may have been shown older words."""
        if any(stream.protocol_version for stream in self.streams):
            return told
        return [
            older if mine == (older := older_message(message)) else message
            for mine, message in itertools.zip_longest(held[: len(told)], told)
        ]


def _end(event: Event) -> str:
    return event["code"] if event["type"] == "RUN_ERROR" else event["outcome"]["type"]


def _judge_order(stream: RecordedStream) -> None:
    """One run (or its segments), dense cursors, the terminal event last and only there."""
    logged = stream.logged
    if stream.connects:
        opening = stream.frames[: len(stream.frames) - len(logged)]
        # The opening counts down to the place that the log goes on from. Behind RUN_STARTED it may have begun anew.
        ids = [frame.id for frame in opening]
        count_down = [f"{ids[-1]}.{left}" for left in range(len(ids) - 1, 0, -1)]
        assert ids[1:] == [*count_down, ids[-1]][1:], stream.body
        logged = [opening[-1], *logged]
    places = [tuple(map(int, frame.id.split("-"))) for frame in logged]
    for (ordinal, seq), following in itertools.pairwise(places):
        assert following in {(ordinal, seq + 1), (ordinal + 1, 1)}, stream.body
    events = stream.events
    ends = [index for index, event in enumerate(events) if event["type"] in TERMINAL]
    # A run that was resumed under its own id has several segments, each with its end.
    segments = [index for index, (_, seq) in enumerate(places) if seq == 1 and index > 0]
    if stream.connects:
        assert (events[0]["type"], segments) == ("RUN_STARTED", []), stream.body
    assert [end + 1 for end in ends] == [*segments, len(events)], stream.body
    if stream.path.endswith(("/runs", "/resume")):
        assert places[0][1] == 1, stream.body
        assert events[0]["type"] == "RUN_STARTED"
        assert (events[0]["threadId"], events[0]["runId"]) == (stream.thread_id, stream.run_id)


def _judge_validity(stream: RecordedStream, gated: set[str]) -> None:
    """The protocol's validator finds nothing.

    Seen alone, a resumed run's result has no call (AGUI207): allowed for calls
    that an earlier run asked approval for. A tail has no beginning.
    """
    if stream.events[0]["type"] != "RUN_STARTED":
        return
    report = validate_agui(stream.events)
    found = [
        item
        for item in report.diagnostics
        if item.rule != "AGUI207" or stream.events[item.event_index]["toolCallId"] not in gated
    ]
    assert found == []
    assert report.internal_errors == []


def _judge_vocabulary(stream: RecordedStream) -> None:
    told_as_it_was = stream.path.endswith("/events") and not stream.connects
    if told_as_it_was or stream.protocol_version is not None:
        return
    assert not [word for word in _NEWER_ONLY if word in stream.body], stream.body
    assert dart_decode.decode_stream(stream.body) == [json.loads(frame.data) for frame in stream.frames]


def _judge_replay(stream: RecordedStream, http: httpx.Client) -> None:
    """``GET /events`` of the run, from its first segment, has the same bytes."""
    if not stream.logged:
        return
    started = stream.events[0] if stream.connects else {}
    run_id = started.get("runId") or stream.events[-1].get("runId") or stream.run_id
    place = {"threadId": stream.thread_id, "runId": run_id}
    replay = http.get("/events", params=place).raise_for_status().content
    assert stream.raw in replay
