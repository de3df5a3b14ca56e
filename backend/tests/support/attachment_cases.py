"""Attachments as clients send them: every part type, media types with their parameters, and every kind of source."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from typing import Any

PART_TYPES = ("image", "audio", "video", "document")
CARRIED = (
    "image/png",
    "image/jpg",
    "IMAGE/WebP; q=1",
    "image/heic",
    "image/svg+xml",
    "audio/wav",
    "audio/x-wav;codec=pcm",
    "audio/mpeg",
    "Audio/MP3",
    "application/pdf",
    "application/pdf; version=1.7",
    "text/plain",
    "text/csv; charset=utf-8; header=present",
    "text/markdown",
    "application/json",
    "application/ld+json",
)
"""Chat completions have a form for these."""
UNCARRIED = (
    "audio/webm;codecs=opus",
    'audio/webm; codecs="opus"',
    "audio/mp4",
    "audio/mp4;codecs=mp4a.40.2",
    "audio/ogg",
    "audio/ogg; codecs=opus",
    "audio/flac",
    "audio/aac",
    "audio/",
    "video/mp4",
    "video/webm;codecs=vp9,opus",
    "application/zip",
    "application/octet-stream",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "",
    ";",
    "image",
    "image/",
    "nonsense",
    "\u001b[31m/x",
    "x" * 5000,
)
"""Chat completions have none for these."""

DATA = base64.b64encode(b"bytes of it").decode()


def part(kind: str, media_type: str, value: str = DATA) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "data", "value": value, "mimeType": media_type}}


def every_part() -> Iterator[dict[str, Any]]:
    """Yield every part that a thread of any version may hold."""
    for kind, media_type in itertools.product(PART_TYPES, (*CARRIED, *UNCARRIED)):
        yield part(kind, media_type)
        yield part(kind, media_type, "no base64!")
        yield part(kind, media_type, "")
        yield {
            "type": kind,
            "source": {"type": "url", "value": "https://x.example/a", "mimeType": media_type},
        }
        yield {"type": kind, "source": {"type": "file", "value": "file-1", "mimeType": media_type}}
    for kind in PART_TYPES:
        yield {"type": kind, "source": {"type": "url", "value": "https://x.example/a"}}
        yield {"type": kind, "source": {"type": "file", "value": "file-1"}}
