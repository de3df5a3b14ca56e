"""HTTP beneath the MCP library: knows of every request whether it was delivered, and lets no failure stay silent.

The library ends a whole session, with the calls of all runs in it, when one request fails; other failures (a stream
that breaks off, an answer that is no JSON) it only logs, and the call waits until its time is up. So failures end here:
the one request gets its failure, and the library sees an answer that asks for nothing.

Limits: an answer has at most ``MAX_ANSWER_BYTES``; a request without an answer (a notification, the end of a session)
waits at most ``SHORT_SECONDS``, because all later requests wait behind it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import orjson
import structlog

from core.agentscope.tools.mcp.failures import Failure, Report
from core.connections.oauth.challenge import bearer_challenge
from core.media_types import essence
from core.never_sent import NEVER_SENT

log = structlog.get_logger(__name__)

MAX_ANSWER_BYTES = 32 << 20
SHORT_SECONDS = 5.0
_MAX_REFUSAL_BYTES = 4096

_KEEPALIVE: list[tuple[int, int, int]] = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
for _name, _value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
    # A stream of notifications is silent for hours: a host that is gone must be noticed.
    if hasattr(socket, _name):
        _KEEPALIVE.append((socket.IPPROTO_TCP, getattr(socket, _name), _value))


def new_http_client(
    report: Report,
    *,
    connect_seconds: float,
    headers: Mapping[str, str] | None = None,
    answers_elsewhere: bool = False,
) -> httpx.AsyncClient:
    """Return the client that the library is given.

    Args:
        report: Told of each request that will have no answer.
        connect_seconds: Of a connection's start. The time of a call is limited by whoever calls.
        headers: Added to each request.
        answers_elsewhere: Answers come in the stream of a GET, as in MCP's older transport; a POST only hands over.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    inner = httpx.AsyncHTTPTransport(limits=limits, socket_options=_KEEPALIVE)
    return httpx.AsyncClient(
        transport=DeliveryTransport(inner, report, headers, answers_elsewhere=answers_elsewhere),
        timeout=httpx.Timeout(None, connect=connect_seconds),
    )


