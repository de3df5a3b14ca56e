"""A reader's place: whatever is cut, wherever, every event comes once and in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.recorded_streams import recordings

from agentroute.client.attempts import Patience, Retry
from agentroute.client.errors import ConnectionFailed, EventsExpired, NotFound, UnexpectedAnswer
from agentroute.client.following import Following

STREAM = {"content-type": "text/event-stream"}
LOST = ConnectionFailed("the line broke")
FRAMES = [frame.encode() for frame in next(r for r in recordings() if r.name == "approval").content["frames"]]


def opening(count: int) -> list[bytes]:
    """Return what a stream that connects begins with: its ids count down to a cursor."""
    ids = [f"3-17.{left}" for left in range(count - 1, 0, -1)] + ["3-17"]
    return [
        b'id: %b\ndata: {"type":"CUSTOM","name":"%d"}\n\n' % (id_.encode(), n) for n, id_ in enumerate(ids)
    ]


def later(count: int) -> list[bytes]:
    live = [b'id: 3-%d\ndata: {"type":"CUSTOM","name":"live"}\n\n' % (18 + n) for n in range(count)]
    return [*live, b'id: 3-%d\ndata: {"type":"RUN_ERROR","message":"m"}\n\n' % (18 + count)]


def id_of(frame: bytes) -> str:
    return frame.split(b"\n", 1)[0].removeprefix(b"id: ").decode()


def serve(frames: list[bytes], after: str | None) -> bytes:
    """Return the body that the service sends to a reader with a cursor."""
    ids = [id_of(frame) for frame in frames]
    start = 0 if after is None else ids.index(after) + 1
    beats = b": hb\n\n".join(frames[start:])
    return b"retry: 2000\n\n" + beats


def pieces(body: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while body:
        size = next(sizes)
        yield body[:size]
        body = body[size:]


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[bytes], bool]:
    """Draw a stream, and whether it is one that connects."""
    if draw(st.booleans()):
        return [*opening(draw(st.integers(1, 4))), *later(draw(st.integers(0, 4)))], True
    return FRAMES, False


@given(lines(), st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=12), st.integers(1, 99))
def test_whatever_is_cut_every_event_comes_once(
    stream: tuple[list[bytes], bool], cuts: list[tuple[float, bool]], size: int
) -> None:
    frames, connect = stream
    place = Following("t-1", run_id=None if connect else "r-1", connect=connect)
    seen: list[str | None] = []
    left = iter(cuts)
    while not place.is_over:
        after = place.headers().get("Last-Event-ID") if connect else place.query().get("cursor")
        body = serve(frames, after)
        # Clean or broken, in the middle of an event or between two.
        share, is_clean = next(left, (1.0, True))
        assert place.opened(200, STREAM) is None
        for chunk in pieces(body[: int(len(body) * share)], iter(lambda: size, None)):
            seen += [event.cursor for event in place.receive(chunk)]
        if not place.is_over:
            place.lost(None if is_clean else LOST)
    assert seen == [id_of(frame) for frame in frames]


def test_events_that_are_told_again_are_dropped() -> None:
    place = Following("t-1", run_id="r-1")
    assert place.opened(200, STREAM) is None
    first = list(place.receive(b"".join(FRAMES[:3])))
    place.lost(LOST)
    assert place.opened(200, STREAM) is None
    again = list(place.receive(b"".join(FRAMES[:5])))
    assert [event.cursor for event in first + again] == [id_of(frame) for frame in FRAMES[:5]]


def test_an_event_without_a_place_comes_whenever_it_is_told_and_moves_no_cursor() -> None:
    place = Following("t-1")
    told = b'data: {"type":"CUSTOM","name":"agentroute.input"}\n\n'
    place.opened(200, STREAM)
    seen = list(place.receive(FRAMES[0] + told))
    place.lost(None)
    place.opened(200, STREAM)
    seen += place.receive(told + FRAMES[1])
    assert [event.cursor for event in seen] == [id_of(FRAMES[0]), None, None, id_of(FRAMES[1])]
    assert place.cursor == id_of(FRAMES[1])


def test_the_cursor_is_that_of_the_event_that_was_handed_out() -> None:
    place = Following("t-1", run_id="r-1")
    place.opened(200, STREAM)
    for event in place.receive(b"".join(FRAMES)):
        assert place.cursor == event.cursor
        if event.cursor == id_of(FRAMES[1]):
            break
    assert place.query() == {"threadId": "t-1", "runId": "r-1", "cursor": id_of(FRAMES[1])}


@pytest.mark.parametrize(
    ("options", "query", "headers"),
    [
        ({}, {}, {}),
        ({"cursor": "1-2"}, {"cursor": "1-2"}, {}),
        ({"run_id": "r"}, {"runId": "r"}, {}),
        ({"connect": True}, {"connect": "true"}, {}),
        (
            {"connect": True, "limit": 3, "cursor": "1-2.1"},
            {"connect": "true", "limit": "3"},
            {"Last-Event-ID": "1-2.1"},
        ),
    ],
)
def test_what_is_asked(options: dict[str, Any], query: dict[str, str], headers: dict[str, str]) -> None:
    place = Following("t", **options)
    assert place.query() == {"threadId": "t", **query}
    # No request of an EventSource: those are told of no 503.
    assert place.headers() == {"Accept": "text/event-stream, application/problem+json", **headers}


@pytest.mark.parametrize(
    ("options", "ends"), [({}, False), ({"run_id": "r"}, True), ({"connect": True}, True)]
)
def test_a_thread_has_no_end_and_a_run_has_one(options: dict[str, Any], ends: bool) -> None:
    place = Following("t", **options)
    place.opened(200, STREAM)
    list(place.receive(b'id: 1-1\ndata: {"type":"RUN_ERROR","message":"m"}\n\n'))
    assert place.is_over is ends


def test_204_is_the_end() -> None:
    place = Following("t", run_id="r")
    assert place.opened(204, {}) is None
    assert place.is_over


def problem(code: str, *, retryable: bool = False) -> bytes:
    return json.dumps({"code": code, "detail": "d", "retryable": retryable}).encode()


def test_what_passes_is_waited_for_and_the_rest_is_told() -> None:
    place = Following("t", patience=Patience(random=lambda: 0.0))
    error = place.opened(503, {"retry-after": "3"}, problem("overloaded", retryable=True))
    assert error is not None
    assert place.lost(error) == 3.0
    assert place.opened(502, {}, b"<html>") is not None
    with pytest.raises(NotFound):
        place.opened(404, {}, problem("not-found"))
    with pytest.raises(EventsExpired):
        place.opened(410, {}, problem("events-expired"))
    with pytest.raises(UnexpectedAnswer):
        place.opened(200, {"content-type": "text/html"})
    place.opened(200, STREAM)
    with pytest.raises(UnexpectedAnswer):
        list(place.receive(b"data: {\n\n"))


def test_waits_grow_until_something_comes_and_the_service_says_how_fast() -> None:
    now = [0.0]
    told: list[Retry] = []
    patience = Patience(random=lambda: 1.0, on_retry=told.append, reconnect_seconds=None)
    place = Following("t", patience=patience, clock=lambda: now[0])
    assert [place.lost(LOST) for _ in range(3)] == [2.0, 4.0, 8.0]
    place.opened(200, STREAM)
    list(place.receive(b"retry: 3000\n\n"))
    assert place.lost(None) == 24.0
    place.opened(200, STREAM)
    list(place.receive(FRAMES[0]))
    assert place.lost(None) == 3.0
    place.opened(200, STREAM)
    now[0] += 60
    assert place.lost(None) == 3.0
    assert [(each.failures, each.reason, each.thread_id) for each in told[2:]] == [
        (3, str(LOST), "t"),
        (4, "", "t"),
        (1, "", "t"),
        (1, "", "t"),
    ]


def test_gives_up_when_nothing_has_answered_for_long_enough() -> None:
    now = [0.0]
    place = Following("t", patience=Patience(reconnect_seconds=10), clock=lambda: now[0])
    place.lost(LOST)
    now[0] = 9.0
    place.lost(LOST)
    place.opened(200, STREAM)
    now[0] = 100.0
    place.lost(LOST)
    now[0] = 110.0
    with pytest.raises(ConnectionFailed):
        place.lost(LOST)


def test_the_frames_of_the_recording_are_in_order() -> None:
    assert all(first < second for first, second in pairwise(int(id_of(f).split("-")[1]) for f in FRAMES))
