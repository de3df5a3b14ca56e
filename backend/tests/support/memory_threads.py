"""The threads of :class:`MemoryRuns`, for tests of the routes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.memory_ports import MemoryRuns, MemoryThread

from core.agentscope.schemas.agent_runtime import ActiveRun, ThreadUsage
from core.agentscope.schemas.links import events_url
from core.agentscope.schemas.messages import UserMessage
from core.agentscope.schemas.threads import ThreadItem, ThreadListResponse, ThreadPlace
from core.errors import InvalidRequest
from core.identity import Principal

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryThreads:
    """:class:`ThreadDirectory` over dictionaries; the order of activity is the order of beginning."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs
        self._titles: dict[tuple[Principal, str], str] = {}

    async def list_threads(
        self, principal: Principal, *, limit: int, before: str | None, query: str | None
    ) -> ThreadListResponse:
        items = [
            (ThreadPlace(item.updated_at, number), item)
            for number, thread in enumerate(self._runs.threads_of(principal), start=1)
            if (item := self._item(principal, thread, number)) and _has(thread, item, query)
        ]
        if before is not None:
            try:
                place = ThreadPlace.parse(before)
            except ValueError as exc:
                errors = [{"pointer": "/query/before", "message": str(exc)}]
                raise InvalidRequest("'before' comes from no page.", errors=errors) from exc
            items = [(at, item) for at, item in items if at.session_id < place.session_id]
        page = items[::-1][:limit]
        return ThreadListResponse(
            threads=[item for _, item in page],
            next_before=str(page[-1][0]) if len(items) > limit else None,
        )

    async def get_thread(self, principal: Principal, thread_id: str) -> ThreadItem:
        thread = self._runs.thread_of(principal, thread_id)
        return self._item(principal, thread, self._runs.threads_of(principal).index(thread) + 1)

    async def rename_thread(self, principal: Principal, thread_id: str, title: str) -> ThreadItem:
        self._runs.thread_of(principal, thread_id)
        self._titles[principal, thread_id] = title
        return await self.get_thread(principal, thread_id)

    async def delete_thread(self, principal: Principal, thread_id: str) -> None:
        self._runs.thread_of(principal, thread_id)
        self._titles.pop((principal, thread_id), None)
        self._runs.drop(principal, thread_id)

    def _item(self, principal: Principal, thread: MemoryThread, number: int) -> ThreadItem:
        newest = thread.runs[-1]
        return ThreadItem(
            thread_id=thread.thread_id,
            title=self._titles.get((principal, thread.thread_id)),
            created_at=_BEGINNING,
            updated_at=_BEGINNING + timedelta(seconds=number),
            message_count=sum(len(run.command.messages) for run in thread.runs),
            active_run=ActiveRun(
                run_id=newest.run_id,
                status=newest.status,
                events_url=events_url(thread.thread_id, newest.run_id),
            )
            if newest.live
            else None,
            usage=ThreadUsage(),
        )


def _has(thread: MemoryThread, item: ThreadItem, query: str | None) -> bool:
    if query is None:
        return True
    said = [
        message.text()
        for run in thread.runs
        for message in run.command.messages
        if isinstance(message, UserMessage)
    ]
    *whole, last = query.lower().split() or [""]
    return any(
        set(whole) <= set(words) and any(word.startswith(last) for word in words)
        for words in (text.lower().split() for text in (item.title or "", *said))
    )
