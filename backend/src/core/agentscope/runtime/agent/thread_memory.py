"""What the agent remembers of a thread: its last checkpoint, and the messages of history that are newer.

A run that failed or was lost leaves messages in history that no checkpoint has, also messages it showed after its own
last checkpoint. They are added to the conversation, so that it continues from what the user saw.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import agentscope
import orjson
import structlog
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    Msg,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    ToolResultState,
    UserMsg,
)
from agentscope.permission import PermissionContext
from agentscope.state import AgentState
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events import interrupt_status
from core.agentscope.events.call_arguments import check_arguments
from core.agentscope.events.newest_state import newest_state
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.state_parts import Part, PartMissing, StoredState, whole_text
from core.agentscope.runtime.agent import logins
from core.agentscope.runtime.agent.shown_history import shown_history
from core.agentscope.runtime.agent.state_reading import read_state
from core.agentscope.runtime.model.file_contents import file_block
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.attachments import carried, decoded, document_text, in_words
from core.agentscope.schemas.files import PROVIDER
from core.agentscope.schemas.messages import (
    ContentPart,
    DataSource,
    FileSource,
    MediaPart,
    TextPart,
    UserMessage,
)
from core.direct_sql import fetch
from core.files.catalogue import is_file_id
from core.files.file_name import clean_name
from core.garbage import no_collections

log = structlog.get_logger(__name__)

_MAX_REASON_CHARACTERS = 500
BUDGET_EXHAUSTED = "budget_exhausted"
"""Reason of the question whether a run goes on that has spent its budget."""
AGENT_NAME = "assistant"
"""The same in all stages and all versions: AgentScope finds unfinished tool calls by this name."""


@dataclass(frozen=True, slots=True)
class GatedCall:
    """A stored tool call with the user's decision; ``edited`` only where the tool allows edits."""

    tool_call_id: str
    tool_name: str
    arguments: str
    approved: bool
    edited: dict[str, Any] | None
    about_login: bool = False
    """The user was asked to log in; the call itself was allowed before."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of a runner with the user's answer."""

    interrupt_id: str
    status: str
    value: Any


@dataclass(frozen=True, slots=True)
class ThreadMemory:
    """What was loaded for one run."""

    state: AgentState | None
    """The agent's state at the last checkpoint. The run changes it."""
    later_messages: tuple[tuple[str, str], ...]
    """(role, text) of user and assistant messages the checkpoint does not have, oldest first."""
    gated_calls: tuple[GatedCall, ...]
    shared_state: Any = None
    history: tuple[dict[str, Any], ...] = ()
    """The thread's messages with the run's own new ones, when they were asked for."""
    history_omitted_bytes: int = 0
    """Size of the messages that were asked for, but are too many for a snapshot; else 0."""
    later_results: Mapping[str, str] = field(default_factory=dict)
    """Results, by tool call, that history has and the checkpoint does not."""
    goes_on: bool = True
    """False when the user was asked whether to go on, and said no."""
    stored_parts: frozenset[bytes] = frozenset()
    """The parts of the state, as far as the thread stores it in parts."""
    rebuilt: bool = False
    """The checkpoint cannot be read. The messages are all that history has."""
    answered: tuple[Answered, ...] = ()
    """The answers to a runner's own questions that the run brings."""


def first_memory(run: OwnedRun, command: RunCommand) -> ThreadMemory | None:
    """Return the memory of a thread's first run if it is known to be empty; ``None`` if it has to be read.

    In the first attempt of a first run there is no checkpoint and no answer, and an empty state is not stored. A run that
    brings a conversation has messages that history has, too.
    """
    only_asks = len(command.messages) == 1 and command.messages[0].role == "user"
    if (
        (run.ordinal, run.attempt) != (1, 1)
        or not only_asks
        or command.resume
        or command.state not in (None, {})
    ):
        return None
    return ThreadMemory(None, (), ())


async def load_memory(
    engine: AsyncEngine, run: OwnedRun, fresh_ids: Sequence[str], *, history_bytes: int = 0
) -> ThreadMemory:
    """Read a thread's memory as it stood before the run.

    Args:
        engine: The process' engine.
        run: The run that is about to start.
        fresh_ids: Ids of the messages the run will answer; they are left out.
        history_bytes: Load the messages as clients hold them, too, if they are not larger together.

    Raises:
        ArgumentsAltered: The run brings an approval of a tool call whose stored arguments were changed.
    """
    rows = await _rows(engine, run, fresh_ids)
    if not rows:
        # The thread was deleted; the run's first write finds out.
        return ThreadMemory(None, (), ())
    state, rebuilt = None, False
    if rows[0]["ordinal"] is not None:
        try:
            with no_collections():
                state = read_state(whole_text(_stored(rows)))
        except (PartMissing, ValueError) as exc:
            log.error(
                "checkpoint_unreadable",
                run=run.run_pk,
                ordinal=rows[0]["ordinal"],
                form=rows[0]["form"],
                written_by=f"agentscope {rows[0]['agentscope_version']}",
                read_by=f"agentscope {agentscope.__version__}",
                error=f"{type(exc).__name__}: {str(exc)[:_MAX_REASON_CHARACTERS]}",
            )
            rows, rebuilt = await _rows(engine, run, fresh_ids, without_state=True), True
    thread = rows[0]
    texts = [(role, call_id, text_of(content)) for role, call_id, content in _listed(thread["messages"])]
    later = tuple((role, text) for role, _, text in texts if role != "tool" and text)
    results = {call_id: text for role, call_id, text in texts if role == "tool"}
    calls, goes_on, answered = _decisions(_listed(thread["answers"]))
    history, omitted = await shown_history(engine, run, history_bytes)
    shared = thread["shared_state"]
    return ThreadMemory(
        state,
        later,
        calls,
        None if shared is None else orjson.loads(shared),
        history,
        omitted,
        results,
        goes_on,
        frozenset(row["digest"] for row in rows[1:]),
        rebuilt,
        answered,
    )


