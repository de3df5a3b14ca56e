"""Makes the name of an upload harmless: it is shown to people and models, and sent in a header. Pure."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

MAX_CHARACTERS = 128
_FALLBACK = "file"
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})
# Images, sounds and plain text are shown; a browser downloads everything else.
_SHOWN = ("image/", "audio/", "video/")


def clean_name(name: str) -> str:
    """Return the last part of a path, without control characters and changes of the writing direction, cut to 128."""
    # The directories are the client's own: nobody here may learn or use them.
    last = name[-4096:].replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(
        " " if character.isspace() else character
        for character in last
        if unicodedata.category(character) not in _HIDDEN or character.isspace()
    )
    shown = " ".join(shown.split()).strip(". ")
    if len(shown) > MAX_CHARACTERS:
        stem, dot, ending = shown.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 16 else ""
        shown = shown[: MAX_CHARACTERS - len(ending)] + ending
    return shown or _FALLBACK


def content_disposition(name: str, media_type: str) -> str:
    """Return the header: shown in place if that is useful, otherwise a download. Source: RFC 6266, RFC 8187."""
    shown = media_type.startswith(_SHOWN) or media_type == "text/plain"
    kind = "inline" if shown else "attachment"
    plain = "".join(
        character if character.isascii() and character not in '"\\%' else "_" for character in name
    )
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
