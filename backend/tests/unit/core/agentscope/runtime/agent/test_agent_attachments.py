"""Media that a model wrote, as the event that shows them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest
from agentscope import event as agentscope
from tests.support.nested import nested

from core.agentscope.runtime.agent.agent_attachments import DATA_EVENT, OpenMedia, own_event

NAMED = {"messageId": "m1", "blockId": "b1", "mediaType": "audio/wav", "name": "answer.wav"}
FIRST, SECOND = (b64encode(piece).decode() for piece in (b"first", b"second"))


def start() -> agentscope.DataBlockStartEvent:
    return agentscope.DataBlockStartEvent(
        reply_id="r1", block_id="b1", media_type="audio/wav", name="answer.wav"
    )


def delta(*, data: str | None = None, url: str | None = None) -> agentscope.DataBlockDeltaEvent:
    return agentscope.DataBlockDeltaEvent(
        reply_id="r1", block_id="b1", media_type="audio/wav", data=data, url=url
    )


@pytest.mark.parametrize(
    ("deltas", "source"),
    [
        ([delta(data=FIRST), delta(data=SECOND)], {"data": [FIRST, SECOND]}),
        ([delta(data="A" * 40), delta(data="A" * 40)], {"omittedBytes": 60}),
        ([delta(url="https://shop.test/answer.wav")], {"url": "https://shop.test/answer.wav"}),
    ],
    ids=["pieces", "too large", "address"],
)
def test_media_are_shown_once_at_their_end(deltas: list[Any], source: dict[str, Any]) -> None:
    media = OpenMedia(64)

    assert [media.take(event, "m1") for event in (start(), *deltas)] == [[]] * (len(deltas) + 1)
    (shown,) = media.take(agentscope.DataBlockEndEvent(reply_id="r1", block_id="b1"), "m1")

    assert (shown.name, shown.value) == (DATA_EVENT, NAMED | source)


@pytest.mark.parametrize(("levels", "is_shown"), [(250, True), (252, False), (400, False)])
def test_a_value_that_no_event_can_have_is_left_out(levels: int, is_shown: bool) -> None:
    shown = own_event(agentscope.CustomEvent(name="shop", value={"a": nested(levels - 1)}), 10_000)

    assert (list(shown.value) == ["a"]) is is_shown
    assert orjson.dumps(shown.model_dump(mode="json"))
