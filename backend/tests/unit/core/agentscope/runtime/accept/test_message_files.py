"""A client's copy of a message, and which messages need more than the usual way."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from core.agentscope.runtime.accept.message_files import has_files
from core.agentscope.runtime.accept.same_content import same_content
from core.agentscope.schemas.messages import UserMessage

CONTENT = b"content" * 10
ID = hashlib.sha256(CONTENT).hexdigest()
INLINE = {"type": "data", "value": base64.b64encode(CONTENT).decode(), "mimeType": "image/png"}
FILE = {"type": "file", "value": ID, "provider": "agentroute", "mimeType": "image/png"}


def message(*sources: Any, kind: str = "image", **members: Any) -> UserMessage:
    parts = [{"type": kind, "source": source, **members} for source in sources]
    return UserMessage.model_validate({"id": "m", "role": "user", "content": parts})


STORED = message(FILE, metadata={"url": "/x", "filename": "a.png"})
SAME = {
    "inline": (message(INLINE), True),
    "by its id": (message({"type": "file", "value": ID}), True),
    "as history has it": (STORED, True),
    "other bytes": (message(INLINE | {"value": base64.b64encode(b"x").decode()}), False),
    "no base64": (message(INLINE | {"value": "?"}), False),
    "another file": (message(FILE | {"value": "0" * 64}), False),
    "another kind": (message(INLINE, kind="document"), False),
    "one more": (message(INLINE, INLINE), False),
    "text": (UserMessage(id="m", role="user", content="content"), False),
}


@pytest.mark.parametrize("case", SAME)
def test_a_copy_says_the_same_if_its_bytes_are_those_of_the_file(case: str) -> None:
    sent, same = SAME[case]

    assert same_content(sent, STORED) is same


@pytest.mark.parametrize(
    ("sent", "inline_bytes", "needed"),
    [
        (message(FILE), None, True),
        (message(INLINE), None, False),
        (message(INLINE), len(CONTENT), False),
        (message(INLINE), len(CONTENT) - 1, True),
        (UserMessage(id="m", role="user", content="x" * 1000), 1, False),
    ],
    ids=["named", "no store", "at the limit", "above the limit", "text"],
)
def test_files_and_large_data_are_not_the_usual_way(
    sent: UserMessage, inline_bytes: int | None, needed: bool
) -> None:
    assert has_files(sent, inline_bytes) is needed
