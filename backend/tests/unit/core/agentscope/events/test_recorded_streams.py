"""The wire is what it was: recorded runs give the recorded bytes.

``RECORD_ANEW=1`` writes the recordings instead; see ``tests/recorded/README.md``.
"""

from __future__ import annotations

import os
from typing import get_args

import pytest
from tests.support.recorded_streams import Recording, play, record, recordings

from core.agentscope.schemas.internal_events import InternalRuntimeEvent

RECORDINGS = recordings()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
async def test_a_recorded_run_gives_the_recorded_bytes(recording: Recording) -> None:
    content = await play(recording)
    if os.environ.get("RECORD_ANEW"):
        record(recording, content)
        return

    assert content.keys() == recording.content.keys()
    for part, made in content.items():
        assert made == recording.content[part], part


def test_every_kind_of_event_is_recorded() -> None:
    union, *_ = get_args(InternalRuntimeEvent)
    kinds = {event.model_fields["kind"].default for event in get_args(union)}

    assert {event.kind for recording in RECORDINGS for event in recording.events} == kinds
