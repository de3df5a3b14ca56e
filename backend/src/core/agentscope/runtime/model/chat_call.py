"""One try of a model call: a request out, ordered deltas in, and a judged failure when it ends otherwise.

Knows HTTP, deadlines and the provider; neither AgentScope nor retries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import httpx

from core.agentscope.runtime.model.chat_errors import (
    from_answer,
    from_cut,
    from_finish,
    from_silence,
    from_status,
    from_transport,
    from_web_page,
    refusal_text,
    refused_as,
)
from core.agentscope.runtime.model.chat_exchange import Exchange
from core.agentscope.runtime.model.chat_meter import CallMeter
from core.agentscope.runtime.model.chat_order import Delta
from core.agentscope.runtime.model.chat_stream import ChatStreamParser, ProviderFailure
from core.config import ModelSettings

# The token counts follow the finish reason at once, if they come at all.
_TAIL_SECONDS = 5.0
# The end of the body follows the end marker in the same packet; a server that keeps it open is not waited for.
_SETTLE_SECONDS = 0.25
_REFUSAL_SECONDS = 5.0
_MAX_REFUSAL_BYTES = 64 << 10


class ChatCall:
    """One try. Iterate ``deltas`` once, to its end or by closing it; then the attributes say how the call ended."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        settings: ModelSettings,
        meter: CallMeter,
        answer: ChatStreamParser,
        clock: Callable[[], float],
    ) -> None:
        self.meter = meter
        self.answer = answer
        self.refused = False
        """The provider answered with an HTTP error: nothing was computed."""
        self.head: httpx.Response | None = None
        self.sent = False
        """Whether the complete request was sent."""
        self._client = client
        self._request = request
        self._settings = settings
        self._clock = clock
        self._heard = clock()
        self._cut: httpx.HTTPError | None = None

    async def deltas(self) -> AsyncGenerator[list[Delta], None]:
        """Send the request and yield the deltas of each read; lists are never empty.

        The connection is returned or closed before this generator ends, however it ends.

        Raises:
            CallFailed: The call did not end with an answer.
        """
        exchange = Exchange(self._client, self._request)
        try:
            await self._begin(exchange)
            async with aclosing(self._read(exchange)) as reads:
                async for deltas in reads:
                    yield deltas
            self.meter.stop()
            await exchange.settle(_SETTLE_SECONDS)
        finally:
            self.meter.stop()
            try:
                await exchange.aclose()
            finally:
                # Read after closing, because until then the request may still be sent. An answer proves the sending
                # too: some transports have no tracing, and some servers answer early.
                self.sent = exchange.sent or self.head is not None

    async def _begin(self, exchange: Exchange) -> None:
        try:
            self.head = head = await exchange.head(self._patience())
        except TimeoutError as exc:
            raise from_silence(answering=False) from exc
        except httpx.HTTPError as exc:
            raise from_transport(exc) from exc
        if not head.is_success:
            self.refused = True
            body = await _refusal(exchange)
            raise from_status(head.status_code, head.headers, refusal_text(body), body)
        if "text/html" in head.headers.get("content-type", ""):
            self.refused = True
            raise from_web_page()

    async def _read(self, exchange: Exchange) -> AsyncGenerator[list[Delta], None]:
        answer = self.answer
        while not answer.done and (data := await self._next(exchange)):
            known = answer.documents
            deltas = answer.feed(data)
            if answer.documents != known:
                self._heard = self._clock()
            if deltas:
                self.meter.first_delta()
                yield deltas
            self._raise_failure()
        last = answer.close()
        if self._cut is not None and answer.broken_off:
            raise from_cut() from self._cut
        self._raise_failure()
        if not answer.finished:
            raise from_cut()
        if last:
            self.meter.first_delta()
            yield last
        if answer.meaning != "complete":
            # What came before is shown and kept; it must not pass for the whole answer.
            raise from_finish(answer.finish_reason or "", filtered=answer.meaning == "filtered")

    async def _next(self, exchange: Exchange) -> bytes:
        """Return the next read; empty at the body's end, also when it broke off."""
        try:
            return await exchange.read(self._patience())
        except httpx.HTTPError as exc:
            # What was received before may be a complete answer.
            self._cut = exc
            return b""
        except TimeoutError as exc:
            if self.answer.finished:
                return b""
            raise from_silence(answering=self.meter.answering) from exc

    def _raise_failure(self) -> None:
        if failure := self.answer.failure:
            if isinstance(failure, ProviderFailure) and not self.meter.answering:
                # A proxy that has sent its head reports the provider's refusal inside the answer.
                self.refused = refused_as(failure) is not None
            raise from_answer(failure, answering=self.meter.answering) from failure

    def _patience(self) -> float:
        """Return how long the next read may take. Comments in the stream do not extend it."""
        if self.answer.settled:
            return _TAIL_SECONDS
        if self.meter.answering:
            return self._settings.idle_timeout_seconds - (self._clock() - self._heard)
        return self._settings.first_token_timeout_seconds - self.meter.elapsed_seconds


async def _refusal(exchange: Exchange) -> bytes:
    body = b""
    try:
        while len(body) < _MAX_REFUSAL_BYTES and (data := await exchange.read(_REFUSAL_SECONDS)):
            body += data
    except (TimeoutError, httpx.HTTPError):
        pass  # The status says enough.
    return body
