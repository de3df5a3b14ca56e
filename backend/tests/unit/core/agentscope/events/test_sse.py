"""Frames byte by byte."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError
from tests.support import internal_event_strategies as any_of

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.sse import HEADERS, HEARTBEAT, frame, retry_line
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.config import StreamSettings
from core.text import clean_json

SETTINGS = StreamSettings(page_events=2)
RETRY = b"retry: 2000\n\n"
OUTAGE = OperationalError("SELECT", {}, OSError("gone"))


def official_parse(stream: bytes) -> list[Any]:
    """Read a stream as ``parseSSEStream`` of ``@ag-ui/client`` 1.0.0 does."""
    *blocks, rest = stream.decode().split("\n\n")
    assert rest == ""
    found: list[Any] = []
    for block in blocks:
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            found.append(json.loads("\n".join(lines)))
    return found


def ids(stream: bytes) -> list[str]:
    return [line[4:].decode() for line in stream.split(b"\n") if line.startswith(b"id: ")]


# --- frames -----------------------------------------------------------------------------


def test_a_frame_is_its_cursor_and_its_stored_bytes() -> None:
    payload = b'{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\xc3\xa9"}'

    assert frame(Envelope(3, 17, payload)) == b"id: 3-17\ndata: " + payload + b"\n\n"


def test_the_retry_line_and_the_heartbeat_are_blocks_without_data() -> None:
    assert retry_line(2000) == RETRY
    assert HEARTBEAT == b": hb\n\n"
    assert official_parse(RETRY + HEARTBEAT) == []


def test_headers_forbid_caching_compressing_and_buffering() -> None:
    assert HEADERS == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(any_of.json_values, min_size=1, max_size=5))
def test_what_is_framed_is_parsed_again_whatever_is_in_it(values: list[Any]) -> None:
    bodies = [{"type": "CUSTOM", "value": clean_json(value)} for value in values]
    stream = b"".join(
        frame(Envelope(1, seq, AgUiWireEvent("CUSTOM", body).to_json().encode()))
        for seq, body in enumerate(bodies, start=1)
    )

    assert b"\r" not in stream
    assert official_parse(RETRY + stream + HEARTBEAT) == bodies
    assert ids(stream) == [f"1-{seq}" for seq in range(1, len(bodies) + 1)]