async def _rows(
    engine: AsyncEngine, run: OwnedRun, fresh_ids: Sequence[str], *, without_state: bool = False
) -> list[Any]:
    """Return the row of the thread first, and the rows of the state's parts."""
    rows = await fetch(
        engine, _MEMORY, run.session_id, run.ordinal, list(fresh_ids), run.run_pk, without_state
    )
    return sorted(rows, key=lambda row: row["digest"] is not None)


def _stored(rows: Sequence[Mapping[str, Any]]) -> StoredState:
    parts = {row["digest"]: Part(row["body"], row["children"]) for row in rows[1:]}
    return StoredState(rows[0]["head"], rows[0]["roots"], parts, rows[0]["form"])


def _listed(rows: str | None) -> list[Any]:
    return [] if rows is None else orjson.loads(rows)


def _decisions(
    answered: Sequence[Mapping[str, Any]],
) -> tuple[tuple[GatedCall, ...], bool, tuple[Answered, ...]]:
    """Return what a run brings: decisions over tool calls, whether to go on, and answers to a runner's questions.

    Raises:
        ArgumentsAltered: An approval is void: the arguments in the record are not those that were approved.
    """
    calls: list[GatedCall] = []
    told: list[Answered] = []
    goes_on = True
    for row in answered:
        if row["tool_call_id"] is None and row["reason"] not in (BUDGET_EXHAUSTED, logins.REASON):
            told.append(Answered(row["interrupt_id"], row["status"], row["answer"]))
            continue
        answer = row["answer"] or {}
        about_login = row["reason"] == logins.REASON
        approved = row["status"] == interrupt_status.RESOLVED and bool(answer.get("approved", about_login))
        if row["tool_call_id"] is None:
            goes_on = goes_on and approved
        else:
            if approved:
                check_arguments(row["arguments"], bytes.fromhex(row["arguments_sha256"]))
            calls.append(
                GatedCall(
                    row["tool_call_id"],
                    row["tool_name"],
                    row["arguments"],
                    approved,
                    answer.get("input"),
                    about_login,
                )
            )
    return tuple(calls), goes_on, tuple(told)


_STATE = ("c.agentscope_version", "c.message_ids", "c.form", "c.head", "c.roots")
_WHOLE_STATE = (*_STATE[:2], "0", "c.state", "NULL")

# All of the thread as one snapshot: a row of the thread, and a row for each part of the state.
#
# A message is later than the checkpoint if its run is, or if the checkpoint was made in the middle of its run and does
# not have it. The user's messages of that run are in the checkpoint: the agent is given them before the first
# checkpoint. A subagent has a conversation of its own.
#
# ``before``: the runs' messages are in the order of the runs, so none of an earlier run is looked at. The order by
# position makes Postgres walk an index backwards, past the messages of the checkpoint's run and of later ones.
_MEMORY = f"""
WITH RECURSIVE c AS MATERIALIZED (
    SELECT n.*, coalesce((
        SELECT e.position FROM agent_chat_message AS e WHERE e.session_id = $1 AND e.ordinal < n.ordinal
        ORDER BY e.position DESC LIMIT 1), 0) AS before
    FROM ({newest_state("$1", _STATE, _WHOLE_STATE, only="c.ordinal < $2 AND NOT $5")}) AS n
), reached AS (
    SELECT p.digest, p.body, p.children FROM c CROSS JOIN generate_series(1, length(c.roots), 16) AS place
        JOIN agent_state_part AS p ON p.session_id = $1 AND p.digest = substring(c.roots FROM place FOR 16)
    UNION ALL
    SELECT p.digest, p.body, p.children FROM reached AS r CROSS JOIN generate_series(1, length(r.children), 16) AS place
        JOIN agent_state_part AS p ON p.session_id = $1 AND p.digest = substring(r.children FROM place FOR 16)
)
SELECT s.state::text AS shared_state, c.ordinal, c.agentscope_version, c.form, c.head, c.roots,
    (SELECT json_agg(json_build_array(m.role, m.tool_call_id, m.content) ORDER BY m.position)::text
     FROM agent_chat_message AS m
     WHERE m.session_id = s.id AND m.position > coalesce(c.before, 0) AND m.replaced_by_ordinal IS NULL
        AND m.ordinal >= coalesce(c.ordinal, 1)
        AND m.role IN ('user', 'assistant', 'tool') AND m.extra -> 'subagentRunId' IS NULL
        AND m.message_id <> ALL($3::text[])
        AND (c.ordinal IS NULL OR m.ordinal > c.ordinal
            OR (m.role <> 'user' AND m.message_id <> ALL(c.message_ids)))) AS messages,
    (SELECT json_agg(json_build_object('tool_call_id', i.tool_call_id, 'tool_name', i.tool_name,
        'arguments', i.arguments, 'arguments_sha256', encode(i.arguments_sha256, 'hex'), 'status', i.status,
        'reason', i.reason, 'answer', i.answer, 'interrupt_id', i.interrupt_id) ORDER BY i.id)::text
     FROM agent_interrupt AS i WHERE i.resolved_by_run_pk = $4) AS answers,
    NULL::bytea AS digest, NULL AS body, NULL::bytea AS children
FROM agent_chat_session AS s LEFT JOIN c ON true WHERE s.id = $1
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, r.digest, r.body, r.children FROM reached AS r
"""  # noqa: S608  the parts are constants above


