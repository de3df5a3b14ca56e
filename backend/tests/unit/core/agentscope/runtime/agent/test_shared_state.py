"""Patches of the shared state: all or none, and never more than a state may be."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.nested import nested

from core.agentscope.runtime.agent.shared_state import MAX_STATE_BYTES, MAX_STATE_DEPTH, RunState
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import CustomEvent, StateDelta, StateSnapshot
from core.agentscope.tools.errors import ToolError

COPIES = [{"op": "copy", "from": "", "path": f"/copy{number}"} for number in range(100)]


class Shown:
    """A state, and what was emitted of it."""

    def __init__(self, value: Any) -> None:
        self.events: list[InternalRuntimeEvent] = []
        self.state = RunState(value, self._emit)

    async def _emit(self, event: InternalRuntimeEvent) -> None:
        self.events.append(event)


async def test_a_patch_is_applied_and_shown() -> None:
    shown = Shown({"a": 1})
    operations = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "replace", "path": "/a", "value": 2}]

    assert await shown.state.patch(operations) == '{"a": 2, "b": 1}'
    assert (shown.state.value, shown.events) == ({"a": 2, "b": 1}, [StateDelta(delta=operations)])


REFUSED: dict[str, tuple[Any, list[dict[str, Any]], str]] = {
    "copies that double it 100 times": ({"a": "x"}, COPIES, "larger than 128 KiB"),
    "one copy of half": (
        {"a": "x" * (MAX_STATE_BYTES // 2)},
        [{"op": "copy", "from": "/a", "path": "/b"}],
        "larger than 128 KiB",
    ),
    "a value that is too large": (
        {},
        [{"op": "add", "path": "/a", "value": "x" * MAX_STATE_BYTES}],
        "larger than 128 KiB",
    ),
    "levels without end": (
        {},
        [{"op": "add", "path": "/a" * (level + 1), "value": {}} for level in range(MAX_STATE_DEPTH)],
        "nested more than 64",
    ),
    "levels that are taken back": (
        {},
        [{"op": "add", "path": "/a", "value": nested(MAX_STATE_DEPTH + 1)}, {"op": "remove", "path": "/a"}],
        "nested more than 64",
    ),
    "a place that is not there": (
        {"a": 1},
        [{"op": "replace", "path": "/a", "value": 2}, {"op": "remove", "path": "/b"}],
        "does not fit",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_patch_changes_nothing(case: str) -> None:
    value, operations, words = REFUSED[case]
    shown = Shown(value)
    before = repr(value)

    with pytest.raises(ToolError, match=words):
        await shown.state.patch(operations)

    assert (repr(shown.state.value), shown.events) == (before, [])


async def test_a_state_is_shown_whole_or_the_client_is_told() -> None:
    shown = Shown({"a": "x" * 88})

    await shown.state.show(max_bytes=96)
    await shown.state.show(max_bytes=95)

    assert shown.events == [
        StateSnapshot(snapshot=shown.state.value),
        CustomEvent(name="agentroute.state-snapshot-omitted", value={"bytes": 96, "maxBytes": 95}),
    ]


async def test_a_state_of_more_levels_than_an_event_may_have_is_not_shown() -> None:
    value: Any = 1
    for _ in range(400):
        value = [value]
    shown = Shown(value)

    await shown.state.show(max_bytes=1000)

    assert [event.kind for event in shown.events] == ["custom"]
