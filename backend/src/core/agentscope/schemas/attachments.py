"""What an attachment is, and in which form a chat model can be given it.

Chat completions carry images, two formats of audio, and PDF. Texts are given as text. Nothing else has a form there:
such an attachment is refused when it is sent (``runtime/accept/new_messages.py``), and named in words where an older
message has it. Pure: without models, I/O or AgentScope.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from core.media_types import essence, is_text

Form = Literal["image", "audio", "pdf", "text"]

MAX_TEXT_BYTES = 128 << 10
"""Longest text document: as much as a message may have."""

_DATA_URL = re.compile(
    r"data:(?P<type>[^,]*?)(?P<base64>;\s*base64)?,(?P<data>.*)", re.IGNORECASE | re.DOTALL
)
_URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")
_MAX_SHOWN = 64

_AUDIO = {
    **dict.fromkeys(("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), "audio/wav"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3"), "audio/mpeg"),
}
_IMAGE_NAMES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_PDF = frozenset({"application/pdf", "application/x-pdf"})


class Carried(NamedTuple):
    """How a chat completion carries an attachment."""

    form: Form
    media_type: str
    """The usual name, without parameters."""


def carried(media_type: str) -> Carried | None:
    """Return how an attachment of this type is carried; ``None`` if chat completions have no form for it."""
    plain = essence(media_type)
    if plain in _AUDIO:
        return Carried("audio", _AUDIO[plain])
    if plain.startswith("image/") and len(plain) > len("image/"):
        return Carried("image", _IMAGE_NAMES.get(plain, plain))
    if plain in _PDF:
        return Carried("pdf", "application/pdf")
    return Carried("text", plain) if is_text(plain) else None


def in_words(media_type: str) -> str:
    """Return what a model reads in place of an attachment it cannot be given."""
    shown = "".join(letter for letter in essence(media_type)[:_MAX_SHOWN] if letter.isprintable())
    return f"[an attachment of type {shown or 'unknown'} that cannot be shown here]"


def decoded(value: str) -> bytes | None:
    """Return the bytes of inline data; ``None`` if it is not base64.

    Line breaks, the URL-safe alphabet and missing padding are accepted: encoders of clients write all of them.
    """
    text = value.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


class PlainBase64(str):
    """Base64 of our own making: every provider accepts it, so nobody decodes it to see."""

    __slots__ = ()


def encoded(content: bytes) -> PlainBase64:
    """Return bytes as base64. It takes a while for large ones: call it in a thread."""
    return PlainBase64(base64.b64encode(content).decode("ascii"))


def plain_base64(value: str) -> str:
    """Return inline data as every provider accepts it; unchanged if it is not base64."""
    if isinstance(value, PlainBase64):
        return value
    content = decoded(value)
    return value if content is None else base64.b64encode(content).decode()


def document_text(content: bytes) -> str:
    """Return the text of a document; bytes that are not UTF-8 become U+FFFD."""
    return content.decode("utf-8-sig", "replace").replace("\x00", "\ufffd")


def as_inline(source: Any) -> Any:
    """Return a source with its data inline if its value is a ``data:`` URL; any other source unchanged."""
    # A tuple: nothing is validated yet, so the type may be an object, and a set refuses to look for one.
    if not isinstance(source, dict) or source.get("type") not in ("url", "data"):
        return source
    value = source.get("value")
    if not isinstance(value, str) or value[:5].lower() != "data:":
        return source
    found = _DATA_URL.fullmatch(value)
    if found is None:
        return source
    data = found["data"] if found["base64"] else base64.b64encode(unquote_to_bytes(found["data"])).decode()
    media_type = found["type"].strip() or source.get("mimeType") or "text/plain"
    return {"type": "data", "value": data, "mimeType": media_type}


def as_part(part: Any) -> Any:
    """Return the part of AG-UI 1.0 for a part of type ``binary``, as clients before 1.0 send it.

    Source: AG-UI 0.0.x, ``BinaryInputContent``: a type, and one of data, url and id.
    """
    if not isinstance(part, dict) or part.get("type") != "binary":
        return part
    media_type = part.get("mimeType")
    kind = essence(media_type).partition("/")[0] if isinstance(media_type, str) else ""
    source: dict[str, Any] = {} if media_type is None else {"mimeType": media_type}
    for member, source_type in (("data", "data"), ("url", "url"), ("id", "file")):
        if part.get(member) is not None:
            source |= {"type": source_type, "value": part[member]}
            break
    else:
        # The oldest meaning of a part without any: its data is missing.
        source |= {"type": "data"}
    # The file name travels with the part: AG-UI 1.0 has no member for it.
    metadata = part.get("metadata")
    if metadata is None and isinstance(part.get("filename"), str):
        metadata = {"filename": part["filename"]}
    form: dict[str, Any] = {
        "type": kind if kind in {"image", "audio", "video"} else "document",
        "source": source,
    }
    return form if metadata is None else form | {"metadata": metadata}
