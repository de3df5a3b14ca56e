"""The asynchronous client.

``sync_client.py`` is written from this file by ``script/sync_client.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from agentroute.client import answers, calls
from agentroute.client.async_requests import AsyncRequests
from agentroute.client.async_stream import AsyncEventStream, AsyncRun
from agentroute.client.attempts import OnRetry, Patience
from agentroute.client.auth import AsyncToken
from agentroute.client.connection import Connection
from agentroute.client.following import Following
from agentroute.client.inputs import Content, Json, run_body
from agentroute.client.run_record import RunResult


class AsyncAgentRouteClient(AsyncRequests):
    """Talks to one AgentRoute service as one user.

    Every request may be sent again, and is, after a broken line, after 429 and while the service restarts. A run that is
    sent again has the same id and body, and is never executed twice. Every method raises ``ConnectionFailed``,
    ``UnexpectedAnswer`` or a ``ProblemError`` when that has not helped.

    A client may be used by many tasks at once. It keeps connections open: close it, or use it as a context manager.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: AsyncToken | None = None,
        timeout_seconds: float = 30.0,
        max_retries: int = 4,
        reconnect_seconds: float | None = 300.0,
        max_pause_seconds: float = 30.0,
        on_retry: OnRetry | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Describe the service; nothing is sent yet.

        Args:
            url: Address of the service, with or without ``/api/v1/agent``. Without: ``AGENTROUTE_URL`` of the
                environment, otherwise ``http://127.0.0.1:8000``.
            token: The user's token, or a function that returns the present one. The function is asked for each request,
                and once more after a 401. Without: the local user of ``agentroute embedded``.
            timeout_seconds: For an answer, in silence; uploads may take longer. Streams have heartbeats instead.
            max_retries: How often a request is sent again, with growing waits at random.
            reconnect_seconds: How long a stream tries to come back. ``None``: for ever.
            max_pause_seconds: The longest wait between two tries, unless the service names a longer one.
            on_retry: Is told of each wait before it begins, for example to show "reconnecting".
            http: A client of your own, for proxies, certificates or tests; you close it.

        Raises:
            ValueError: The URL is no address.
        """
        patience = Patience(
            max_retries=max_retries,
            reconnect_seconds=reconnect_seconds,
            max_pause_seconds=max_pause_seconds,
            on_retry=on_retry,
        )
        connection = Connection.to(url, token, timeout_seconds, patience)
        super().__init__(http or httpx.AsyncClient(**connection.options()), connection)
        self._is_own = http is None

    async def aclose(self) -> None:
        """Close the connections. Runs go on."""
        if self._is_own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- runs ----------------------------------------------------------------

    async def run(
        self,
        content: Content | None = None,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        agent_id: str | None = None,
        messages: Iterable[Json] = (),
        tools: Iterable[Json] = (),
        context: Iterable[Json] = (),
        state: Any = None,
        on_busy: str | None = None,
        on_interrupt: str | None = None,
        regenerate_from: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AsyncRun:
        """Start a run. When this returns, the run is stored and will be executed, whatever becomes of this process.

        Args:
            content: What the user says: a text, or parts (``text_part``, ``file_part``).
            thread_id: The conversation; a new one without.
            run_id: Choose it to be able to send the run again from another process.
            agent_id: Of a new thread, where the service has several agents.
            messages: More messages, before ``content``: results of your tools (``tool_result``).
            tools: Tools of your own, which you execute: ``{"name", "description", "parameters"}``.
            context: What the agent should know: ``{"description", "value"}``.
            state: The shared state, if you have changed it.
            on_busy: If the thread has a live run: ``reject`` (409, the default), ``enqueue`` or ``supersede``.
            on_interrupt: If a question is open: ``refuse`` (409, the default) or ``cancel``.
            regenerate_from: A message of the user: the run replaces it and everything after it.
            options: Other members of ``forwardedProps``.

        Returns:
            The run's events. You need not read them.

        Raises:
            Conflict: ``run-active`` or ``interrupt-open``; see ``on_busy`` and ``on_interrupt``.
            InvalidRequest: ``errors`` names the places.
            TooMany: ``rate-limited``, ``queue-full`` or ``budget-exhausted``.
        """
        own = {
            "agentId": agent_id,
            "onBusy": on_busy,
            "onInterrupt": on_interrupt,
            "regenerateFrom": regenerate_from,
        }
        body = run_body(
            content,
            thread_id=thread_id,
            run_id=run_id,
            messages=messages,
            tools=tools,
            context=context,
            state=state,
            resume=(),
            options={**own, **(options or {})},
        )
        return self._run(await self._send(calls.start_run(body)))

    async def resume(
        self,
        thread_id: str,
        answers: Iterable[Json],
        *,
        run_id: str | None = None,
        tools: Iterable[Json] = (),
        state: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> AsyncRun:
        """Answer the open questions of a thread, all of them; the agent goes on.

        Args:
            thread_id: The thread.
            answers: ``approve(interrupt)``, ``decline(interrupt)``, ``answer(interrupt, payload)``.
            run_id: Of the run that goes on; a new one without.
            tools: Tools of your own.
            state: The shared state, if you have changed it.
            options: Members of ``forwardedProps``.

        Returns:
            The events of the run that goes on.

        Raises:
            Conflict: ``interrupt-uncovered`` (a question has no answer), ``interrupt-resolved`` (somebody else was
                faster), ``interrupt-expired``.
            InvalidRequest: An answer does not have the form of the question's ``response_schema``.
        """
        body = run_body(
            None,
            thread_id=thread_id,
            run_id=run_id,
            messages=(),
            tools=tools,
            context=(),
            state=state,
            resume=answers,
            options=options or {},
        )
        return self._run(await self._send(calls.resume_run(body)))

    async def ask(self, content: Content, **options: Any) -> RunResult:
        """Start a run, wait for its end, and return what it said. The options are those of ``run``.

        Raises:
            RunFailed: The run ended with ``RUN_ERROR``.
        """
        run = await self.run(content, **options)
        return await run.result()

    async def cancel(self, thread_id: str, run_id: str) -> None:
        """Ask a run to stop: a running, queued or waiting one, or one whose questions are open.

        What it has said stays in history. Asking twice is no error.

        Raises:
            Conflict: The run has ended (``run-finished``).
            NotFound: There is none.
        """
        await self._send(calls.cancel(thread_id, run_id))

    async def run_status(self, thread_id: str, run_id: str) -> answers.RunStatus:
        """Return one run: its status, times, usage, and what it waits for.

        Raises:
            NotFound: There is none.
        """
        return await self._send(calls.run_status(thread_id, run_id))

    async def why(self, thread_id: str, run_id: str) -> answers.RunWhy:
        """Say why a run is where it is: what it waits for, and what to do about it.

        Raises:
            NotFound: There is none.
        """
        return await self._send(calls.why(thread_id, run_id))

    # --- events and history --------------------------------------------------

    def events(
        self,
        thread_id: str,
        *,
        run_id: str | None = None,
        cursor: str | None = None,
        connect: bool = False,
        limit: int | None = None,
    ) -> AsyncEventStream:
        """Return the events of a thread, to be iterated over. Nothing is sent before the first step.

        The stream comes back by itself after a broken line, a restart of the service and its greatest age, with the
        cursor of the last event: none is missed or repeated.

        Args:
            thread_id: The thread.
            run_id: Only this run: the stream ends after its last event. Without: every run of the thread, also those of
                other devices, without end.
            cursor: Go on after this event (``History.cursor``, ``Event.cursor``). Without: from the first event of the
                run; for a thread, of its live or latest run.
            connect: Begin with everything so far (``MESSAGES_SNAPSHOT``, and what is open), and end after the last event of
                the live run; at once if there is none. For a program that holds nothing.
            limit: With ``connect``: how many of the newest messages, at most 200.

        Raises:
            NotFound: While iterating: there is no such thread, or it was deleted.
            EventsExpired: While iterating: the cursor is too old.
            InvalidRequest: While iterating: the cursor is not one of this thread.
        """
        place = Following(
            thread_id,
            run_id=run_id,
            cursor=cursor,
            connect=connect,
            limit=limit,
            patience=self._connection.patience,
        )
        return AsyncEventStream(self._http, self._connection, place)

    async def history(self, thread_id: str, *, limit: int = 50, before: str | None = None) -> answers.History:
        """Return a snapshot of a thread: messages, shared state, open questions, live run, cursor.

        Args:
            thread_id: The thread.
            limit: How many of the newest messages, at most 200. Large ones make the page shorter.
            before: ``next_before`` of the page before: older messages.

        Raises:
            NotFound: There is no such thread.
        """
        return await self._send(calls.history(thread_id, limit, before))

    async def all_messages(self, thread_id: str) -> AsyncGenerator[Mapping[str, Any]]:
        """Yield all messages of a thread, newest first, a page at a time."""
        page = await self.history(thread_id, limit=200)
        while True:
            for message in reversed(page.messages):
                yield message
            if page.next_before is None:
                return
            page = await self.history(thread_id, limit=200, before=page.next_before)

    def _run(self, accepted: answers.Accepted) -> AsyncRun:
        return AsyncRun(self._http, self._connection, accepted, self.cancel)
