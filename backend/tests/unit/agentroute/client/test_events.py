"""Events as dataclasses: the official types with the official names, and nothing is lost of what is not known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import ag_ui.core
import pytest
from pydantic import TypeAdapter
from tests.support.recorded_streams import Recording, recordings

from agentroute.client import events
from agentroute.client.events import UnknownEvent, read_event
from agentroute.client.wire_form import WireFormError
from core.agentscope.events.event_types import EVENT_TYPES, TERMINAL_TYPES

_OWN = {"cursor", "raw"}
_AG_UI: TypeAdapter[Any] = TypeAdapter(ag_ui.core.Event)


def test_every_type_of_the_service_has_a_class() -> None:
    assert set(events._KINDS) == set(EVENT_TYPES)
    assert events.TERMINAL_TYPES == TERMINAL_TYPES


@pytest.mark.parametrize("type_", sorted(events._KINDS))
def test_the_classes_and_fields_are_those_of_the_official_package(type_: str) -> None:
    kind = events._KINDS[type_]
    official = getattr(ag_ui.core, kind.__name__)
    assert {each.name for each in dataclasses.fields(kind)} - _OWN <= {
        *official.model_fields,
        "subagent_run_id",
    }
    assert official.model_fields["type"].default == type_
    required = {name for name, each in official.model_fields.items() if each.is_required()}
    assert required <= {each.name for each in dataclasses.fields(kind)}


@pytest.mark.parametrize("recording", recordings(), ids=lambda each: each.name)
def test_recorded_streams_are_read_whole(recording: Recording) -> None:
    (*bodies,) = (json.loads(frame.partition("data: ")[2]) for frame in recording.content["frames"])
    for body in bodies:
        event = read_event(body, "1-1")
        assert not isinstance(event, UnknownEvent)
        assert (event.type, event.raw, event.cursor) == (body["type"], body, "1-1")
        # What the dataclass leaves away, and what needs the official types, reads `raw`.
        assert _AG_UI.validate_python(event.raw).type == event.type


@pytest.mark.parametrize(
    "body",
    [
        {"type": "LATER_EVENT", "x": 1},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": 3, "delta": "x"},
        {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"interrupts": [{"no": "id"}]}},
    ],
)
def test_what_is_not_known_survives(body: dict[str, Any]) -> None:
    assert read_event(body, "1-1") == UnknownEvent(type=body["type"], cursor="1-1", raw=body)
    assert read_event(body, "1-1").raw == body


def test_a_later_outcome_and_later_members_do_no_harm() -> None:
    body = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "later"}, "later": 1}
    event = read_event(body)
    assert isinstance(event, events.RunFinishedEvent)
    assert event.outcome.type == "later"


def test_a_run_before_1_0_that_finished_has_succeeded() -> None:
    event = read_event({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"})
    assert isinstance(event, events.RunFinishedEvent)
    assert event.outcome == events.Outcome(type="success")


@pytest.mark.parametrize("body", [None, [], "x", {}, {"type": 3}])
def test_what_is_no_event_is_refused(body: Any) -> None:
    with pytest.raises(WireFormError):
        read_event(body)
