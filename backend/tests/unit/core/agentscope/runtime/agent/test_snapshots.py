"""The snapshots a run begins with; what they do to a client's copy is in ``accept/test_client_copy.py``."""

from __future__ import annotations

from typing import Any

from core.agentscope.runtime.agent.snapshots import snapshots

USER: dict[str, Any] = {"id": "u1", "role": "user", "content": "hi"}
REASONING: dict[str, Any] = {"id": "r1", "role": "reasoning", "content": "hm"}


def test_no_messages_are_no_snapshot() -> None:
    assert snapshots((), anew=True) == []
    assert snapshots((), anew=False) == []


def test_one_snapshot_shows_the_whole_conversation() -> None:
    (shown,) = snapshots([USER, REASONING], anew=False)

    assert shown.messages == (USER, REASONING)


def test_anew_empties_the_copy_first() -> None:
    emptied, shown = snapshots([USER], anew=True)

    assert (emptied.messages, shown.messages) == ((), (USER,))


def test_a_conversation_with_reasoning_is_emptied_by_a_snapshot_with_reasoning() -> None:
    emptied, shown = snapshots([USER, REASONING], anew=True)

    assert emptied.messages == ({"id": "u1", "role": "reasoning", "content": ""},)
    assert shown.messages == (USER, REASONING)
