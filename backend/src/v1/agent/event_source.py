"""What a browser's ``EventSource`` gets when its stream cannot be opened now: a stream that ends at once.

An ``EventSource`` gives up for ever on any answer that is not a stream, 503 included, and cannot read it either. After
an empty stream it comes back by itself, at the time that the stream names. See docs/adr/0024.

Every other client gets the 503, which says more. Nothing in AG-UI's clients may see the empty stream: they would take
it for a run without events. They send POST; and a GET made with ``fetch`` has neither of the headers asked for here.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import structlog
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from core.agentscope.events.sse import retry_line
from core.errors import AgentBackendError
from core.metrics.catalogue import PROBLEMS
from core.problem import passing
from v1.agent.event_stream import EventStreamResponse

log = structlog.get_logger(__name__)


def is_event_source(method: str, headers: Headers) -> bool:
    """Say whether a request comes from an ``EventSource``, or from a client that comes back as one does.

    Its ``Accept`` is ``text/event-stream`` alone. It asks past every cache; or it names the last event it has seen.

    Source: WHATWG HTML, section 9.2, "cache mode is no-store"; Fetch, "HTTP-network-or-cache fetch".
    """
    accept = [entry.strip().lower() for header in headers.getlist("accept") for entry in header.split(",")]
    if method != "GET" or accept != ["text/event-stream"]:
        return False
    return "last-event-id" in headers or any(
        directive.strip().lower() in {"no-cache", "no-store"}
        for header in headers.getlist("cache-control")
        for directive in header.split(",")
    )


def put_off(error: AgentBackendError) -> bytes:
    """Return the whole body of a stream that cannot be opened now: why as a comment, and when to come back."""
    seconds = error.retry_after_seconds or 1.0
    milliseconds = int(seconds * random.uniform(1000, 2000))  # noqa: S311  not for security
    return b": %b\n" % error.code.encode() + retry_line(milliseconds)


class SurvivableRoute(APIRoute):
    """A route of a stream. Its dependencies count, too: a credential may be looked up in a database that is away."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def survive(request: Request) -> Response:
            return await survivable(request, handler(request))

        return survive


async def survivable(request: Request, opening: Awaitable[Response]) -> Response:
    """Return the answer of ``opening``; for an ``EventSource`` an empty stream instead of an error that passes."""
    try:
        return await opening
    except Exception as exc:
        error = _passing(exc)
        if error is None or not is_event_source(request.method, request.headers):
            raise
        # No problem document, and a refusal all the same.
        PROBLEMS.add(str(error.status), error.code)
        log.warning("stream_put_off", code=error.code, error=type(exc).__name__)
        return EventStreamResponse(_once(put_off(error)))


def _passing(exc: Exception) -> AgentBackendError | None:
    """Return the error of the service if it will pass by itself; another one has to be seen."""
    if isinstance(exc, AgentBackendError):
        return exc if exc.status in {429, 503} and exc.retryable else None
    return passing(exc)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
