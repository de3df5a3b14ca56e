"""Regeneration: a run replaces everything from one message on (``forwardedProps.regenerateFrom``).

The history changes, the log does not: replaced messages and runs are marked with the ordinal of the run that replaced
them. History shows only unmarked messages, and the agent uses only the checkpoints of unmarked runs. The history is
thus always a prefix of an earlier history plus later messages, so the newest unmarked checkpoint contains nothing
that was replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.message_rows import to_message
from core.agentscope.runtime.accept.new_attachments import without_mirrors
from core.agentscope.runtime.accept.same_content import same_content
from core.agentscope.schemas.messages import Message, UserMessage
from core.errors import InvalidRequest
from models import AgentChatMessage, AgentChatSession, AgentRun


async def replace_from(
    session: AsyncSession,
    thread: AgentChatSession,
    message_id: str,
    sent: Sequence[Message],
    *,
    answered_instead: bool,
) -> UserMessage | None:
    """Mark a user message and everything after it as replaced by the thread's next run.

    Args:
        session: An open transaction that holds the thread's lock; no run of the thread is live.
        thread: The thread.
        message_id: The user message from which on to replace.
        sent: The messages of the request.
        answered_instead: The request brings a new message to answer. Without one the
            named message stays and is answered again.

    Returns:
        The message that is answered again, if it is.

    Raises:
        InvalidRequest: The thread shows no user message with this id, or it came back with another content.
    """
    row = await session.scalar(
        select(AgentChatMessage).where(
            AgentChatMessage.session_id == thread.id,
            AgentChatMessage.message_id == message_id,
            AgentChatMessage.role == "user",
            AgentChatMessage.replaced_by_ordinal.is_(None),
        )
    )
    if row is None:
        raise InvalidRequest(
            "'regenerateFrom' does not name a user message in this thread's history.",
            errors=[
                {"pointer": "/forwardedProps/regenerateFrom", "message": "not a user message of this thread"}
            ],
        )
    again = None if answered_instead else _unchanged(row, sent)
    first = row.position if again is None else row.position + 1
    replaced_by = {"replaced_by_ordinal": thread.last_ordinal + 1}
    await session.execute(
        update(AgentChatMessage)
        .where(
            AgentChatMessage.session_id == thread.id,
            AgentChatMessage.position >= first,
            AgentChatMessage.replaced_by_ordinal.is_(None),
        )
        .values(replaced_by)
    )
    await session.execute(
        update(AgentRun)
        .where(
            AgentRun.session_id == thread.id,
            AgentRun.ordinal >= row.ordinal,
            AgentRun.replaced_by_ordinal.is_(None),
        )
        .values(replaced_by)
    )
    return again


def _unchanged(row: AgentChatMessage, sent: Sequence[Message]) -> UserMessage:
    """Return the stored message; a client's copy of it that says something else is refused, not ignored."""
    stored = UserMessage.model_validate(to_message(row))
    for place, message in enumerate(sent):
        if message.id != stored.id or not isinstance(message, UserMessage):
            continue
        # Stored without mirrors of its attachments. An older version stored them.
        if not same_content(without_mirrors(message), without_mirrors(stored)):
            raise InvalidRequest(
                "An edited message needs a new id. With its old id a message is answered again unchanged.",
                errors=[{"pointer": f"/messages/{place}/content", "message": "not the message with this id"}],
            )
    return stored
