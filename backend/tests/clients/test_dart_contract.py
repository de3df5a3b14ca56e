"""What clients in Dart that are not ours make of every stream of ``contract/``: the SDK, soliplex and koel.

An app of theirs names no protocol version, so it gets the older vocabulary: it has to read all of that. The streams of
newer clients are looked at, too, for an app that follows a thread which a web page shares.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from tests.support import koel_decode
from tests.support.contract_vectors import read_block, vectors
from tests.support.dart_decode import DartDecodingError, decode, decode_stream
from tests.support.koel_decode import KoelDecodingError
from tests.support.soliplex_decode import Soliplex

_VECTORS = vectors()
_NAMES = sorted(_VECTORS)
_OLDER = "client-before-1-0"

_REFUSED_BY_KOEL = {
    "behind": {"MESSAGES_SNAPSHOT: messages: role"},
    "client-before-1-0": {"REASONING_ENCRYPTED_VALUE: encryptedValue is no base64"},
    "connect-after": {"MESSAGES_SNAPSHOT: messages: role"},
    "reasoning-and-tools": {"REASONING_ENCRYPTED_VALUE: encryptedValue is no base64"},
}
"""It has no reasoning in snapshots, and wants what only a provider reads as base64; AG-UI asks for neither."""


def _streams(name: str) -> list[list[dict[str, Any]]]:
    return [
        [told.event for frame in step["stream"] if (told := read_block(frame["sse"]))]
        for step in _VECTORS[name]["steps"]
        if "stream" in step
    ]


@pytest.mark.parametrize("name", _NAMES)
def test_the_sdk_decodes_every_byte_but_what_only_newer_clients_are_sent(name: str) -> None:
    for step in _VECTORS[name]["steps"]:
        frames = [frame["sse"] for frame in step.get("stream", [])]
        if name == _OLDER:
            assert len(decode_stream("".join(frames))) == len([sse for sse in frames if "data: " in sse])
            continue
        refused = [
            told.event["type"] for sse in frames if (told := read_block(sse)) and not _sdk_takes(told.event)
        ]
        assert [type_ for type_ in refused if not type_.startswith("SUBAGENT_")] == []


def _sdk_takes(event: dict[str, Any]) -> bool:
    try:
        decode(json.dumps(event))
    except DartDecodingError:
        return False
    return True


@pytest.mark.parametrize("name", _NAMES)
def test_soliplex_shows_every_text_that_history_has(name: str) -> None:
    app = Soliplex()
    begun: set[str] = set()
    for events in _streams(name):
        # It opens a stream for each run, and does not follow a thread.
        ends = [
            place + 1 for place, event in enumerate(events) if event["type"] in ("RUN_FINISHED", "RUN_ERROR")
        ]
        for start, end in itertools.pairwise([0, *ends]):
            app.take(events[start:end])
        begun |= {event["messageId"] for event in events if event["type"] == "TEXT_MESSAGE_START"}

    assert app.has_ended
    history = _VECTORS[name]["steps"][-1]["answer"]["messages"]
    said = {
        message["id"]: message["content"]
        for message in history
        if message["role"] == "assistant" and message["id"] in begun
    }
    assert said.items() <= app.texts.items()
    assert name != _OLDER or app.skipped == []


@pytest.mark.parametrize("name", _NAMES)
def test_koel_decodes_every_event(name: str) -> None:
    refused: set[str] = set()
    unknown: set[str] = set()
    for event in (event for events in _streams(name) for event in events):
        try:
            if not koel_decode.decode(event):
                unknown.add(event["type"])
        except KoelDecodingError as exc:
            refused.add(f"{event['type']}: {exc}")

    assert refused == _REFUSED_BY_KOEL.get(name, set())
    assert all(type_.startswith("SUBAGENT_") for type_ in unknown)
    assert name != _OLDER or unknown == set()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "RUN_STARTED", "threadId": "t"},
        {"type": "RUN_ERROR", "message": "no", "code": 1},
        {"type": "STATE_SNAPSHOT", "snapshot": None},
        {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a"}]},
        {"type": "STATE_DELTA", "delta": [{"op": "of the future", "path": "/a"}]},
        {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "1", "role": "user", "content": []}]},
        {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": []},
    ],
)
def test_koel_refuses(event: dict[str, Any]) -> None:
    with pytest.raises(KoelDecodingError):
        koel_decode.decode(event)
