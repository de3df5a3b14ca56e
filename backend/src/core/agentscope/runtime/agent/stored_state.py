"""The agent's state as it is stored in a checkpoint: whole, or reduced to the size that a checkpoint may have.

A conversation with many images outgrows what one statement can write in time. Its run, and every later one of the thread,
could then not be ended. So the oldest attachments are left out of what is stored, and a note for the model takes their
place. History keeps all of them.
"""

from __future__ import annotations

from typing import Any

import structlog
from agentscope.message import Base64Source, DataBlock, Msg, TextBlock, ToolResultBlock
from agentscope.state import AgentState

log = structlog.get_logger(__name__)

MAX_STATE_BYTES = 16 << 20
ATTACHMENT_LEFT_OUT = (
    "[An attachment was here. It was left out because the conversation has become too large.]"
)


def stored_state(state: AgentState, *, max_bytes: int = MAX_STATE_BYTES) -> str:
    """Return the state as JSON text. The state itself is not changed.

    If attachments alone do not make it small enough, the oldest messages are left out, up to a message of the user:
    no tool call is parted from its result.
    """
    text = state.model_dump_json()
    excess = _size(text) - max_bytes
    if excess <= 0:
        return text
    reduced = state.model_copy(deep=True)
    for message in reduced.context:
        if excess <= 0:
            break
        excess -= _without_attachments(message)
    text = reduced.model_dump_json()
    while _size(text) > max_bytes and (later := _next_user_message(reduced.context)):
        del reduced.context[:later]
        text = reduced.model_dump_json()
    log.warning("checkpoint_reduced", thread=state.session_id, bytes=_size(text), max_bytes=max_bytes)
    return text


def _without_attachments(message: Msg) -> int:
    """Replace a message's inline attachments by notes; returns the bytes saved."""
    if isinstance(message.content, str):
        return 0
    return _notes_instead(message.content)


def _notes_instead(blocks: list[Any]) -> int:
    saved = 0
    for place, block in enumerate(blocks):
        if isinstance(block, ToolResultBlock) and isinstance(block.output, list):
            saved += _notes_instead(block.output)
        elif isinstance(block, DataBlock) and isinstance(block.source, Base64Source):
            saved += len(block.source.data)
            blocks[place] = TextBlock(text=ATTACHMENT_LEFT_OUT)
    return saved


def _next_user_message(context: list[Msg]) -> int:
    """Return the place of the second message of the user, with which a conversation can begin; 0 if there is none."""
    return next((place for place, message in enumerate(context) if place and message.role == "user"), 0)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
