"""The threads of :class:`MemoryRuns`, for tests of the routes."""

from __future__ import annotations

import re

from tests.support.memory_ports import MemoryRuns
from tests.support.memory_thread import MemoryThread, said_from

from core.agentscope.runtime.profile.agents import DEFAULT_ID
from core.agentscope.schemas.agent_runtime import ThreadUsage
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse, ThreadPlace
from core.identity import Principal
from core.validation import read_parameter


class MemoryThreads:
    """:class:`ThreadDirectory` over dictionaries."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs

    async def list_threads(
        self,
        principal: Principal,
        *,
        limit: int,
        before: str | None,
        query: str | None,
        agent_id: str | None = None,
    ) -> ThreadListResponse:
        found = [
            (ThreadPlace(thread.updated_at, thread.number), thread)
            for thread in self._runs.threads_of(principal)
            if (query is None or _has(thread, query)) and agent_id in (None, DEFAULT_ID)
        ]
        found.sort(key=lambda entry: (entry[0].updated_at, entry[0].session_id), reverse=True)
        if (end := read_parameter("before", before, ThreadPlace.parse)) is not None:
            found = [
                (at, thread)
                for at, thread in found
                if (at.updated_at, at.session_id) < (end.updated_at, end.session_id)
            ]
        page = found[:limit]
        return ThreadListResponse(
            threads=[_item(thread) for _, thread in page],
            next_before=str(page[-1][0]) if len(found) > limit else None,
        )

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        return _item(self._runs.thread_of(principal, thread_id))

    async def rename_thread(self, principal: Principal, thread_id: str, title: str) -> ThreadItem:
        thread = self._runs.thread_of(principal, thread_id)
        thread.title = title
        return _item(thread)

    async def delete_thread(self, principal: Principal, thread_id: str) -> None:
        self._runs.drop(principal, thread_id)


def _item(thread: MemoryThread) -> ThreadItem:
    return ThreadItem(
        thread_id=thread.thread_id,
        agent_id=DEFAULT_ID,
        title=thread.title,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        message_count=len(thread.messages),
        active_run=thread.active_run(),
        pending_interrupts=len(thread.open_interrupts),
        usage=ThreadUsage(),
    )


def _has(thread: MemoryThread, query: str) -> bool:
    """Tell whether the title or a message has all words; the last may be the beginning of one, from two letters on."""
    asked = _words(query)
    if not asked:
        return False
    *whole, last = asked
    return any(
        set(whole) <= set(words)
        and any(word == last or (len(last) > 1 and word.startswith(last)) for word in words)
        for words in map(_words, (thread.title or "", *said_from(thread.messages)))
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
