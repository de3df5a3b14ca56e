"""What an MCP server answered, as the text that the model reads. Works on the library's objects without importing it.

Text, images, sounds and resources become text as those of our own tools do (``foreign_results``): what is no text
becomes a line that names it. ``structuredContent`` is kept, unless the text says the same already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from core.agentscope.tools.foreign_results import unwrapped
from core.agentscope.tools.result_text import result_text
from core.redaction import MASK

_EMPTY = "Done."


def answer_text(result: Any, secrets: Iterable[str] = ()) -> str:
    """Return the text of a ``CallToolResult``.

    Args:
        result: The library's object.
        secrets: Masked, should the server repeat them.
    """
    said = unwrapped(list(result.content))
    text = said if isinstance(said, str) else ""
    structured = result.structuredContent
    if structured is not None and not _says(text, structured):
        text = "\n".join(filter(None, (text, result_text(structured))))
    return without_secrets(text, secrets) or _EMPTY


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Mask the values that the profile took from the environment."""
    for secret in sorted(secrets, key=len, reverse=True):
        # A short value stands in ordinary text, too.
        if len(secret) >= 8:
            text = text.replace(secret, MASK)
    return text


def _says(text: str, structured: Any) -> bool:
    """Tell whether a text is the structured content as JSON, as servers write it for older clients."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = text
    wrapped = structured.get("result") if isinstance(structured, dict) and len(structured) == 1 else None
    return bool(said == structured or (wrapped is not None and said == wrapped))