class DeliveryTransport(httpx.AsyncBaseTransport):
    """Sends a session's requests and reports what became of those that have no answer."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        report: Report,
        headers: Mapping[str, str] | None = None,
        *,
        answers_elsewhere: bool = False,
    ) -> None:
        self._answers_elsewhere = answers_elsewhere
        self._inner = inner
        self._report = report
        self._headers = dict(headers or {})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers.update(self._headers)
        if request.method == "GET":
            response = await self._inner.handle_async_request(request)
            response.stream = _Limited(response, lambda: None)
            return response
        request_id = _request_id(request)
        if request_id is None:
            return await self._notify(request)
        try:
            async with asyncio.timeout(SHORT_SECONDS if self._answers_elsewhere else None):
                response = await self._inner.handle_async_request(request)
        except TimeoutError:
            return self._failed(request_id, Failure("lost", "the server did not take the request in time"))
        except httpx.TransportError as exc:
            kind = "not-delivered" if isinstance(exc, NEVER_SENT) else "lost"
            return self._failed(request_id, Failure(kind, _in_words(exc)))
        if response.has_redirect_location:
            # Whether it is followed, the library decides; what it does not follow it raises.
            return await self._redirected(request_id, request, response)
        if response.status_code == 202:
            return response
        if response.status_code >= 300:
            return await self._refused(request_id, response)
        if self._answers_elsewhere:
            await response.aclose()
            return httpx.Response(202)
        return await self._answered(request_id, response)

    async def _notify(self, request: httpx.Request) -> httpx.Response:
        """Send what has no answer. Whatever becomes of it, the session goes on."""
        try:
            async with asyncio.timeout(SHORT_SECONDS):
                response = await self._inner.handle_async_request(request)
                await response.aread()
                await response.aclose()
        except (httpx.HTTPError, TimeoutError) as exc:
            log.debug("mcp_notification_not_sent", reason=type(exc).__name__)
        return httpx.Response(202)

    async def _redirected(
        self, request_id: int, request: httpx.Request, response: httpx.Response
    ) -> httpx.Response:
        target = request.url.join(response.headers["location"])
        same = (target.scheme, target.host, target.port) == (
            request.url.scheme,
            request.url.host,
            request.url.port,
        )
        if same and response.status_code in (307, 308):
            return response
        await response.aclose()
        return self._failed(request_id, Failure("refused", f"redirected to {target.scheme}://{target.host}"))

    async def _refused(self, request_id: int, response: httpx.Response) -> httpx.Response:
        status = response.status_code
        body = b""
        try:
            async with asyncio.timeout(SHORT_SECONDS):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _MAX_REFUSAL_BYTES:
                        break
        except (httpx.HTTPError, TimeoutError):
            pass
        finally:
            await response.aclose()
        # The protocol says 404. Servers of other SDKs say 400, and name the session in the text.
        if status == 404 or (status == 400 and b"session" in body[:_MAX_REFUSAL_BYTES].lower()):
            return self._failed(request_id, Failure("session-gone", f"HTTP {status}"))
        if status == 401 or bearer_challenge(response.headers.get("www-authenticate", "")).wants_more:
            # A token that allows too little is as good as none: with another one the server may act.
            return self._failed(request_id, unauthorized(response))
        if status == 403:
            return self._failed(request_id, Failure("refused", f"HTTP {status}"))
        return self._failed(request_id, Failure("failed", f"HTTP {status}"))

    async def _answered(self, request_id: int, response: httpx.Response) -> httpx.Response:
        media_type = essence(response.headers.get("content-type", ""))
        if media_type == "text/event-stream":
            response.stream = _Limited(
                response, lambda: self._report(request_id, Failure("lost", "the answer's stream ended"))
            )
            return response
        if media_type != "application/json":
            await response.aclose()
            return self._failed(request_id, Failure("unreadable", "the answer is neither JSON nor a stream"))
        return await self._json(request_id, response)

    async def _json(self, request_id: int, response: httpx.Response) -> httpx.Response:
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    return self._failed(request_id, Failure("unreadable", "the answer is too large"))
        except httpx.HTTPError as exc:
            return self._failed(request_id, Failure("lost", type(exc).__name__))
        finally:
            await response.aclose()
        if not _is_answer(bytes(body), request_id):
            return self._failed(request_id, Failure("unreadable", "the answer is not one of the protocol"))
        kept = {name: response.headers[name] for name in ("mcp-session-id",) if name in response.headers}
        headers = {"content-type": "application/json", **kept}
        return httpx.Response(response.status_code, headers=headers, content=bytes(body))

    def _failed(self, request_id: int, failure: Failure) -> httpx.Response:
        self._report(request_id, failure)
        # "Accepted": the library waits for nothing more of this request.
        return httpx.Response(202)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Limited(httpx.AsyncByteStream):
    """A stream of server-sent events that reports when it ends before whoever reads it has closed it.

    A stream whose events have ids is taken up again by the library, so its end is not reported.
    """

    def __init__(self, response: httpx.Response, ended: Callable[[], None]) -> None:
        self._inner = response.stream
        self._ended = ended
        self._resumable = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inner: Any = self._inner
        size = 0
        try:
            async for piece in inner:
                self._resumable = self._resumable or piece.startswith(b"id:") or b"\nid:" in piece
                size = size + len(piece) if b"\n\n" not in piece and b"\r\n\r\n" not in piece else len(piece)
                if size > MAX_ANSWER_BYTES:
                    log.warning("mcp_answer_too_large", max_bytes=MAX_ANSWER_BYTES)
                    break
                yield piece
        except httpx.HTTPError as exc:
            log.debug("mcp_stream_broke", reason=type(exc).__name__)
        if not self._resumable:
            self._ended()

    async def aclose(self) -> None:
        inner: Any = self._inner
        await inner.aclose()


def unauthorized(response: httpx.Response) -> Failure:
    """Return the failure of a request whose token the server does not take, or for which it allows too little."""
    challenge = response.headers.get("www-authenticate", "")
    return Failure("unauthorized", f"HTTP {response.status_code}", challenge[:_MAX_REFUSAL_BYTES])


def _in_words(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "it did not answer in time"
        case httpx.ConnectError():
            return "it cannot be reached"
        case httpx.RemoteProtocolError():
            return "it does not speak HTTP, or closed the connection"
        case _:
            return type(error).__name__


def _request_id(request: httpx.Request) -> int | None:
    """Return the id of the JSON-RPC request in a body; ``None`` for everything that has no answer."""
    if request.method != "POST":
        return None
    try:
        message = orjson.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return None
    has_answer = isinstance(message, dict) and "method" in message
    found = message.get("id") if has_answer else None
    return found if isinstance(found, int) else None


def _is_answer(body: bytes, request_id: int) -> bool:
    try:
        message = orjson.loads(body)
    except ValueError:
        return False
    return (
        isinstance(message, dict)
        and str(message.get("id")) == str(request_id)
        and ("result" in message or "error" in message)
    )
