"""The requests of the asynchronous client that start nothing: threads, usage, speech, files, agents, connections.

``sync_requests.py`` is written from this file by ``script/sync_client.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

import anyio
import httpx

from agentroute.client import answers, calls
from agentroute.client.attempts import Attempts
from agentroute.client.connection import Connection
from agentroute.client.inputs import Content, Upload, new_id
from agentroute.client.schedules import Schedule, SchedulePage, schedule_body

T = TypeVar("T")


class AsyncRequests:
    """What ``AsyncAgentRouteClient`` asks and changes with single requests."""

    def __init__(self, http: httpx.AsyncClient, connection: Connection) -> None:
        self._http = http
        self._connection = connection

    # --- threads -------------------------------------------------------------

    async def threads(
        self,
        query: str | None = None,
        *,
        agent_id: str | None = None,
        limit: int = 30,
        before: str | None = None,
    ) -> answers.ThreadPage:
        """Return a page of the user's threads, newest activity first.

        Args:
            query: Only threads whose title or messages have all these words.
            agent_id: Only threads of this agent.
            limit: How many, at most 100.
            before: ``next_before`` of the page before.
        """
        return await self._send(calls.threads(query, agent_id, limit, before))

    async def all_threads(
        self, query: str | None = None, *, agent_id: str | None = None
    ) -> AsyncGenerator[answers.ThreadItem]:
        """Yield all threads of the user, newest activity first, a page at a time."""
        before: str | None = None
        while True:
            page = await self.threads(query, agent_id=agent_id, limit=100, before=before)
            for thread in page.threads:
                yield thread
            before = page.next_before
            if before is None:
                return

    async def thread(self, thread_id: str) -> answers.ThreadItem:
        """Return one thread as the list shows it.

        Raises:
            NotFound: There is none.
        """
        return await self._send(calls.thread(thread_id))

    async def rename_thread(self, thread_id: str, title: str) -> answers.ThreadItem:
        """Give a thread a title of 1 to 200 characters.

        Raises:
            NotFound: There is no such thread.
        """
        return await self._send(calls.rename_thread(thread_id, title))

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with everything in it. A live run is stopped.

        Raises:
            NotFound: There is no such thread.
        """
        await self._send(calls.delete_thread(thread_id))

    async def thread_runs(
        self, thread_id: str, *, limit: int = 30, before: str | None = None
    ) -> answers.RunPage:
        """Return a page of the runs of a thread, newest first.

        Raises:
            NotFound: There is no such thread.
        """
        return await self._send(calls.thread_runs(thread_id, limit, before))

    async def usage(
        self,
        start: date | str | None = None,
        end: date | str | None = None,
        *,
        group_by: str = "day",
        agent_id: str | None = None,
    ) -> answers.Usage:
        """Return the user's tokens, costs and times in a period of at most 366 days.

        Args:
            start: A day or an aware time; 30 days before ``end`` without.
            end: A day, which counts as a whole, or an aware time; now without.
            group_by: ``day``, ``model`` or ``thread``.
            agent_id: Only this agent.
        """
        return await self._send(calls.usage(start, end, group_by, agent_id))

    # --- speech and files ----------------------------------------------------

    async def transcribe(
        self,
        file: Upload,
        *,
        language: str | None = None,
        prompt: str | None = None,
        name: str | None = None,
    ) -> answers.Transcription:
        """Turn speech into text: wav, mp3, flac, ogg, webm or m4a, at most 25 MiB and ten minutes.

        Args:
            file: A path, bytes or an open file. It is read into memory.
            language: Spoken language, as a language tag.
            prompt: Names and words that may occur.
            name: Of the file; its path's without.

        Raises:
            InvalidRequest: It is no speech, is empty, or is too long.
        """
        return await self._send(calls.transcribe(file, name, language, prompt))

    async def upload(self, file: Upload, *, name: str | None = None) -> answers.FileItem:
        """Store a file, for messages that name it: ``run([text_part("What is it?"), file_part(file)])``.

        The same bytes are the same file. A file that no message names within a day is deleted.

        Args:
            file: A path, bytes or an open file. It is read into memory.
            name: Of the file; its path's without.

        Raises:
            InvalidRequest: It is empty or too large, or the user's files are too many.
        """
        return await self._send(calls.upload(file, name))

    async def download(self, file_id: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            NotFound: There is none.
        """
        return await self._send(calls.download(file_id))

    async def files(self, *, limit: int = 30, before: str | None = None) -> answers.FilePage:
        """Return a page of the user's files, newest first."""
        return await self._send(calls.files(limit, before))

    async def delete_file(self, file_id: str) -> None:
        """Delete a file. Messages that name it stay.

        Raises:
            NotFound: There is none.
        """
        await self._send(calls.delete_file(file_id))

    # --- what agents remember --------------------------------------------------

    async def memories(self, *, limit: int = 30, before: str | None = None) -> answers.MemoryPage:
        """Return a page of what the agents were asked to remember for the user, newest first."""
        return await self._send(calls.memories(limit, before))

    async def delete_memory(self, memory_id: str) -> None:
        """Delete one note. Messages in which it was said stay.

        Raises:
            NotFound: There is none.
        """
        await self._send(calls.delete_memory(memory_id))

    async def delete_memories(self) -> None:
        """Delete every note of the user."""
        await self._send(calls.delete_memories())

    # --- schedules -----------------------------------------------------------

    async def create_schedule(
        self,
        message: Content,
        trigger: Mapping[str, Any],
        *,
        schedule_id: str | None = None,
        **members: Any,
    ) -> Schedule:
        """Make a schedule, which starts runs by the clock.

        Args:
            message: What its runs are asked.
            trigger: ``{"type": "cron", "cron": "0 9 * * *", "timezone": "Europe/Berlin"}``, or the other kinds.
            schedule_id: Your own name for it. The same name and members make it once.
            members: The others of the API, with names of Python: ``thread_id``, ``missed``, ``max_fires``, …

        Raises:
            InvalidRequest: A member cannot be used; ``errors`` says which.
        """
        body = {"schedule_id": schedule_id or new_id("schedule"), "message": message, "trigger": trigger}
        return await self._send(calls.create_schedule(schedule_body(body | members)))

    async def schedules(self, *, limit: int = 50, before: str | None = None) -> SchedulePage:
        """Return a page of the user's schedules, newest first."""
        return await self._send(calls.schedules(limit, before))

    async def schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule with its last fires.

        Raises:
            NotFound: There is none.
        """
        return await self._send(calls.schedule(schedule_id))

    async def change_schedule(self, schedule_id: str, **members: Any) -> Schedule:
        """Change a schedule; ``enabled=False`` pauses it. What is not named stays as it is.

        Raises:
            NotFound: There is none.
            InvalidRequest: A member cannot be used; ``errors`` says which.
        """
        return await self._send(calls.change_schedule(schedule_id, schedule_body(members)))

    async def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule. Its runs and threads stay.

        Raises:
            NotFound: There is none.
        """
        await self._send(calls.delete_schedule(schedule_id))

    async def trigger_schedule(self, schedule_id: str) -> answers.Accepted:
        """Fire a schedule now.

        Raises:
            NotFound: There is none.
            Conflict: Its thread is busy, and it does not wait.
        """
        return await self._send(calls.trigger_schedule(schedule_id))

    # --- the service ---------------------------------------------------------

    async def agents(self) -> tuple[answers.AgentItem, ...]:
        """Return the agents that the user may use."""
        return await self._send(calls.agents())

    async def capabilities(self, agent_id: str | None = None) -> dict[str, Any]:
        """Return what an agent can do, as AG-UI's ``AgentCapabilities``; the default agent without an id.

        Raises:
            NotFound: There is no such agent.
        """
        return await self._send(calls.capabilities(agent_id))

    async def connections(self) -> tuple[answers.ConnectionItem, ...]:
        """Return the MCP servers that see the user's own identity, and whether the user is connected to them."""
        return await self._send(calls.connections())

    async def connect_server(
        self, server: str, token: str, *, expires_at: datetime | None = None
    ) -> answers.ConnectionItem:
        """Give the user's own token for an MCP server. It replaces the one before.

        Raises:
            NotFound: There is no such server.
            Conflict: The server wants a login (``token-not-wanted``); see ``begin_login``.
        """
        return await self._send(calls.connect_server(server, token, expires_at))

    async def begin_login(self, server: str, *, return_url: str | None = None) -> str:
        """Begin a login at an MCP server; returns the address that the user opens. Show it to the user only.

        Raises:
            NotFound: There is no such server.
            Conflict: The server wants a token (``login-not-wanted``); see ``connect_server``.
        """
        return await self._send(calls.begin_login(server, return_url))

    async def forget_server(self, server: str) -> None:
        """Forget the user's token or login for an MCP server. No error if there is none."""
        await self._send(calls.forget_server(server))

    async def _send(self, call: calls.Call[T]) -> T:
        attempts = Attempts(self._connection.patience, self._connection.address, is_deletion=call.is_deletion)
        while True:
            try:
                answer = await self._http.request(**self._connection.request(call))
            except httpx.RequestError as exc:
                seconds = attempts.broke(exc)
            else:
                if answer.is_success:
                    return call.read(answer.content)
                refused = attempts.refused(answer.status_code, answer.headers, answer.content)
                if refused is None:
                    return call.read(b"")
                seconds = refused
            await anyio.sleep(seconds)
