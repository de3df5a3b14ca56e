"""The table of event types against the official models, and against what the codec writes."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from ag_ui.core import Event
from ag_ui.core.events import EventType as OfficialType
from hypothesis import given, settings
from pydantic import BaseModel
from tests.support import internal_event_strategies as any_of
from tests.support.recorded_streams import state_from_log

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.event_types import (
    EVENT_TYPES,
    TERMINAL_TYPES,
    EventType,
    prefixes,
)
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent

NEVER_WRITTEN = {
    # shorthand for what is written in full
    "TEXT_MESSAGE_CHUNK",
    "TOOL_CALL_CHUNK",
    "REASONING_MESSAGE_CHUNK",
    # nothing here has activities, and no provider's event is handed through
    "ACTIVITY_SNAPSHOT",
    "ACTIVITY_DELTA",
    "RAW",
}
ROWS = [pytest.param(name, row, id=name) for name, row in EVENT_TYPES.items()]


def official_models() -> dict[str, type[BaseModel]]:
    """The official model of each type."""
    models: tuple[type[BaseModel], ...] = get_args(get_args(Event)[0])
    return {get_args(model.model_fields["type"].annotation)[0].value: model for model in models}


def members(name: str, *, required: bool = False) -> set[str]:
    fields = official_models()[name].model_fields.values()
    return {field.alias or "" for field in fields if field.is_required() or not required} | {
        field_name
        for field_name, field in official_models()[name].model_fields.items()
        if field.alias is None and (field.is_required() or not required)
    }


def test_every_official_type_has_a_row_or_is_never_written() -> None:
    assert set(EVENT_TYPES) | NEVER_WRITTEN == {kind.value for kind in OfficialType}
    assert not NEVER_WRITTEN & set(EVENT_TYPES)
    assert set(official_models()) == {kind.value for kind in OfficialType}


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_row_names_members_that_the_official_model_requires(name: str, row: EventType) -> None:
    if row.item is not None:
        assert row.item in members(name, required=True)
    if row.growing:
        assert "delta" in members(name, required=True)


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_whoever_opens_an_item_owns_it_and_what_is_opened_can_be_closed(name: str, row: EventType) -> None:
    if row.opens is not None:
        closing = [other for other in EVENT_TYPES.values() if other.closes == row.opens]
        assert closing
        assert {other.item for other in closing} == {row.item}
    if row.attribution in ("opener", "item"):
        assert row.item is not None
    assert not (row.differs_before_1_0 and row.custom_before_1_0)


def test_a_run_has_two_kinds_of_last_events() -> None:
    assert prefixes(TERMINAL_TYPES) == (b'{"type":"RUN_ERROR"', b'{"type":"RUN_FINISHED"')


@settings(max_examples=60, deadline=None)
@given(any_of.runs)
def test_everything_the_codec_writes_has_a_row(events: list[InternalRuntimeEvent]) -> None:
    state = RunWireState("t-1", "r-1")
    for event in events:
        for item in to_agui_wire(event, state, timestamp_ms=1):
            assert item.type in EVENT_TYPES


def test_an_event_of_a_newer_version_in_a_log_is_passed_by() -> None:
    started: dict[str, Any] = {"type": "TEXT_MESSAGE_START", "messageId": "m-1", "role": "assistant"}
    log = [AgUiWireEvent(body["type"], body) for body in (started, {"type": "SOMETHING_NEW"})]

    assert state_from_log("t-1", "r-1", log).texts == ["m-1"]