def restore_state(memory: ThreadMemory, thread_id: str) -> AgentState:
    """Return the agent's state at its last checkpoint; an empty state if there is none that can be read.

    Open calls are given the results that history has. ``add_later_messages`` adds the messages. Permission rules are
    code of an agent, and not part of a conversation: they are empty.
    """
    state = memory.state or AgentState(session_id=thread_id)
    # A checkpoint of an older version may hold rules, of another agent or of code that has changed since.
    state.permission_context = PermissionContext()
    for call in state.get_unfinished_tool_calls(AGENT_NAME):
        # Added before the later messages. Without it the call would get a second result, which would be emitted.
        if (output := memory.later_results.get(call.id)) is not None:
            result = ToolResultBlock(id=call.id, name=call.name, output=output, state=ToolResultState.SUCCESS)
            finish_call(state, call, result)
    return state


def add_later_messages(state: AgentState, memory: ThreadMemory) -> None:
    """Add the messages that history has and the checkpoint does not. Every earlier call must have its result."""
    for role, text in memory.later_messages:
        make = UserMsg if role == "user" else AssistantMsg
        state.context.append(make(name="user" if role == "user" else AGENT_NAME, content=text))


def finish_call(state: AgentState, call: ToolCallBlock, result: ToolResultBlock) -> None:
    """Give an unfinished tool call its result.

    Providers refuse every later request that holds a tool call without a result.
    """
    call.state = "finished"  # pyright: ignore[reportAttributeAccessIssue]  an enum that is stored by value
    state.append_context(AGENT_NAME, [result])


def user_msg(message: UserMessage) -> Msg:
    """Return a user message as AgentScope's, media inline."""
    if isinstance(message.content, str):
        return UserMsg(name="user", content=message.content, id=message.id)
    return UserMsg(name="user", content=content_blocks(message.content), id=message.id)


@contextmanager
def until_heard(messages: list[Msg], state: AgentState) -> Iterator[None]:
    """Give the messages to an agent in the block. Those that are in its conversation then are taken out of the list.

    An agent's middleware may fail, or be stopped, before the agent has them.
    """
    known = {message.id for message in state.context}
    try:
        yield
    finally:
        added = {message.id for message in state.context} - known
        if added <= {message.id for message in messages}:
            messages[:] = [message for message in messages if message.id not in added]
        else:
            # It has replied, or was given others in their place.
            messages.clear()


def content_blocks(parts: Sequence[ContentPart]) -> list[TextBlock | DataBlock]:
    """Return the parts of a message as AgentScope's blocks.

    No part is left out, and none is an error: what a model cannot be given is named in words. A thread may hold parts
    that an older version accepted.
    """
    return [_block(part) for part in parts]


def _block(part: ContentPart) -> TextBlock | DataBlock:
    if isinstance(part, TextPart):
        return TextBlock(text=part.text)
    source = part.source
    form = carried(source.mime_type or "")
    if form and isinstance(source, FileSource) and source.provider == PROVIDER and is_file_id(source.value):
        return file_block(source.value, form.media_type, _shown_name(part))
    content = decoded(source.value) if isinstance(source, DataSource) else None
    if form is None or not content:
        return TextBlock(text=in_words(source.mime_type or ""))
    shown = _shown_name(part)
    if form.form == "text":
        return TextBlock(text=f"[{shown or 'A document'}, {form.media_type}]\n{document_text(content)}")
    data = Base64Source(data=base64.b64encode(content).decode(), media_type=form.media_type)
    return DataBlock(source=data, name=shown)


def _shown_name(part: MediaPart) -> str | None:
    # A line break in a name would end the line that names a text, and begin the text: messages of older versions, and
    # small inline data, have the client's own name.
    name = part.metadata.get("filename") if isinstance(part.metadata, dict) else None
    return clean_name(name) if isinstance(name, str) and name else None


def text_of(content: Any) -> str:
    """Return the text of a message's content as history has it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return ""
