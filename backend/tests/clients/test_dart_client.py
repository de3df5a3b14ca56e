"""What an app with the Dart SDK sends, in its own words, and what the SDK makes of the answers.

The SDK names no protocol version, may leave out ids, asks for
``application/json, text/event-stream`` and cannot answer interrupts itself:
the app does, with ``POST /resume``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.dart_decode import decode_stream
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

_ACCEPT = "application/json, text/event-stream"


@pytest.fixture
def app(service: str) -> Iterator[httpx.Client]:
    """The app's HTTP client."""
    with httpx.Client(base_url=service, headers={"Accept": _ACCEPT}, timeout=HUNG_SECONDS) as client:
        yield client


def _run(app: httpx.Client, text: str = "", *, path: str = "/runs", **members: Any) -> list[dict[str, Any]]:
    """Send a ``SimpleRunAgentInput`` with one message, or with none; returns the events the SDK decodes."""
    messages = [{"id": f"msg_{uuid.uuid4().hex}", "role": "user", "content": text}] if text else []
    body = {"state": {}, "messages": messages, "tools": [], "context": [], "forwardedProps": {}}
    answer = app.post(path, json=body | members | {"config": {"temperature": 0}}).raise_for_status()
    assert answer.headers["content-type"] == "text/event-stream"
    events = decode_stream(answer.text)
    assert [event for event in events if event["type"] in ("RUN_FINISHED", "RUN_ERROR")] == events[-1:]
    return events


def _types(events: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(event["type"] for event in events))


def test_ids_may_be_left_out(app: httpx.Client) -> None:
    events = _run(app, "think about 6 and calculate 6*7")

    assert {"REASONING_MESSAGE_CONTENT", "TOOL_CALL_RESULT", "TEXT_MESSAGE_CONTENT"} <= set(_types(events))
    assert events[0]["threadId"]
    assert events[-1]["runId"] == events[0]["runId"]


def test_a_conversation_goes_on_with_only_what_is_new(app: httpx.Client) -> None:
    first = _run(app, "my name is Ada")
    second = _run(app, "what is my name", threadId=first[0]["threadId"])

    assert "Ada" in "".join(event.get("delta", "") for event in second)


def test_the_app_answers_an_interrupt_through_resume(app: httpx.Client) -> None:
    asked = _run(app, "remember that I like tea")
    (interrupt,) = asked[-1]["outcome"]["interrupts"]  # of the event's JSON: the typed event drops it
    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}

    events = _run(app, path="/resume", threadId=asked[0]["threadId"], resume=[answer])

    assert [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"] == ["Remembered."]
    assert events[-1]["type"] == "RUN_FINISHED"


def test_a_failed_run_is_an_error_event(app: httpx.Client) -> None:
    assert _run(app, "fail")[-1]["code"] == "model-unavailable"


def test_a_run_that_is_stopped_from_elsewhere_ends_with_an_event_it_knows(app: httpx.Client) -> None:
    body = {"messages": [{"id": "m", "role": "user", "content": "slowly"}]}
    accepted = app.post("/runs", json=body, headers={"Accept": "application/json"}).raise_for_status().json()
    place = {"threadId": accepted["threadId"], "runId": accepted["runId"]}
    app.post(f"/runs/{accepted['runId']}/cancel", json={"threadId": accepted["threadId"]}).raise_for_status()

    answer = app.get("/events", params=place)

    assert decode_stream(answer.text)[-1]["code"] == "cancelled"


def test_its_sse_client_comes_back_with_the_last_id_and_is_told_when_nothing_is_left(
    app: httpx.Client,
) -> None:
    first = _run(app, "hello")
    place = {"threadId": first[0]["threadId"], "runId": first[0]["runId"]}
    whole = app.get("/events", params=place).text
    ids = [line[4:] for line in whole.splitlines() if line.startswith("id: ")]

    half = app.get("/events", params=place, headers={"Last-Event-ID": ids[4]})
    end = app.get("/events", params=place, headers={"Last-Event-ID": ids[-1]})

    assert decode_stream(half.text) == first[5:]
    assert (end.status_code, end.content) == (204, b"")


def test_a_run_goes_on_when_its_post_is_repeated_with_the_last_id(app: httpx.Client) -> None:
    # The SDK does not reconnect a POST: the app sends it again, under the run's id.
    body = {
        "threadId": f"thread-{uuid.uuid4().hex}",
        "runId": f"run-{uuid.uuid4().hex}",
        "messages": [{"id": "m", "role": "user", "content": "what is 6*7"}],
    }
    whole = app.post("/runs", json=body).raise_for_status().text
    ids = [line[4:] for line in whole.splitlines() if line.startswith("id: ")]

    rest = app.post("/runs", json=body, headers={"Last-Event-ID": ids[5]})
    end = app.post("/runs", json=body, headers={"Last-Event-ID": ids[-1]})

    assert decode_stream(rest.text) == decode_stream(whole)[6:]
    assert (end.status_code, end.content) == (204, b"")


def test_the_app_connects_after_a_reload(app: httpx.Client) -> None:
    stopped = app.post(
        "/runs",
        json={"messages": [{"id": "m", "role": "user", "content": "slowly"}]},
        headers={"Accept": "application/json"},
    ).json()
    place = {"threadId": stopped["threadId"]}
    with app.stream("POST", "/events", json=place) as stream:
        assert stream.status_code == 200
        app.post(f"/runs/{stopped['runId']}/cancel", json=place).raise_for_status()
        events = decode_stream(stream.read().decode())

    assert _types(events)[:2] == ["RUN_STARTED", "MESSAGES_SNAPSHOT"]
    assert events[1]["messages"][0]["content"] == "slowly"
    assert events[-1]["code"] == "cancelled"
