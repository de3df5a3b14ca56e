"""A request's messages against its thread: which of them count, and their place in history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.client_calls import KNOWN_CALLS, OPEN_CLIENT_CALLS
from core.agentscope.events.message_rows import to_row
from core.agentscope.runtime.accept.client_copy import ClientCopy
from core.agentscope.runtime.accept.new_messages import NewMessages, select_new_messages
from core.agentscope.runtime.accept.regeneration import replace_from
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import ForeignMessage, ToolMessage, UserMessage
from core.agentscope.schemas.titles import title_of
from core.errors import InvalidRequest
from models import AgentChatMessage, AgentChatSession, AgentRun


async def read_messages(
    session: AsyncSession, thread: AgentChatSession, command: RunCommand, *, is_new: bool
) -> tuple[NewMessages, ClientCopy]:
    """Return the messages that count, and what the others tell of the client's own copy of the thread.

    Args:
        session: An open transaction that holds the thread's lock.
        thread: Where the request belongs; what it replaces is marked in it.
        command: The request.
        is_new: The thread has no run yet.

    Raises:
        InvalidRequest: The messages contradict the thread or each other, or there is nothing to answer.
    """
    replaced_from = command.options().regenerate_from
    if replaced_from and command.resume:
        raise InvalidRequest(
            "'resume' and 'regenerateFrom' exclude each other: send one of them.",
            errors=[{"pointer": "/forwardedProps/regenerateFrom", "message": "excludes /resume"}],
        )
    known = await _known_ids(session, thread, command)
    open_calls: set[str] = set()
    settled_calls: set[str] = set()
    if not is_new and not replaced_from:
        open_calls, settled_calls = await _answered_calls(session, thread, command, known)
    messages = select_new_messages(
        command.messages,
        known_ids=known,
        open_tool_calls=open_calls,
        settled_tool_calls=settled_calls,
        thread_is_new=is_new,
        strict_tool_results=not command.resume and not replaced_from,
        run_id=None if command.resume or replaced_from else command.run_id,
    )
    if replaced_from:
        again = await replace_from(
            session, thread, replaced_from, command.messages, answered_instead=bool(messages.fresh)
        )
        messages = replace(messages, again=() if again is None else (again,))
    if not messages.fresh and not messages.again and not command.resume:
        raise InvalidRequest(
            """Nothing to answer: send at least one user message with an id this thread does not know, or name \
the message that is to be answered again in forwardedProps.regenerateFrom.""",
            errors=[{"pointer": "/messages", "message": "no new user message"}],
        )
    return messages, ClientCopy(session, thread, command, known)


async def write_messages(
    session: AsyncSession, thread: AgentChatSession, run: AgentRun, messages: NewMessages
) -> None:
    """Give the messages of a run that starts now their place in history, and the thread a title of them."""
    rows: list[dict[str, Any]] = []
    for group, imported in ((messages.imported, True), (messages.fresh, False)):
        for message in group:
            thread.last_position += 1
            rows.append(
                to_row(
                    message.wire(),
                    session_id=thread.id,
                    position=thread.last_position,
                    ordinal=run.ordinal or 0,
                    imported=imported,
                )
            )
    if rows:
        await session.execute(insert(AgentChatMessage), rows)
    if thread.title is None:
        thread.title = _first_title((*messages.imported, *messages.fresh))


async def _known_ids(session: AsyncSession, thread: AgentChatSession, command: RunCommand) -> set[str]:
    """Return those of the request's message ids that are in the thread's history."""
    ids = [message.id for message in command.messages]
    return set(
        await session.scalars(
            select(AgentChatMessage.message_id).where(
                AgentChatMessage.session_id == thread.id, AgentChatMessage.message_id.in_(ids)
            )
        )
    )


async def _answered_calls(
    session: AsyncSession, thread: AgentChatSession, command: RunCommand, known: Collection[str]
) -> tuple[set[str], set[str]]:
    """Return the thread's calls that the request answers: those that wait for the client, and all others."""
    answered = {
        message.tool_call_id
        for message in command.messages
        if isinstance(message, ToolMessage | ForeignMessage)
        and message.tool_call_id
        and message.id not in known
    }
    if not answered:
        return set(), set()
    waiting = set(await session.scalars(OPEN_CLIENT_CALLS, {"session_id": thread.id}))
    calls = await session.scalars(KNOWN_CALLS, {"session_id": thread.id, "call_ids": list(answered)})
    return answered & waiting, set(calls) - waiting


def _first_title(messages: Sequence[object]) -> str | None:
    first = next((message for message in messages if isinstance(message, UserMessage)), None)
    return None if first is None else title_of(first)
