"""The reducer of the Flutter app, in Python, on every stream of ``contract/``; and that it is the same as the one in Dart."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.chat_cursor import is_behind
from tests.support.chat_events import read_chat_event
from tests.support.chat_reducer import opened, receive, reduce, with_older
from tests.support.chat_state import ChatState
from tests.support.contract_vectors import (
    Told,
    begin,
    changed,
    changes_between,
    history_of,
    read_block,
    vectors,
    with_states,
)
from tests.support.json_patch import PatchError, apply_patch

from core.agentscope.events.event_types import EVENT_TYPES

_VECTORS = vectors()
_NAMES = sorted(_VECTORS)


def _told(step: dict[str, Any]) -> list[Told]:
    return [told for frame in step.get("stream", []) if (told := read_block(frame["sse"]))]


def _after(state: ChatState, told: list[Told]) -> ChatState:
    for each in told:
        state = receive(state, each.cursor, read_chat_event(each.event))
    return state


# --- the vectors ------------------------------------------------------------------


@pytest.mark.parametrize("name", _NAMES)
def test_the_state_after_every_event_is_that_of_the_vector(name: str) -> None:
    vector = _VECTORS[name]

    assert with_states(vector) == vector


@pytest.mark.parametrize("name", _NAMES)
def test_an_app_holds_what_history_says(name: str) -> None:
    state, compared = ChatState(), 0
    for step in _VECTORS[name]["steps"]:
        state = _after(begin(state, step), _told(step))
        if step["step"] == "history":
            compared += 1
            assert history_of(state) == history_of(opened(step["answer"]))

    assert compared > 0
    assert _VECTORS[name]["steps"][-1]["step"] == "history"


@pytest.mark.parametrize("name", _NAMES)
def test_a_stream_that_is_cut_anywhere_goes_on_with_the_same_state(name: str) -> None:
    state = ChatState()
    for step in _VECTORS[name]["steps"]:
        before, told = begin(state, step), _told(step)
        state = _after(before, told)
        for cut in range(len(told)):
            # What is told again behind a broken line: nothing, the last three events, or all of them.
            for again in {cut, max(0, cut - 3), 0}:
                assert _after(_after(before, told[:cut]), told[again:]) == state


@pytest.mark.parametrize("name", _NAMES)
def test_events_that_are_told_again_change_nothing(name: str) -> None:
    state = ChatState()
    for step in _VECTORS[name]["steps"]:
        told = _told(step)
        state = _after(begin(state, step), told)
        assert _after(state, told) == state


def test_the_scenarios_have_every_event_that_the_service_sends() -> None:
    told = {each.event["type"] for vector in _VECTORS.values() for step in vector["steps"] for each in _told(step)}

    assert set(EVENT_TYPES) <= told
