"""Attachments of new messages: refused when they are sent, or given to the model."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.attachment_cases import CARRIED, DATA, PART_TYPES, UNCARRIED, part

from core.agentscope.runtime.accept.new_attachments import check_attachments, without_mirrors
from core.agentscope.schemas.attachments import MAX_TEXT_BYTES
from core.agentscope.schemas.messages import UserMessage
from core.errors import AttachmentUnsupported, LimitExceeded


def message(*parts: dict[str, Any]) -> UserMessage:
    return UserMessage.model_validate({"id": "m-1", "role": "user", "content": [*parts]})


def refused(kind: type[Exception], *parts: dict[str, Any]) -> Any:
    with pytest.raises(kind) as caught:
        check_attachments(message(*parts), "/messages/0/content")
    return caught.value


@pytest.mark.parametrize("kind", PART_TYPES)
@pytest.mark.parametrize("media_type", CARRIED)
def test_what_has_a_form_is_accepted_under_every_part_type(kind: str, media_type: str) -> None:
    check_attachments(message(part(kind, media_type)), "")


@pytest.mark.parametrize("kind", PART_TYPES)
@pytest.mark.parametrize("media_type", UNCARRIED, ids=lambda text: text[:30])
def test_what_has_none_is_refused_by_its_place(kind: str, media_type: str) -> None:
    error = refused(AttachmentUnsupported, {"type": "text", "text": "listen"}, part(kind, media_type))

    assert [entry["pointer"] for entry in error.errors] == ["/messages/0/content/1/source/mimeType"]
    assert len(error.detail) < 400


@pytest.mark.parametrize("media_type", ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg"])
def test_a_recording_of_a_browser_is_told_where_to_go(media_type: str) -> None:
    detail = refused(AttachmentUnsupported, part("audio", media_type)).detail

    assert media_type.partition(";")[0] in detail
    assert "POST /transcribe" in detail


@pytest.mark.parametrize(
    ("value", "why"), [("", "is empty"), (" \n", "is empty"), ("no base64!", "is not base64")]
)
def test_data_that_is_none_is_refused_by_its_place(value: str, why: str) -> None:
    error = refused(AttachmentUnsupported, part("image", "image/png", value))

    assert error.errors == [{"pointer": "/messages/0/content/0/source/value", "message": why}]


def test_a_text_document_has_the_length_of_a_message() -> None:
    check_attachments(message(part("document", "text/plain", "AAAA" * (MAX_TEXT_BYTES // 3))), "")
    refused(LimitExceeded, part("document", "text/plain", "AAAA" * (MAX_TEXT_BYTES // 3 + 1)))


def test_a_mirror_of_the_same_bytes_counts_once() -> None:
    new = part("image", "image/png")
    old = {"type": "binary", "mimeType": "IMAGE/png; x=y", "data": DATA}
    other = {"type": "binary", "mimeType": "image/png", "data": "AAAA"}
    text = {"type": "text", "text": "look"}

    kept = without_mirrors(message(text, new, old, text, other))

    assert [item["type"] for item in kept.wire()["content"]] == ["text", "image", "text", "image"]
    assert kept.wire()["content"][3]["source"]["value"] == "AAAA"
