"""The parser of event streams: every form that the format has, and every way to cut the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.client.sse import Frame, SseParser


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"id: 1-1\ndata: {}\n\n", [Frame("1-1", "{}")]),
        (b"id: 1-1\r\ndata: {}\r\n\r\n", [Frame("1-1", "{}")]),
        (b"id: 1-1\rdata: {}\r\r", [Frame("1-1", "{}")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Frame("", "x")]),
        (b"data:x\ndata: y\n\n", [Frame("", "x\ny")]),
        (b"data:  x\n\n", [Frame("", " x")]),
        (b"event: e\ndata: x\n\ndata: y\n\n", [Frame("", "x", "e"), Frame("", "y")]),
        (b"id: 7\ndata: x\n\ndata: y\n\n", [Frame("7", "x"), Frame("", "y")]),
        (b"id: 7\ndata: x\n\nid\ndata: y\n\n", [Frame("7", "x"), Frame("", "y")]),
        (b"id: a\0b\ndata: x\n\n", [Frame("", "x")]),
        (b": hb\n\nid: 1\n\nunknown: 3\n\n", []),
        (b"data\n\n", [Frame("", "")]),
        (b"data: half", []),
        (b"data: half\n", []),
    ],
    ids=lambda value: repr(value) if isinstance(value, bytes) else "",
)
def test_reads_the_format(body: bytes, frames: list[Frame]) -> None:
    assert SseParser().feed(body) == frames
    parser = SseParser()
    assert [frame for place in range(len(body)) for frame in parser.feed(body[place : place + 1])] == frames


@pytest.mark.parametrize(("line", "expected"), [(b"2716", 2716), (b"x", None), (b"-1", None), (b"", None)])
def test_reads_when_to_come_back(line: bytes, expected: int | None) -> None:
    parser = SseParser()
    parser.feed(b"retry: " + line + b"\n\n")
    assert parser.retry_milliseconds == expected


_LINES = st.sampled_from(
    ["id: 1-1", "id: 1-2", "data: ä", "data: {}", ": hb", "", "", "retry: 5", "event: e"]
)


@given(st.lists(_LINES), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(1, 9)))
def test_how_the_bytes_are_cut_does_not_matter(lines: list[str], end: str, sizes: list[int]) -> None:
    body = "".join(line + end for line in lines).encode()
    parser, found, rest = SseParser(), [], body
    for size in [*sizes, len(body) + 1]:
        found += parser.feed(rest[:size])
        rest = rest[size:]
    assert found == SseParser().feed(body)
