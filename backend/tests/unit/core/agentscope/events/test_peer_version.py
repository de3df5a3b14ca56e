"""What clients before AG-UI 1.0 get: the same cursors, in words they know."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support import dart_decode

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.peer_version import PeerVersions, downgrade


class Runs:
    """The protocol versions of runs by ordinal, and who asked for them."""

    def __init__(self, **versions: str | None) -> None:
        self.versions = versions
        self.asked: list[int] = []

    async def version_of(self, ordinal: int) -> str | None:
        self.asked.append(ordinal)
        return self.versions[f"run{ordinal}"]


def finished(**outcome: Any) -> dict[str, Any]:
    return {
        "type": "RUN_FINISHED",
        "threadId": "t",
        "runId": "r",
        "outcome": outcome,
        "usage": [{"inputTokens": 1}],
        "timestamp": 7,
    }


def envelope(body: dict[str, Any], ordinal: int = 1) -> Envelope:
    return Envelope(ordinal, 9, orjson.dumps(body))


CANCELLED = finished(type="cancelled")
PENDING = finished(type="success", pendingToolCallIds=["c-1"])
SUCCESS = finished(type="success")
INTERRUPT = finished(type="interrupt", interrupts=[{"id": "i", "reason": "tool_approval"}])


def test_a_cancelled_run_becomes_an_error_with_its_code() -> None:
    assert orjson.loads(downgrade(orjson.dumps(CANCELLED))) == {
        "type": "RUN_ERROR",
        "message": "The run was cancelled.",
        "code": "cancelled",
        "usage": [{"inputTokens": 1}],
        "timestamp": 7,
    }


def test_the_older_event_still_begins_with_its_type_so_that_readers_see_the_end() -> None:
    assert Envelope(1, 1, downgrade(orjson.dumps(CANCELLED))).is_terminal
    assert Envelope(1, 1, downgrade(orjson.dumps(PENDING))).is_terminal


def test_pending_tool_calls_are_left_out() -> None:
    assert orjson.loads(downgrade(orjson.dumps(PENDING))) == SUCCESS


@pytest.mark.parametrize(
    "body", [SUCCESS, INTERRUPT, {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}]
)
def test_what_older_clients_know_is_the_same_bytes(body: dict[str, Any]) -> None:
    assert downgrade(orjson.dumps(body)) == orjson.dumps(body)


@pytest.mark.parametrize("body", [CANCELLED, PENDING, SUCCESS, INTERRUPT])
async def test_a_client_that_names_a_version_gets_the_stored_bytes(body: dict[str, Any]) -> None:
    runs = Runs(run1="1.0")

    assert await PeerVersions(runs.version_of).fit(envelope(body)) == envelope(body)


async def test_an_older_client_gets_the_older_event_under_the_same_cursor() -> None:
    fitted = await PeerVersions(Runs(run1=None).version_of).fit(envelope(CANCELLED))

    assert fitted.cursor == envelope(CANCELLED).cursor
    assert orjson.loads(fitted.payload)["code"] == "cancelled"


@pytest.mark.parametrize("kind", ["SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR"])
async def test_subagents_become_custom_events_for_older_clients(kind: str) -> None:
    said = {"type": kind, "subagentRunId": "s-1", "name": "scout"}
    stored = envelope(said | {"timestamp": 7})
    fitted = await PeerVersions(Runs(run1=None).version_of).fit(stored)

    assert fitted.cursor == stored.cursor
    assert orjson.loads(fitted.payload) == {
        "type": "CUSTOM",
        "name": "agentroute.subagent",
        "value": said,
        "timestamp": 7,
    }
    assert await PeerVersions(Runs(run1="1.1").version_of).fit(stored) == stored


TEXT = {"type": "text", "text": "blue"}
PICTURE = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}
FILE = {"type": "document", "source": {"type": "file", "value": "f-1", "provider": "us"}}


def snapshot(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"type": "MESSAGES_SNAPSHOT", "messages": list(messages), "timestamp": 7}


def tool(content: Any) -> dict[str, Any]:
    return {"id": "r", "role": "tool", "toolCallId": "c", "content": content, "metadata": {"k": 1}}


def user(content: Any) -> dict[str, Any]:
    return {"id": "u", "role": "user", "content": content}


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (tool([TEXT]), tool("blue")),
        (tool([TEXT, PICTURE, TEXT]), tool("blue\n[image]\nblue")),
        (tool([]), tool("")),
        (user([TEXT, FILE]), user([TEXT, {"type": "text", "text": "[document]"}])),
    ],
)
async def test_the_messages_of_a_snapshot_are_put_into_older_words(
    newer: dict[str, Any], older: dict[str, Any]
) -> None:
    known = user("hello")
    stored = envelope(snapshot(known, newer))
    fitted = await PeerVersions(Runs(run1=None).version_of).fit(stored)

    assert fitted.cursor == stored.cursor
    assert orjson.loads(fitted.payload) == snapshot(known, older)
    assert dart_decode.decode(fitted.payload.decode())
    assert await PeerVersions(Runs(run1="1.0").version_of).fit(stored) == stored


def test_a_snapshot_in_words_that_older_clients_know_is_the_same_bytes() -> None:
    stored = orjson.dumps(snapshot(user("hello"), user([TEXT, PICTURE]), tool("blue")))

    assert downgrade(stored) == stored


async def test_each_run_is_fitted_to_the_client_that_started_it() -> None:
    runs = Runs(run1=None, run2="1.0")
    versions = PeerVersions(runs.version_of)
    older = await versions.fit(envelope(CANCELLED, ordinal=1))
    newer = await versions.fit(envelope(CANCELLED, ordinal=2))

    assert [item.payload.startswith(b'{"type":"RUN_ERROR"') for item in (older, newer)] == [
        True,
        False,
    ]


async def test_a_version_is_looked_up_once_a_run_and_only_when_it_matters() -> None:
    runs = Runs(run1=None, run2=None)
    versions = PeerVersions(runs.version_of, known={2: "1.0"})
    for event in (
        envelope({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Hi"}),
        envelope({"type": "SUBAGENT_STARTED", "subagentRunId": "s-1", "name": "scout", "timestamp": 7}),
        envelope(CANCELLED),
        envelope(CANCELLED, ordinal=2),
    ):
        await versions.fit(event)

    assert runs.asked == [1]
