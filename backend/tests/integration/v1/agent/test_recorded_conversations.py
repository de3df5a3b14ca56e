"""Clients get what they got: recorded conversations with the whole service, event by event.

``RECORD_ANEW=1`` writes the recordings instead; see ``tests/recorded/README.md``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from tests.support.recorded_conversations import (
    ALL,
    CONVERSATIONS,
    PROFILE,
    Talk,
    lines_of,
    record,
    recorded,
)
from tests.support.stack import OpenStack, Stack, Web


@pytest.fixture(scope="module")
async def service(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    profile = tmp_path_factory.mktemp("recorded") / "agent.toml"
    profile.write_text(PROFILE)
    async with open_stack(profile_path=profile) as stack:
        yield stack


@pytest.mark.parametrize("name", ALL)
async def test_a_recorded_conversation_goes_as_it_went(name: str, service: Stack, web: Web) -> None:
    talk = Talk(service, web, name)
    await ALL[name](talk)
    await talk.ended()
    if os.environ.get("RECORD_ANEW"):
        record(name, lines_of(talk))

    assert lines_of(talk) == recorded(name)


def test_no_recording_is_left_over() -> None:
    assert {path.stem for path in CONVERSATIONS.glob("*.json")} == set(ALL)
