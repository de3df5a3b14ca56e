"""Whether a client's copy of a message says what the stored one says, though its inline data became files. Pure."""

from __future__ import annotations

import hashlib

from core.agentscope.schemas.attachments import decoded
from core.agentscope.schemas.messages import ContentPart, DataSource, FileSource, MediaPart, UserMessage


def same_content(sent: UserMessage, stored: UserMessage) -> bool:
    """Say whether a client's copy of a message is the stored one: inline data may have become a file."""
    if sent.content == stored.content:
        return True
    if isinstance(sent.content, str) or isinstance(stored.content, str):
        return False
    return len(sent.content) == len(stored.content) and all(map(_same_part, sent.content, stored.content))


def _same_part(sent: ContentPart, stored: ContentPart) -> bool:
    if sent == stored:
        return True
    if not isinstance(sent, MediaPart) or not isinstance(stored, MediaPart) or sent.type != stored.type:
        return False
    if not isinstance(stored.source, FileSource):
        return False
    if isinstance(sent.source, FileSource):
        return sent.source.value == stored.source.value
    if not isinstance(sent.source, DataSource) or (content := decoded(sent.source.value)) is None:
        return False
    return hashlib.sha256(content).hexdigest() == stored.source.value
