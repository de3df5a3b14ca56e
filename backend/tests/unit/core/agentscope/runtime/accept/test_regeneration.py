"""Which copy of a message is the message that is answered again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.attachment_cases import DATA, part

from core.agentscope.runtime.accept.regeneration import _unchanged
from core.agentscope.schemas.messages import UserMessage
from core.errors import InvalidRequest
from models import AgentChatMessage

IMAGE = part("image", "image/png")
MIRROR = {"type": "binary", "mimeType": "image/png", "data": DATA}


def again(stored: list[dict[str, Any]], sent: list[dict[str, Any]]) -> UserMessage:
    row = AgentChatMessage(message_id="m", role="user", content=stored)
    copy = UserMessage.model_validate({"id": "m", "role": "user", "content": sent})
    return _unchanged(row, [copy])


@pytest.mark.parametrize("stored", [[IMAGE], [IMAGE, IMAGE]])
@pytest.mark.parametrize("sent", [[IMAGE], [IMAGE, MIRROR]])
def test_a_mirror_of_an_attachment_is_no_edit(stored: list[Any], sent: list[Any]) -> None:
    assert again(stored, sent).id == "m"


def test_another_attachment_is_an_edit() -> None:
    with pytest.raises(InvalidRequest):
        again([IMAGE], [part("image", "image/png", "AAAA")])
