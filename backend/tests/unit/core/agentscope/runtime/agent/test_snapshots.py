"""The snapshots a run begins with; what they do to a client's copy is in ``accept/test_client_copy.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from core.agentscope.runtime.agent.snapshots import snapshots
from core.agentscope.schemas.internal_events import CustomEvent, MessagesSnapshot

USER: dict[str, Any] = {"id": "u1", "role": "user", "content": "hi"}
REASONING: dict[str, Any] = {"id": "r1", "role": "reasoning", "content": "hm"}


LIMIT = 200


def shown(history: Sequence[dict[str, Any]], *, anew: bool) -> list[tuple[dict[str, Any], ...]]:
    """Return the messages of each snapshot."""
    found = snapshots(history, anew=anew, max_bytes=LIMIT)
    return [snapshot.messages for snapshot in found if isinstance(snapshot, MessagesSnapshot)]


def test_no_messages_are_no_snapshot() -> None:
    assert snapshots((), anew=True, max_bytes=LIMIT) == []
    assert snapshots((), anew=False, max_bytes=LIMIT) == []


def test_one_snapshot_shows_the_whole_conversation() -> None:
    assert shown([USER, REASONING], anew=False) == [(USER, REASONING)]


def test_anew_empties_the_copy_first() -> None:
    assert shown([USER], anew=True) == [(), (USER,)]


def test_a_conversation_with_reasoning_is_emptied_by_a_snapshot_with_reasoning() -> None:
    emptied = ({"id": "u1", "role": "reasoning", "content": ""},)

    assert shown([USER, REASONING], anew=True) == [emptied, (USER, REASONING)]


@pytest.mark.parametrize("anew", [True, False])
def test_a_conversation_too_large_for_an_event_is_left_out_and_the_client_is_told(anew: bool) -> None:
    history = [USER, {"id": "u2", "role": "user", "content": "\u20ac" * 60}]

    (told,) = snapshots(history, anew=anew, max_bytes=LIMIT)

    value = {"bytes": len(orjson.dumps(history)), "maxBytes": LIMIT}
    assert told == CustomEvent(name="agentroute.messages-snapshot-omitted", value=value)
