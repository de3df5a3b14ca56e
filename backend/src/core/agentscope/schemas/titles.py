"""A thread's first title: the first words of its first message. Pure."""

from __future__ import annotations

from core.agentscope.schemas.messages import TextPart, UserMessage

_MAX_CHARS = 60


def title_of(message: UserMessage) -> str | None:
    """Return a thread's first title, or ``None`` when the message has no words.

    A title is one line of at most 61 characters: up to 60 of the message, cut between two words where
    possible, and ``…`` when something was cut.
    """
    text = message.content if isinstance(message.content, str) else _text_of(message)
    words = " ".join(text.split())
    if len(words) <= _MAX_CHARS:
        return words or None
    return words[:_MAX_CHARS].rsplit(" ", 1)[0].rstrip() + "…"


def _text_of(message: UserMessage) -> str:
    parts = message.content if isinstance(message.content, list) else []
    return " ".join(part.text for part in parts if isinstance(part, TextPart))
