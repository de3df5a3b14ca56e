"""What an attachment is, in every way clients write it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.support.attachment_cases import CARRIED, UNCARRIED

from core.agentscope.schemas.attachments import (
    Carried,
    carried,
    decoded,
    document_text,
    in_words,
    plain_base64,
)
from core.agentscope.schemas.messages import ContentPart

PARTS: TypeAdapter[Any] = TypeAdapter(ContentPart)


def inline(kind: str, value: str, media_type: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "data", "value": value, "mimeType": media_type}} | more


@pytest.mark.parametrize("media_type", CARRIED)
def test_a_type_with_a_form_is_recognised_whatever_its_case_and_parameters(media_type: str) -> None:
    found = carried(media_type)

    assert found is not None
    assert found.media_type == found.media_type.lower()
    assert ";" not in found.media_type


@pytest.mark.parametrize("media_type", UNCARRIED, ids=lambda text: text[:30])
def test_a_type_without_a_form_is_named_in_words(media_type: str) -> None:
    assert carried(media_type) is None
    assert in_words(media_type).isprintable()
    assert len(in_words(media_type)) < 130


@pytest.mark.parametrize(
    ("media_type", "form"),
    [
        ("audio/x-wav", Carried("audio", "audio/wav")),
        ("audio/mp3", Carried("audio", "audio/mpeg")),
        ("image/jpg", Carried("image", "image/jpeg")),
        ("application/x-pdf", Carried("pdf", "application/pdf")),
    ],
)
def test_a_type_of_several_names_has_one(media_type: str, form: Carried) -> None:
    assert carried(media_type) == form


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("+/8=", b"\xfb\xff"),
        ("-_8=", b"\xfb\xff"),
        ("-_8", b"\xfb\xff"),
        ("+/\r\n8=\n", b"\xfb\xff"),
        ("", b""),
        ("no base64!", None),
        ("a", None),
        ("é", None),
    ],
)
def test_data_is_read_as_encoders_write_it(value: str, content: bytes | None) -> None:
    assert decoded(value) == content
    assert plain_base64(value) == (value if content is None else base64.b64encode(content).decode())


def test_a_document_is_text_whatever_its_bytes_are() -> None:
    assert document_text(b"\xef\xbb\xbfa\xff\x00b") == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (
            {"type": "binary", "mimeType": "image/png", "data": "AA=="},
            inline("image", "AA==", "image/png"),
        ),
        (
            {"type": "binary", "mimeType": "Audio/WAV", "data": "AA=="},
            inline("audio", "AA==", "Audio/WAV"),
        ),
        (
            {"type": "binary", "mimeType": "application/pdf", "data": "AA==", "filename": "a.pdf"},
            inline("document", "AA==", "application/pdf", metadata={"filename": "a.pdf"}),
        ),
        (
            {"type": "binary", "mimeType": "image/png", "url": "data:image/png;base64,AA=="},
            inline("image", "AA==", "image/png"),
        ),
        (
            {"type": "binary", "mimeType": "image/png", "url": "https://x.example/a", "data": None},
            {
                "type": "image",
                "source": {"type": "url", "value": "https://x.example/a", "mimeType": "image/png"},
            },
        ),
        (
            {"type": "binary", "mimeType": "video/mp4", "id": "file-1"},
            {"type": "video", "source": {"type": "file", "value": "file-1", "mimeType": "video/mp4"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "value": "DATA:image/gif;x=y;base64,AA=="}},
            inline("image", "AA==", "image/gif;x=y"),
        ),
        (
            {"type": "document", "source": {"type": "url", "value": "data:,a%20b"}},
            inline("document", base64.b64encode(b"a b").decode(), "text/plain"),
        ),
        (
            inline("image", "data:image/png;base64,AA==", "image/png"),
            inline("image", "AA==", "image/png"),
        ),
    ],
    ids=str,
)
def test_older_forms_and_data_urls_are_read_as_the_new_part(sent: Any, read: Any) -> None:
    assert PARTS.validate_python(sent).wire() == read


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "binary"},
        {"type": "binary", "mimeType": 5, "data": "AA=="},
        {"type": "binary", "mimeType": "image/png"},
        {"type": "binary", "data": "AA=="},
        {"type": "image", "source": {"type": "url", "value": 5}},
        {"type": "image", "source": "data:,x"},
    ],
    ids=str,
)
def test_half_a_part_is_refused(sent: Any) -> None:
    with pytest.raises(ValidationError):
        PARTS.validate_python(sent)
