"""Names of media types: their usual form, and which of them are texts. Pure."""

from __future__ import annotations

import re

_TEXT = re.compile(
    r"text/.+|application/(?:json|xml|yaml|x-yaml|toml|csv|x-ndjson|jsonl|javascript|sql)|application/.+\+(?:json|xml)"
)


def essence(media_type: str) -> str:
    """Return a media type without its parameters, in lower case: ``audio/webm`` of ``Audio/WebM;codecs=opus``."""
    return media_type.partition(";")[0].strip().lower()


def is_text(plain: str) -> bool:
    """Say whether content of a type can be read as text.

    Args:
        plain: The type, as :func:`essence` returns it.
    """
    return _TEXT.fullmatch(plain) is not None
