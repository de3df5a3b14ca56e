"""Says what a file is by its first bytes. What the client claims counts only among texts, which have no mark of their own.

Nothing is opened or decoded: an archive is known by its first bytes, whatever is in it. Pure.
"""

from __future__ import annotations

import re

import filetype

from core.media_types import essence, is_text

HEAD_BYTES = 8 << 10
"""As many of the first bytes as are looked at."""

UNKNOWN = "application/octet-stream"
_TEXT = "text/plain"
_CLAIM = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,63}")
_USUAL = {
    "audio/x-wav": "audio/wav",
    "image/vnd.microsoft.icon": "image/x-icon",
    "audio/x-flac": "audio/flac",
}
# filetype knows neither, and both are dangerous if they are taken for harmless text.
_MARKUP = (
    (
        re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!doctype svg[^>]*>\s*)*<svg[\s>]", re.I | re.S),
        "image/svg+xml",
    ),
    (
        re.compile(rb"(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|script|iframe)[\s>]", re.I | re.S),
        "text/html",
    ),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def media_type_of(head: bytes, claimed: str = "") -> str:
    """Return the media type of a file.

    Args:
        head: Its first :data:`HEAD_BYTES`, or all of it.
        claimed: What the client says it is.
    """
    found = filetype.guess(head)
    if found is not None:
        known = str(found.mime)
        return _USUAL.get(known, known)
    if not _looks_like_text(head):
        return UNKNOWN
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for form, media_type in _MARKUP:
        if form.match(start):
            return media_type
    plain = essence(claimed)
    return plain if _CLAIM.fullmatch(plain) and is_text(plain) else _TEXT


def _looks_like_text(head: bytes) -> bool:
    if _CONTROL.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as exc:
        # The head may end in the middle of a character.
        return len(head) >= HEAD_BYTES and exc.start >= len(head) - 3
    return True
