"""The examples of ``contract/sse``, which the Flutter app and the JavaScript package read as well."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agentroute.client.attempts import Patience, may_pass, named_wait_seconds
from agentroute.client.backoff import pause, retry_after_seconds
from agentroute.client.errors import AgentRouteError, ConnectionFailed, ProblemError, refusal
from agentroute.client.following import Following
from agentroute.client.sse import SseParser

CONTRACT = Path(__file__).parents[5] / "contract" / "sse"
STREAM_BROKE = ConnectionFailed("the line broke")


def cases(name: str) -> list[Any]:
    """Return the entries of a file, each with the id of its name."""
    entries = json.loads((CONTRACT / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(entry, id=entry.get("name") or repr(entry["value"])) for entry in entries]


def body_of(case: Mapping[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else base64.b64decode(case["base64"])


@pytest.mark.parametrize("case", cases("frames"))
def test_frames_are_the_same_wherever_the_body_is_cut(case: Mapping[str, Any]) -> None:
    body = body_of(case)
    cuts = [[body[:place], body[place:]] for place in range(len(body) + 1)]
    for chunks in [*cuts, [body[place : place + 1] for place in range(len(body))]]:
        parser = SseParser()
        frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
        assert [{"id": each.id, "data": each.data, "event": each.event} for each in frames] == case["frames"]
        assert parser.retry_milliseconds == case["retryMs"]


@pytest.mark.parametrize("case", cases("pauses"))
def test_pauses(case: Mapping[str, Any]) -> None:
    seconds = pause(
        case["failures"],
        base_seconds=case["baseMs"] / 1000,
        at_least_seconds=case["atLeastMs"] / 1000,
        random=lambda: case["random"],
    )
    assert round(seconds * 1000) == case["pauseMs"]


@pytest.mark.parametrize("case", cases("retry_after"))
def test_retry_after(case: Mapping[str, Any]) -> None:
    seconds = retry_after_seconds({"retry-after": case["value"]}, now=datetime.fromisoformat(case["now"]))
    assert seconds == (None if case["waitMs"] is None else case["waitMs"] / 1000)


@pytest.mark.parametrize("case", cases("refusals"))
def test_refusals(case: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(headers: Mapping[str, str]) -> float | None:
        return retry_after_seconds(headers, now=datetime.fromisoformat("2026-11-27T18:00:00Z"))

    monkeypatch.setattr("agentroute.client.errors.retry_after_seconds", read)
    error = refusal(case["status"], case["headers"], case["body"].encode())
    assert isinstance(error, ProblemError) == (case["kind"] == "problem")
    assert (error.code if isinstance(error, ProblemError) else None) == case["code"]
    assert may_pass(error) == case["mayPass"]
    assert round(named_wait_seconds(error) * 1000) == case["waitMs"]


class _Life:
    """One stream, and the time in it."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        self._now = 0.0
        reconnect = case["reconnectMs"]
        self._place = Following(
            case["threadId"],
            run_id=case["runId"],
            cursor=case["cursor"],
            patience=Patience(
                reconnect_seconds=None if reconnect is None else reconnect / 1000, random=lambda: 1.0
            ),
            clock=lambda: self._now,
        )
        self._last: AgentRouteError | None = None

    def step(self, step: Mapping[str, Any]) -> None:
        match step["do"]:
            case "at":
                self._now = step["ms"] / 1000
            case "query":
                assert self._place.query() == step["query"]
            case "opened":
                self._opened(step)
            case "receive":
                self._receive(step)
            case _:
                self._lost(step)

    def _opened(self, step: Mapping[str, Any]) -> None:
        head = step["status"], step["headers"], step["body"].encode()
        if step["result"] == "throw":
            with pytest.raises(AgentRouteError) as raised:
                self._place.opened(*head)
            assert getattr(raised.value, "code", None) == step["code"]
            return
        self._last = self._place.opened(*head)
        result = "over" if self._place.is_over else "read" if self._last is None else "wait"
        assert result == step["result"]

    def _receive(self, step: Mapping[str, Any]) -> None:
        if step["cursors"] is None:
            with pytest.raises(AgentRouteError):
                list(self._place.receive(step["text"].encode()))
            return
        assert [event.cursor for event in self._place.receive(step["text"].encode())] == step["cursors"]
        assert self._place.is_over == step["isOver"]

    def _lost(self, step: Mapping[str, Any]) -> None:
        error = {"none": None, "connection": STREAM_BROKE, "last": self._last}[step["error"]]
        if step["pauseMs"] is None:
            with pytest.raises(AgentRouteError):
                self._place.lost(error)
            return
        assert round(self._place.lost(error) * 1000) == step["pauseMs"]


@pytest.mark.parametrize("case", cases("following"))
def test_following(case: Mapping[str, Any]) -> None:
    life = _Life(case)
    for step in case["steps"]:
        life.step(step)
