"""Links in answers lead where they say, whatever the ids contain."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from core.agentscope.schemas.links import API_PREFIX, events_url, history_url

IDS = ["t-1", "a:b", "50%", "a&b=c", "a+b", "é"]


@pytest.mark.parametrize("name", IDS)
def test_ids_come_back_from_a_link_as_they_went_in(name: str) -> None:
    events, history = urlsplit(events_url(name, name)), urlsplit(history_url(name))

    assert (events.path, history.path) == (f"{API_PREFIX}/events", f"{API_PREFIX}/history")
    assert parse_qsl(events.query) == [("threadId", name), ("runId", name)]
    assert parse_qsl(history.query) == [("threadId", name)]


def test_a_thread_is_followed_without_a_run() -> None:
    assert events_url("t-1") == f"{API_PREFIX}/events?threadId=t-1"
