"""The agent's state as it is stored in a checkpoint: whole, or reduced to the size that a checkpoint may have.

A conversation with many images outgrows what one statement can write in time. Its run, and every later one of the thread,
could then not be ended. So the oldest attachments are left out of what is stored, and a note for the model takes their
place. History keeps all of them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import structlog
from agentscope.message import Base64Source, DataBlock, Msg, TextBlock, ToolResultBlock
from agentscope.state import AgentState

from core.agentscope.events.state_parts import PartsMaker, StoredState
from core.garbage import no_collections

log = structlog.get_logger(__name__)

MAX_STATE_BYTES = 16 << 20
_NOTHING = object()
_NOT_IN_THE_HEAD = {"context", "permission_context"}
"""Permission rules are code of today. A thread that goes on with another agent must not take them along."""
ATTACHMENT_LEFT_OUT = (
    "[An attachment was here. It was left out because the conversation has become too large.]"
)


def stored_state(state: AgentState, *, max_bytes: int = MAX_STATE_BYTES) -> StoredState:
    """Return the state as it is stored. The state itself is not changed.

    If attachments alone do not make it small enough, the oldest messages are left out, up to a message of the user:
    no tool call is parted from its result.
    """
    stored = in_parts(state)
    excess = stored.size - max_bytes
    if excess <= 0:
        return stored
    reduced = state.model_copy(deep=True)
    for message in reduced.context:
        if excess <= 0:
            break
        excess -= _without_attachments(message)
    stored = in_parts(reduced)
    while stored.size > max_bytes and (later := _next_user_message(reduced.context)):
        del reduced.context[:later]
        stored = in_parts(reduced)
    log.warning("checkpoint_reduced", thread=state.session_id, bytes=stored.size, max_bytes=max_bytes)
    return stored


def in_parts(state: AgentState) -> StoredState:
    """Return a state in its parts; what is as in every new state is left out, and so are permission rules."""
    members = json.loads(state.model_dump_json(exclude=_NOT_IN_THE_HEAD))
    head = {name: value for name, value in members.items() if _blank().get(name, _NOTHING) != value}
    with no_collections():
        short = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
        return PartsMaker().state(short, map(stored_message, state.context))


_NULLABLE = tuple(name for name, member in Msg.model_fields.items() if member.default is None)


def stored_message(message: Msg) -> str:
    """Return a message as JSON, without the members that are null: it is read with null."""
    return message.model_dump_json(exclude={name for name in _NULLABLE if getattr(message, name) is None})


@cache
def _blank() -> dict[str, Any]:
    return json.loads(AgentState(session_id="").model_dump_json(exclude=_NOT_IN_THE_HEAD))


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
