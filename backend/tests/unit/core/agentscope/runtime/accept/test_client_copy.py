"""A client's own copy of a thread, brought up to date: the official client's rules, and the order it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.agui_reducer import AguiClient

from core.agentscope.runtime.accept.client_copy import ClientCopy, keeps_order
from core.agentscope.runtime.accept.new_messages import NewMessages
from core.agentscope.runtime.agent.snapshots import snapshots
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import MessagesSnapshot
from core.agentscope.schemas.messages import UserMessage

ROLES = {"u": "user", "a": "assistant", "r": "reasoning", "t": "tool"}


def conversation(ids: str) -> list[dict[str, Any]]:
    """Return messages whose ids name their roles: ``u1 r1 a1``."""
    return [{"id": item, "role": ROLES[item[0]], "content": f"{item} says"} for item in ids.split()]


def in_order(copy: Sequence[str], history: Sequence[str]) -> bool:
    """Tell what acceptance tells of a copy, from as many messages of the history as the copy has."""
    held = [item for item in copy if item in history]
    return keeps_order(held, history[: len(held)])


def held_after(copy: str, history: str, *, anew: bool) -> list[dict[str, Any]]:
    client = AguiClient(conversation(copy))
    for snapshot in snapshots(conversation(history), anew=anew, max_bytes=1 << 20):
        assert isinstance(snapshot, MessagesSnapshot)
        client.see({"type": "MESSAGES_SNAPSHOT", "messages": list(snapshot.messages)})
    return client.messages


@pytest.mark.parametrize(
    ("copy", "history"),
    [
        ("u3", "u1 a1 u2 a2 u3"),
        ("u1 r1 a1 u3", "u1 r1 a1 u2 a2 u3"),
        ("u2 r2 a2 u3", "u1 a1 u2 r2 a2 u3"),
        ("u2 r2 a2 u3", "r1 a1 u2 r2 a2 u3"),
        ("a1 u1 u2", "u1 a1 u2"),
    ],
    ids=["only the new one", "a gap", "the end, with reasoning", "reasoning first", "another order"],
)
def test_a_copy_that_was_emptied_first_has_the_order_of_the_thread(copy: str, history: str) -> None:
    assert not in_order(copy.split(), history.split())
    assert held_after(copy, history, anew=False) != conversation(history)
    assert held_after(copy, history, anew=True) == conversation(history)


@pytest.mark.parametrize(
    ("copy", "history"),
    [("u1 a1 u2", "u1 a1 u2"), ("u1 a1", "u1 a1 u2 a2"), ("u1 r1 a1 x9 u2", "u1 r1 a1 u2"), ("", "u1 a1")],
    ids=["the same", "the end is missing", "one too many", "nothing"],
)
def test_a_copy_that_one_snapshot_completes_is_told_from_the_others(copy: str, history: str) -> None:
    assert in_order(copy.split(), history.split())
    assert held_after(copy.replace("x9", "a9"), history, anew=False) == conversation(history)


MESSAGES = st.lists(
    st.builds("{}{}".format, st.sampled_from("uart"), st.integers(0, 9)), unique=True, min_size=1
)


@given(history=MESSAGES, data=st.data())
def test_whatever_the_copy_lacks_or_mixes_up_it_ends_as_the_thread_is(
    history: list[str], data: st.DataObject
) -> None:
    copy = data.draw(st.lists(st.sampled_from(history), unique=True))
    whole = conversation(" ".join(history))

    assert held_after(" ".join(copy), " ".join(history), anew=True) == whole
    in_one = held_after(" ".join(copy), " ".join(history), anew=False) == whole
    assert in_order(copy, history) == in_one


class _Thread:
    """The database of one thread, which notes how many ids were read."""

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown
        self.read = 0

    async def scalars(self, statement: Any) -> list[str]:
        limit = statement._limit_clause
        found = self.shown[: limit.value] if limit is not None else self.shown[:0]
        self.read += len(found)
        return found


async def test_a_new_message_alone_is_placed_without_reading_the_thread() -> None:
    message = UserMessage(id="new", role="user", content="hello")
    thread = _Thread([f"m-{place}" for place in range(5000)])
    command = RunCommand(
        thread_id="t", run_id="r", messages=[message], forwarded_props={"messagesSnapshot": "always"}
    )
    copy = ClientCopy(cast("Any", thread), cast("Any", SimpleNamespace(id=1)), command, known=())

    assert await copy.snapshot(NewMessages((), (message,)), waits=False) == "anew"
    assert thread.read == 1
