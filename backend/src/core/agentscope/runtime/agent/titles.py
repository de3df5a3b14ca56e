"""A thread's title by a model call, when the profile wants one: after the first run has ended, beside everything else.

Until then, and when the call fails, the thread has its first words for a
title. A title that is not these words any more is the user's and stays.
"""

from __future__ import annotations

import asyncio

import structlog
from agentscope.message import AssistantMsg, Msg, TextBlock, UserMsg
from agentscope.model import ChatResponse, FinishedReason
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from core.agentscope.events.ledger.counted_calls import note_call
from core.agentscope.events.ledger.ledger import record_call_now
from core.agentscope.events.message_rows import to_message
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_status import INTERRUPTED, SUCCEEDED
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.agent_kits import AgentKits
from core.agentscope.schemas.internal_events import ModelUsage
from core.agentscope.schemas.messages import UserMessage
from core.agentscope.schemas.titles import title_of
from core.errors import AgentBackendError
from core.identity import Principal
from core.outage import report_failure
from core.text import clean_text
from models import AgentChatMessage

TITLE_REQUEST = (
    "<system-reminder>Write a title for this conversation: at most six words, in the user's language, "
    "without quotes or a full stop. Answer with the title alone.</system-reminder>"
)
_MAX_MESSAGE_CHARS = 2000
_MAX_TITLE_CHARS = 80
_QUOTES = "\"'“”„«»"
_TIMEOUT_SECONDS = 60.0
"""No user waits for a title. A worker that drains does."""

log = structlog.get_logger(__name__)

_RENAME = text("UPDATE agent_chat_session SET title = :title WHERE id = :session_id AND title = :words")


class TitleWriter:
    """Writes the titles of the threads whose first run a worker process ended."""

    def __init__(self, kits: AgentKits, engine: AsyncEngine) -> None:
        self._kits = kits
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, run: OwnedRun, principal: Principal, end: RunEnd) -> None:
        """Start writing the title when a thread's first run has ended; returns at once."""
        kit = self._kits.find(run.agent_id)
        if kit is None or kit.profile.stages.title != "model":
            return
        if run.ordinal != 1 or end.status not in (SUCCEEDED, INTERRUPTED):
            return
        task = asyncio.create_task(self._write(kit, run, principal), name=f"title-{run.session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel the titles being written. Their cost is still recorded."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _write(self, kit: AgentKit, run: OwnedRun, principal: Principal) -> None:
        usages: list[ModelUsage] = []
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._title(kit, run, usages)
        except (AgentBackendError, TimeoutError) as exc:
            # The title of first words stays.
            log.warning("title_not_written", error=type(exc).__name__)
        except Exception as exc:  # noqa: BLE001  nothing but the title is lost
            report_failure("title_not_written", exc)
        finally:
            for usage in usages:
                await self._book(run, principal, usage)

    async def _title(self, kit: AgentKit, run: OwnedRun, usages: list[ModelUsage]) -> None:
        said = await self._first_messages(run)
        words = next((title_of(message) for message in said if isinstance(message, UserMessage)), None)
        if words is None:
            return
        messages = [_shortened(message) for message in said]
        title = await _ask(kit, [*messages, UserMsg(name="user", content=TITLE_REQUEST)], usages)
        if title:
            async with self._engine.begin() as connection:
                values = {"session_id": run.session_id, "title": title, "words": words}
                await connection.execute(_RENAME, values)

    async def _first_messages(self, run: OwnedRun) -> list[UserMessage | str]:
        """Return the first run's messages: the user's, and the texts of the answers."""
        async with AsyncSession(self._engine) as session:
            rows = await session.scalars(
                select(AgentChatMessage)
                .where(
                    AgentChatMessage.session_id == run.session_id,
                    AgentChatMessage.ordinal == run.ordinal,
                    AgentChatMessage.role.in_(("user", "assistant")),
                    AgentChatMessage.extra["subagentRunId"].is_(None),
                )
                .order_by(AgentChatMessage.position)
            )
            messages = [to_message(row) for row in rows]
        return [
            UserMessage.model_validate(message) if message["role"] == "user" else message["content"]
            for message in messages
            if message["role"] == "user" or message.get("content")
        ]

    async def _book(self, run: OwnedRun, principal: Principal, usage: ModelUsage) -> None:
        note_call(usage)
        try:
            # Shielded: the tokens are spent, also when the worker is stopping.
            await asyncio.shield(record_call_now(self._engine, run, principal, usage))
        except Exception as exc:  # noqa: BLE001  the title is there all the same
            report_failure("title_call_not_recorded", exc)


async def _ask(kit: AgentKit, messages: list[Msg], usages: list[ModelUsage]) -> str:
    # The process' kit has no budget: nothing is reserved for such a small call. Its cost counts in the user's day.
    model = kit.model("title", usages.append)
    answer = await model(messages)
    if not isinstance(answer, ChatResponse):
        # The last response holds the complete answer.
        answer = [response async for response in answer][-1]
    if answer.finished_reason == FinishedReason.INTERRUPTED:
        # AgentScope turns a cancellation into a normal end.
        return ""
    return fit_title("".join(block.text for block in answer.content if isinstance(block, TextBlock)))


def fit_title(answer: str) -> str:
    """Return the first line of a model's answer, without the quotes and marks that models put around titles."""
    line = next((line.strip() for line in clean_text(answer).splitlines() if line.strip()), "")
    line = line.removeprefix("Title:").strip(" *#").removesuffix(".")
    if len(line) > 1 and line[0] in _QUOTES and line[-1] in _QUOTES:
        line = line[1:-1].strip().removesuffix(".")
    return line if len(line) <= _MAX_TITLE_CHARS else line[:_MAX_TITLE_CHARS].rsplit(" ", 1)[0].rstrip() + "…"


def _shortened(message: UserMessage | str) -> Msg:
    if isinstance(message, UserMessage):
        return UserMsg(name="user", content=message.text()[:_MAX_MESSAGE_CHARS])
    return AssistantMsg(name="assistant", content=message[:_MAX_MESSAGE_CHARS])
