"""What is known of a request that has no answer: whether it may be sent again, and that no call waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from core.agentscope.tools.mcp import delivery
from core.agentscope.tools.mcp.delivery import DeliveryTransport
from core.agentscope.tools.mcp.failures import Failure

CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}
NOTICE = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
ANSWER = b'{"jsonrpc": "2.0", "id": 7, "result": {}}'
EVENT = b"event: message\ndata: " + ANSWER + b"\n\n"

TOO_LITTLE = {"www-authenticate": 'Bearer error="insufficient_scope", scope="refund"'}

Handler = Callable[[httpx.Request], httpx.Response]


class Stream(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


def sent_events(*pieces: bytes, error: Exception | None = None) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Stream(*pieces, error=error)
    )


class Peer:
    """A client over the transport; what is reported is kept."""

    def __init__(self, handler: Handler, *, answers_elsewhere: bool = False) -> None:
        self.reports: list[tuple[int, str]] = []
        self.reasons: list[str] = []
        transport = DeliveryTransport(
            httpx.MockTransport(handler), self._report, answers_elsewhere=answers_elsewhere
        )
        self.client = httpx.AsyncClient(transport=transport)

    def _report(self, request_id: int, failure: Failure) -> None:
        self.reports.append((request_id, failure.kind))
        self.reasons.append(failure.reason)

    async def post(self, message: object = CALL) -> tuple[int, bytes]:
        async with self.client.stream("POST", "http://mcp.test/mcp", json=message) as response:
            return response.status_code, await response.aread()


def fails(error: Exception) -> Handler:
    def handle(_: httpx.Request) -> httpx.Response:
        raise error

    return handle


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (fails(httpx.ConnectError("refused")), "not-delivered"),
        (fails(httpx.ConnectTimeout("slow")), "not-delivered"),
        (fails(httpx.PoolTimeout("full")), "not-delivered"),
        (fails(httpx.WriteError("broke")), "lost"),
        (fails(httpx.ReadError("broke")), "lost"),
        (fails(httpx.RemoteProtocolError("closed")), "lost"),
        (lambda _: httpx.Response(404), "session-gone"),
        (lambda _: httpx.Response(400, text="Bad Request: No valid Session ID"), "session-gone"),
        (lambda _: httpx.Response(400, text="no"), "failed"),
        (lambda _: httpx.Response(401), "unauthorized"),
        (lambda _: httpx.Response(403), "refused"),
        (lambda _: httpx.Response(403, headers=TOO_LITTLE), "unauthorized"),
        (lambda _: httpx.Response(500, text="x" * 99_999), "failed"),
        (lambda _: httpx.Response(503), "failed"),
        (lambda _: httpx.Response(302, headers={"location": "https://evil.test/"}), "refused"),
        (lambda _: httpx.Response(307, headers={"location": "https://evil.test/"}), "refused"),
        (lambda _: httpx.Response(200, text="<html>"), "unreadable"),
        (lambda _: httpx.Response(200, json={"jsonrpc": "2.0", "id": 8, "result": {}}), "unreadable"),
        (lambda _: httpx.Response(200, json=[1]), "unreadable"),
        (
            lambda _: httpx.Response(200, headers={"content-type": "application/json"}, content=b"{"),
            "unreadable",
        ),
    ],
)
async def test_a_request_without_an_answer_is_reported_and_the_session_goes_on(
    handler: Handler, kind: str
) -> None:
    peer = Peer(handler)

    assert await peer.post() == (202, b"")
    assert peer.reports == [(7, kind)]


@pytest.mark.parametrize(
    ("response", "reports"),
    [
        (sent_events(), [(7, "lost")]),
        (sent_events(b": hello\n\n", error=httpx.ReadError("broke")), [(7, "lost")]),
        # The library takes up a stream whose events have ids.
        (sent_events(b"id: 1\ndata: \n\n", error=httpx.ReadError("broke")), []),
        (sent_events(b"data: {}\nid: 1\n\n"), []),
    ],
)
async def test_a_stream_that_ends_without_its_answer_is_reported(
    response: httpx.Response, reports: list[tuple[int, str]]
) -> None:
    peer = Peer(lambda _: response)

    await peer.post()

    assert peer.reports == reports


async def test_answers_pass_as_they_are_and_a_stream_that_was_read_enough_is_no_failure() -> None:
    as_json = Peer(
        lambda _: httpx.Response(
            200, content=ANSWER, headers={"content-type": "application/json", "mcp-session-id": "s"}
        )
    )
    as_events = Peer(lambda _: sent_events(EVENT))

    async with as_json.client.stream("POST", "http://mcp.test/", json=CALL) as response:
        assert (await response.aread(), response.headers["mcp-session-id"]) == (ANSWER, "s")
    async with as_events.client.stream("POST", "http://mcp.test/", json=CALL) as response:
        assert await anext(response.aiter_bytes()) == EVENT

    assert as_json.reports == as_events.reports == []


async def test_an_answer_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_ANSWER_BYTES", 1000)
    endless = Peer(lambda _: sent_events(*[b"data: " + b"x" * 400] * 10))
    large = Peer(
        lambda _: httpx.Response(
            200, headers={"content-type": "application/json"}, content=b" " * 2000 + ANSWER
        )
    )
    many = Peer(lambda _: sent_events(*[b": ping" + b"x" * 400 + b"\n\n"] * 10, EVENT))

    _, body = await endless.post()
    await large.post()
    await many.post()

    assert len(body) <= 1000
    assert endless.reports == [(7, "lost")]
    assert large.reports == [(7, "unreadable")]
    assert many.reports == [(7, "lost")]  # to its end, which the library does not wait for


async def test_a_notification_never_ends_the_session_and_never_holds_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "SHORT_SECONDS", 0.01)

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    failing = Peer(fails(httpx.ConnectError("refused")))
    refusing = Peer(lambda _: httpx.Response(500))
    client = httpx.AsyncClient(transport=DeliveryTransport(Silent(), lambda *_: None))

    assert (await failing.post(NOTICE))[0] == 202
    assert (await refusing.post(NOTICE))[0] == 202
    assert (await client.post("http://mcp.test/", json=NOTICE)).status_code == 202
    assert (await client.request("DELETE", "http://mcp.test/")).status_code == 202
    assert failing.reports == refusing.reports == []


async def test_a_post_whose_answer_comes_elsewhere_only_hands_over() -> None:
    taken = Peer(lambda _: httpx.Response(200, text="Accepted"), answers_elsewhere=True)
    gone = Peer(lambda _: httpx.Response(404), answers_elsewhere=True)

    assert (await taken.post())[0] == (await gone.post())[0] == 202
    assert (taken.reports, gone.reports) == ([], [(7, "session-gone")])


async def test_headers_are_added_to_every_request() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(202)

    transport = DeliveryTransport(
        httpx.MockTransport(handle), lambda *_: None, {"Authorization": "Bearer one"}
    )
    client = httpx.AsyncClient(transport=transport)
    await client.post("http://mcp.test/", json=CALL)
    await client.post("http://mcp.test/", json=NOTICE)

    assert seen == ["Bearer one", "Bearer one"]


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (403, TOO_LITTLE), (403, {}), (503, {})])
async def test_the_log_says_what_the_server_answered(status: int, headers: dict[str, str]) -> None:
    peer = Peer(lambda _: httpx.Response(status, headers=headers))

    await peer.post()

    assert peer.reasons == [f"HTTP {status}"]
