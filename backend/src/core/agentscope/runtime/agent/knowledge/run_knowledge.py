"""The knowledge of one run: calls the user's search function, shows the sources, and numbers the passages.

What holds, whatever the function does:

1. The user is that of the run. The model decides over the words of a query and nothing else.
2. A search ends in time, and with its run. One that ignores its cancellation is left behind.
3. A failed search fails no run. The model reads that there was no search, and the client gets an event that says so.
4. Every search is a ``CUSTOM`` ``agentroute.sources`` event before the model can speak of what was found.
5. A number means one passage in the whole run, also over an approval in the middle of it.
6. Passages that come with a message are part of the requests of that run, and of nothing that is stored. Only while
   a run waits for the user, its checkpoint has them. See docs/adr/0039.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from agentscope.state import AgentState

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.knowledge.found_passages import (
    SearchResultInvalid,
    fitted,
    identity,
    passages_text,
    read_passages,
    sources_value,
    without_reminders,
)
from core.agentscope.runtime.agent.knowledge.retrieval import Retrieval
from core.agentscope.runtime.profile.knowledge import Knowledge
from core.agentscope.schemas.internal_events import CustomEvent
from core.agentscope.schemas.messages import TextPart, UserMessage
from core.agentscope.schemas.passages import Passage
from core.agentscope.tools.errors import ToolError
from core.errors import LeaseLost, StoreUnavailable
from core.text import clean_text

log = structlog.get_logger(__name__)

SOURCES = "agentroute.sources"
MAX_QUERY_CHARACTERS = 4000
"""Of a message that is a query. Embedding models refuse longer ones."""
NOTHING_FOUND = "Nothing was found. Try other words, or say that the knowledge base does not say it."
NOTHING_FOR_THE_MESSAGE = "The knowledge base was searched for this message. Nothing was found."
FAILED = "The knowledge base cannot be searched at the moment."
NO_QUERY = "The query is empty. Say what to find."
_SAY_SO = "If the answer depends on it, say so, and do not guess."
KEPT = "agentroute.knowledge"
"""Member of ``AgentState.middle_context``."""


class NoKnowledge(ValueError):
    """The code of an agent asks for passages, and its profile has no ``[knowledge]``."""

    def __init__(self) -> None:
        super().__init__('the profile has no [knowledge]; add retrieve = "package.module:function" there')


class RunKnowledge:
    """The search of one run.

    Args:
        retrieval: The user's function.
        settings: Of the profile.
        emit: Takes the events of the run.
        max_bytes: Most that the model reads of one search; the profile may allow less.
        max_event_bytes: Of the event about one search.
    """

    def __init__(
        self, retrieval: Retrieval, settings: Knowledge, emit: Emit, *, max_bytes: int, max_event_bytes: int
    ) -> None:
        self.settings = settings
        self.reminder = ""
        """What the model reads with the newest message of the user; empty if it was not searched for."""
        self._retrieval = retrieval
        self._emit = emit
        self._max_bytes = min(settings.max_bytes, max_bytes)
        self._max_event_bytes = max_event_bytes
        self._run: AgentRun | None = None
        self._numbers: dict[tuple[object, ...], int] = {}
        self._used = 0

    @property
    def shared(self) -> Retrieval:
        """The function, with what its runs share."""
        return self._retrieval

    def bind(self, run: AgentRun) -> None:
        """Search on behalf of a run from now on."""
        own = copy.copy(run)
        # Those of the module of the function, which may be another one than that of the factory.
        own.resources = self._retrieval.resources
        self._run = own

    async def retrieve(self, query: str) -> list[Passage]:
        """Return numbered passages for the code of an agent, and show the sources. Nothing while it is only looked at.

        Raises:
            ToolError: The search failed.
        """
        return await self._search(query, self._emit)

    async def text_for(self, query: str, tool_call_id: str, emit: Emit | None) -> str:
        """Return what the model reads of a search by a tool call, perhaps of a subagent; see ``KnowledgeSearch``."""
        found = await self._search(query, emit or self._emit, tool_call_id)
        return passages_text(found) if found else NOTHING_FOUND

    async def search_for_messages(self, messages: Iterable[UserMessage]) -> None:
        """Search for what the user has written, if the profile says so. A message without words is no query."""
        self.reminder = ""
        question = _words(messages) if self.settings.when == "always" else ""
        if not question:
            return
        try:
            found = await self._search(question, self._emit)
        except ToolError as exc:
            self.reminder = _reminder(f"{exc.message} {_SAY_SO}")
        else:
            self.reminder = _reminder(passages_text(found) if found else NOTHING_FOR_THE_MESSAGE)

    # --- over the end of a run ---------------------------------------------------

    def go_on(self, kept: Any) -> None:
        """Take what the run before kept, because it waited for the user or the client; see ``kept_in``."""
        if isinstance(kept, dict):
            self.reminder = str(kept.get("reminder", ""))
            self._used = int(kept.get("used", 0))

    def kept_in(self, state: AgentState) -> AgentState:
        """Return a state that has what the next run needs, if it goes on without a new message of the user."""
        if not self.reminder and not self._used:
            return state
        kept = {"reminder": self.reminder, "used": self._used}
        return state.model_copy(update={"middle_context": {**state.middle_context, KEPT: kept}})

    # --- one search --------------------------------------------------------------

    async def _search(self, query: str, emit: Emit, tool_call_id: str = "") -> list[Passage]:
        run = self._run
        if run is None or run.is_check:
            return []
        query = clean_text(str(query)[:MAX_QUERY_CHARACTERS]).strip()
        if not query:
            raise ToolError(NO_QUERY)
        try:
            passages, left_out = await self._passages(query, run)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as exc:
            code, message = self._failure(exc, run)
            value = sources_value(query, [], tool_call_id=tool_call_id, max_bytes=self._max_event_bytes)
            failed = value | {"error": {"code": code, "message": message}}
            await emit(CustomEvent(name=SOURCES, value=failed))
            raise ToolError(message) from exc
        value = sources_value(
            query,
            passages,
            left_out=left_out,
            tool_call_id=tool_call_id,
            max_bytes=self._max_event_bytes,
        )
        await emit(CustomEvent(name=SOURCES, value=value))
        return passages

    async def _passages(self, query: str, run: AgentRun) -> tuple[list[Passage], int]:
        returned = await _in_time(self._retrieval(query, run), self.settings.timeout_seconds)
        read, more = read_passages(returned, self.settings.max_passages)
        kept, without_room = fitted(read, self._max_bytes)
        return [
            self._numbered(each, whole) for each, whole in zip(kept, read, strict=False)
        ], more + without_room

    def _numbered(self, passage: Passage, whole: Passage) -> Passage:
        number = self._numbers.get(identity(whole))
        if number is None:
            self._used += 1
            number = self._numbers[identity(whole)] = self._used
        return replace(passage, number=number)

    def _failure(self, error: Exception, run: AgentRun) -> tuple[str, str]:
        """Log why a search failed; returns a code and what the model and the user may read."""
        where = {"retrieve": self._retrieval.reference, "run_id": run.run_id}
        match error:
            case _TooSlow():
                seconds = self.settings.timeout_seconds
                log.error("retrieval_timed_out", seconds=seconds, **where)
                return "retrieval-timeout", f"The knowledge base did not answer within {seconds:g} seconds."
            case ToolError():
                log.warning("retrieval_failed", reason=error.message[:500], **where)
                return "retrieval-failed", clean_text(error.message[:500])
            case SearchResultInvalid():
                log.error("retrieval_invalid", reason=str(error), **where)
            case _:
                log.error("retrieval_failed", exc_info=error, **where)
        return "retrieval-failed", FAILED


@dataclass(frozen=True, slots=True)
class ToolSearch:
    """The search of a tool call; implements ``core.agentscope.tools.spec.KnowledgeSearch``."""

    knowledge: RunKnowledge
    tool_call_id: str = ""
    emit: Emit | None = None

    async def search(self, query: str) -> str:
        """See ``KnowledgeSearch.search``."""
        return await self.knowledge.text_for(query, self.tool_call_id, self.emit)

    def of_call(self, tool_call_id: str, emit: Emit | None) -> ToolSearch:
        """See ``KnowledgeSearch.of_call``."""
        return replace(self, tool_call_id=tool_call_id, emit=emit)


class _TooSlow(TimeoutError):
    """The time of a search is over. A ``TimeoutError`` of the user's code is a failure like others."""


async def _in_time(search: Any, seconds: float) -> Any:
    """Await a search in a task of its own.

    Not ``asyncio.timeout``: a search that swallows its cancellation would keep the run.
    """
    task = asyncio.ensure_future(search)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise _TooSlow
        if task.cancelled():
            raise RuntimeError("the search was cancelled by nobody")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        _ = task.exception()


def _reminder(text: str) -> str:
    """Return a text in the form by which AgentScope tells a model that these are not the words of the user."""
    return f"<system-reminder>\n{without_reminders(text)}\n</system-reminder>"


def _words(messages: Iterable[UserMessage]) -> str:
    """Return what the user has written, without attachments; the end of it if it is long.

    People put what they ask at the end of what they paste.
    """
    texts: list[str] = []
    for message in messages:
        if isinstance(message.content, str):
            texts.append(message.content)
        else:
            texts += [part.text for part in message.content if isinstance(part, TextPart)]
    return "\n".join(texts).strip()[-MAX_QUERY_CHARACTERS:].strip()
