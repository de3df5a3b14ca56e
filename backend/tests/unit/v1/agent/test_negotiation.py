"""What the headers of a request ask for."""

from __future__ import annotations

import pytest

from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.errors import CursorInvalid, InvalidRequest
from v1.agent.negotiation import (
    connect_cursor,
    idempotency_key,
    reader_cursor,
    repeat_cursor,
    wants_event_stream,
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (["text/event-stream"], True),
        (["application/json, text/event-stream"], True),
        (["application/json", "text/event-stream"], True),
        (["TEXT/Event-Stream; q=0.5, */*"], True),
        (["text/event-stream;q=0"], False),
        (["text/event-stream; q=0.000"], False),
        (["text/event-stream; q=0.001"], True),
        (["application/json"], False),
        (["*/*"], False),
        (["text/*"], False),
        (["text/event-streams"], False),
        ([""], False),
        ([], False),
    ],
    ids=str,
)
def test_a_stream_is_wanted_when_it_is_named(accept: list[str], expected: bool) -> None:
    assert wants_event_stream(accept) is expected


@pytest.mark.parametrize(
    ("header", "key"), [(None, None), ("run-1", "run-1"), ('"a:b.c_d"', "a:b.c_d"), (" k ", "k")]
)
def test_a_key_is_an_id(header: str | None, key: str | None) -> None:
    assert idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "a b", "é", "a" * 129, '"a', "a\n"])
def test_any_other_key_is_refused(header: str) -> None:
    if header.strip() == "a":
        assert idempotency_key(header) == "a"
        return
    with pytest.raises(InvalidRequest) as caught:
        idempotency_key(header)
    assert caught.value.errors[0]["pointer"] == "/header/Idempotency-Key"


@pytest.mark.parametrize(
    ("last_event_id", "query", "cursor"),
    [
        (None, None, None),
        (None, "3-17", Cursor(3, 17)),
        ("4-1", "3-17", Cursor(4, 1)),
        ("4-1", None, Cursor(4, 1)),
        ("", "3-17", Cursor(3, 17)),
        ("4-1", "nonsense", Cursor(4, 1)),
    ],
)
def test_the_header_wins_over_the_query(
    last_event_id: str | None, query: str | None, cursor: Cursor | None
) -> None:
    assert reader_cursor(last_event_id, query) == cursor


@pytest.mark.parametrize(
    ("last_event_id", "query"),
    [(None, ""), (None, "x"), (None, "1"), (None, "01-2"), (None, "-1-2"), ("x", "3-17"), (None, "1-2 ")],
)
def test_anything_else_is_not_a_cursor(last_event_id: str | None, query: str | None) -> None:
    with pytest.raises(CursorInvalid):
        reader_cursor(last_event_id, query)


@pytest.mark.parametrize(
    ("last_event_id", "query", "place"),
    [
        (None, None, None),
        ("3-17.2", "1-1", ConnectCursor(Cursor(3, 17), 2)),
        ("", "3-17", ConnectCursor(Cursor(3, 17))),
    ],
)
def test_a_connect_stream_has_ids_of_its_own(
    last_event_id: str | None, query: str | None, place: ConnectCursor | None
) -> None:
    assert connect_cursor(last_event_id, query) == place


@pytest.mark.parametrize("text", ["x", "3-17.", "3-17.0", "3"])
def test_anything_else_is_no_place_in_a_connect_stream(text: str) -> None:
    with pytest.raises(CursorInvalid):
        connect_cursor(text, None)


@pytest.mark.parametrize(
    ("header", "cursor"),
    [
        ("1-6", Cursor(1, 6)),
        (None, None),
        ("", None),
        ("1795363125074-0", None),
        ("nonsense", None),
        ("1-6.1", None),
    ],
)
def test_a_repeated_post_is_never_refused_for_its_last_event_id(
    header: str | None, cursor: Cursor | None
) -> None:
    assert repeat_cursor(header) == cursor
