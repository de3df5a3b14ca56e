"""Both clients against one scripted service: what they send, what they send again, and what they tell."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

from agentroute.client import (
    AgentRouteClient,
    AsyncAgentRouteClient,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    ProblemError,
    Retry,
    RunFailed,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    answer,
    approve,
    decline,
    file_part,
    text_part,
    tool_result,
)
from v1.agent.why_example import WHY_EXAMPLE

BASE = "http://agent.example"
ACCEPTED = {
    "taskId": "r-1",
    "threadId": "t-1",
    "runId": "r-1",
    "status": "accepted",
    "eventsUrl": "/e",
    "historyUrl": "/h",
    "cursor": "1-0",
}
STREAM = {"Content-Type": "text/event-stream"}

Step = Callable[[httpx.Request], httpx.Response]


class Script:
    """A service that answers one request after the other, and keeps them."""

    def __init__(self, *steps: Step | httpx.Response) -> None:
        self.requests: list[httpx.Request] = []
        self.tokens: list[str | None] = []
        self._steps = iter(steps)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        self.tokens.append(request.headers.get("authorization"))
        step = next(self._steps)
        return step if isinstance(step, httpx.Response) else step(request)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self(request)


class Sync:
    """Uses the synchronous client."""

    def __init__(self, script: Script, **options: Any) -> None:
        http = httpx.Client(transport=httpx.MockTransport(script))
        self.client = AgentRouteClient(options.pop("url", BASE), http=http, max_pause_seconds=0, **options)

    def do(self, use: Callable[[Any], Any]) -> Any:
        """Return what a use of the client comes to; of something to iterate over, the list."""
        with self.client as client:
            found = use(client)
            return list(found) if isinstance(found, Iterator) else found


class Async:
    """Uses the asynchronous client."""

    def __init__(self, script: Script, **options: Any) -> None:
        self.script, self.options = script, options

    def do(self, use: Callable[[Any], Any]) -> Any:
        """Return what a use of the client comes to; of something to iterate over, the list."""

        async def main() -> Any:
            http = httpx.AsyncClient(transport=httpx.MockTransport(self.script.answer))
            async with (
                http,
                AsyncAgentRouteClient(
                    self.options.pop("url", BASE), http=http, max_pause_seconds=0, **self.options
                ) as client,
            ):
                found = use(client)
                while inspect.isawaitable(found):
                    found = await found
                if isinstance(found, AsyncIterator):
                    return [each async for each in found]
                return found

        return anyio.run(main)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def using(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return ``using(script, **options).do(lambda client: …)``."""
    return request.param


def say(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def problem(status: int, code: str, *, retryable: bool = False, retry_after: str = "") -> httpx.Response:
    body = {"code": code, "detail": "Why.", "title": "T", "retryable": retryable, "requestId": "q-1"}
    body |= {"errors": [{"pointer": "/messages/0", "message": "no"}]} if status == 422 else {}
    return httpx.Response(status, json=body, headers={"Retry-After": retry_after} if retry_after else {})


def broken(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("the line broke")


def unreadable(_: httpx.Request) -> httpx.Response:
    raise httpx.DecodingError("it is no gzip")


def stream(*events: dict[str, Any], first: int = 1) -> httpx.Response:
    body = "".join(
        f"id: 1-{number}\ndata: {json.dumps(event)}\n\n" for number, event in enumerate(events, first)
    )
    return httpx.Response(200, content=body, headers=STREAM)


START = {"type": "RUN_STARTED", "threadId": "t-1", "runId": "r-1"}
TEXT = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "4"}
MORE = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "2"}
NEXT = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "n", "delta": "Bye."}
ASIDE = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "s", "delta": "hm", "subagentRunId": "s-1"}
END = {
    "type": "RUN_FINISHED",
    "threadId": "t-1",
    "runId": "r-1",
    "outcome": {
        "type": "interrupt",
        "interrupts": [{"id": "i-1", "reason": "tool_approval", "message": "May I?"}],
    },
}
ERROR = {"type": "RUN_ERROR", "code": "model-timeout", "message": "Too slow."}


def test_a_run_whose_answer_is_lost_is_sent_again_as_the_same_run(using: Any) -> None:
    told: list[Retry] = []
    script = Script(
        broken,
        problem(503, "overloaded", retryable=True),
        httpx.Response(502, text="<html>"),
        say(ACCEPTED, 202),
        stream(START, TEXT),
        broken,
        stream(MORE, ASIDE, NEXT, END, first=3),
    )
    result = using(script, on_retry=told.append).do(lambda client: client.ask("6*7"))
    assert (result.text, result.outcome.type) == ("42\n\nBye.", "interrupt")
    assert [each.message for each in result.interrupts] == ["May I?"]
    assert len({request.content for request in script.requests[:4]}) == 1
    body = json.loads(script.requests[0].content)
    assert body["protocolVersion"] == "1.0"
    assert [(each["role"], each["content"]) for each in body["messages"]] == [("user", "6*7")]
    assert script.requests[0].headers["accept"] == "application/json"
    # A body that ends without the last event was cut off: the cursor goes with the next request.
    assert [str(request.url.params) for request in script.requests[4:]] == [
        "threadId=t-1&runId=r-1&cursor=1-0",
        "threadId=t-1&runId=r-1&cursor=1-2",
        "threadId=t-1&runId=r-1&cursor=1-2",
    ]
    assert [each.thread_id for each in told] == [None, None, None, "t-1", "t-1"]


def test_a_run_that_failed_says_so_in_its_result_and_is_an_event_of_its_stream(using: Any) -> None:
    with pytest.raises(RunFailed, match="Too slow") as caught:
        using(Script(say(ACCEPTED, 202), stream(START, ERROR))).do(lambda client: client.ask("x"))
    assert (caught.value.code, caught.value.thread_id, caught.value.run_id) == ("model-timeout", "t-1", "r-1")
    script = Script(stream(START, ERROR))
    events = using(script).do(lambda client: client.events("t-1", run_id="r-1"))
    assert [event.type for event in events] == ["RUN_STARTED", "RUN_ERROR"]


PARTS = [text_part("Look"), {"type": "image", "source": {"type": "url", "value": "https://x.example/y.png"}}]


@pytest.mark.parametrize(
    ("use", "path", "members"),
    [
        (
            lambda c: c.run(
                PARTS, thread_id="t", run_id="r", agent_id="a", on_busy="enqueue", state={"n": 1}
            ),
            "/runs",
            {
                "threadId": "t",
                "runId": "r",
                "state": {"n": 1},
                "forwardedProps": {"messagesSnapshot": "never", "agentId": "a", "onBusy": "enqueue"},
            },
        ),
        (
            lambda c: c.run(
                thread_id="t",
                messages=[tool_result("call-1", {"ok": True})],
                options={"x": 1, "messagesSnapshot": "auto"},
            ),
            "/runs",
            {"forwardedProps": {"x": 1, "messagesSnapshot": "auto"}},
        ),
        (
            lambda c: c.resume("t", [approve("i", {"n": 1}), decline("j"), answer("k", "blue")]),
            "/resume",
            {
                "messages": [],
                "resume": [
                    {
                        "interruptId": "i",
                        "status": "resolved",
                        "payload": {"approved": True, "input": {"n": 1}},
                    },
                    {"interruptId": "j", "status": "cancelled"},
                    {"interruptId": "k", "status": "resolved", "payload": "blue"},
                ],
            },
        ),
    ],
    ids=["run", "tool-result", "resume"],
)
def test_what_a_run_sends(using: Any, use: Any, path: str, members: dict[str, Any]) -> None:
    script = Script(say(ACCEPTED, 202))
    run = using(script).do(lambda client: _started(use(client)))
    assert (run.run_id, run.thread_id, run.cursor) == ("r-1", "t-1", "1-0")
    assert script.requests[0].url.path == f"/api/v1/agent{path}"
    body = json.loads(script.requests[0].content)
    assert members.items() <= body.items()


class _Started:
    """Keeps a run from being read."""

    def __init__(self, run: Any) -> None:
        self.run_id, self.thread_id, self.cursor = run.run_id, run.thread_id, run.cursor


def _started(run: Any) -> Any:
    async def wait() -> Any:
        return _Started(await run)

    return wait() if inspect.isawaitable(run) else _Started(run)


THREAD = {"threadId": "t", "createdAt": "2026-11-27T18:00:00Z", "updatedAt": "2026-11-27T18:00:00Z"}
RUN = {"threadId": "t", "runId": "r", "status": "ended", "createdAt": "2026-11-27T18:00:00Z"}
FILE = {
    "fileId": "f",
    "mediaType": "image/png",
    "bytes": 3,
    "name": "x.png",
    "createdAt": "2026-11-27T18:00:00Z",
    "url": "/u",
}
HISTORY = {"threadId": "t", "messages": [{"id": "m-2"}, {"id": "m-3"}], "cursor": "1-9"}
PERIOD = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z", "groupBy": "day", "rows": []}
TOTALS = {"calls": 1, "inputTokens": 2, "outputTokens": 3, "cost": "0.1"}
EVERY = {"type": "interval", "everySeconds": 3600}
SCHEDULE = {
    "scheduleId": "s",
    "state": "active",
    "trigger": EVERY,
    "createdAt": "2026-11-27T18:00:00Z",
    "updatedAt": "2026-11-27T18:00:00Z",
    "lastFires": [{"fireAt": "2026-11-27T18:00:00Z", "state": "accepted", "runId": "r"}],
}
TRIGGERED = {
    "taskId": "k",
    "threadId": "t",
    "runId": "r",
    "status": "queued",
    "eventsUrl": "/e",
    "historyUrl": "/h",
}
HEARD = {"text": "Hello", "durationMs": 1, "model": "w", "latencyMs": 1}

ROUTES: list[tuple[Any, str, Any]] = [
    (lambda c: c.cancel("t", "r"), "POST /runs/r/cancel", {}),
    (lambda c: c.run_status("t", "r"), "GET /runs/r?threadId=t", RUN),
    (lambda c: c.why("t", "r"), "GET /runs/r/why?threadId=t", WHY_EXAMPLE),
    (lambda c: c.history("t", limit=2, before="m"), "GET /history?threadId=t&limit=2&before=m", HISTORY),
    (
        lambda c: c.threads("tea time", agent_id="a"),
        "GET /threads?q=tea+time&agentId=a&limit=30",
        {"threads": []},
    ),
    (lambda c: c.thread("a/b"), "GET /threads/a%2Fb", THREAD),
    (lambda c: c.rename_thread("t", "New"), "PATCH /threads/t", THREAD),
    (lambda c: c.delete_thread("t"), "DELETE /threads/t", None),
    (lambda c: c.thread_runs("t"), "GET /threads/t/runs?limit=30", {"runs": [RUN]}),
    (lambda c: c.usage("2026-11-01"), "GET /usage?from=2026-11-01&groupBy=day", PERIOD | {"totals": TOTALS}),
    (lambda c: c.transcribe(b"RIFF", language="en"), "POST /transcribe", HEARD),
    (lambda c: c.upload(b"png", name="x.png"), "POST /files", FILE),
    (lambda c: c.download("f"), "GET /files/f", {}),
    (lambda c: c.files(), "GET /files?limit=30", {"files": [FILE]}),
    (lambda c: c.delete_file("f"), "DELETE /files/f", None),
    (lambda c: c.create_schedule("hi", EVERY, schedule_id="s"), "POST /schedules", SCHEDULE),
    (
        lambda c: c.schedules(limit=2, before="x"),
        "GET /schedules?limit=2&before=x",
        {"schedules": [SCHEDULE]},
    ),
    (lambda c: c.schedule("s"), "GET /schedules/s", SCHEDULE),
    (lambda c: c.change_schedule("s", enabled=False), "PATCH /schedules/s", SCHEDULE),
    (lambda c: c.delete_schedule("s"), "DELETE /schedules/s", None),
    (lambda c: c.trigger_schedule("s"), "POST /schedules/s/trigger", TRIGGERED),
    (lambda c: c.agents(), "GET /agents", {"agents": [{"id": "a", "name": "A"}]}),
    (lambda c: c.capabilities(), "GET /capabilities", {}),
    (lambda c: c.capabilities("a"), "GET /agents/a/capabilities", {}),
    (lambda c: c.connections(), "GET /connections", {"connections": []}),
    (
        lambda c: c.connect_server("git", "s"),
        "PUT /connections/git",
        {"server": "git", "auth": "x", "state": "y"},
    ),
    (lambda c: c.begin_login("git"), "POST /connections/git/login", {"url": "https://x.example"}),
    (lambda c: c.forget_server("git"), "DELETE /connections/git", None),
]


@pytest.mark.parametrize(("use", "line", "body"), ROUTES, ids=[line.split("?")[0] for _, line, _ in ROUTES])
def test_each_route(using: Any, use: Any, line: str, body: Any) -> None:
    script = Script(httpx.Response(204) if body is None else say(body))
    using(script).do(use)
    (request,) = script.requests
    target = request.url.raw_path.decode().removeprefix("/api/v1/agent")
    assert f"{request.method} {target}" == line


def test_an_upload_names_its_file_and_a_transcription_has_a_key(using: Any) -> None:
    script = Script(broken, say(HEARD), say(FILE))
    using(script).do(lambda client: client.transcribe(b"RIFF", language="en", name="a.wav"))
    first, second = script.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    for part in (b'name="language"\r\n\r\nen', b'filename="a.wav"', b"RIFF"):
        assert part in first.content
    file = using(script).do(lambda client: client.upload(b"png", name="x.png"))
    assert file_part(file) == {
        "type": "image",
        "source": {"type": "file", "value": "f", "mimeType": "image/png"},
    }


def test_iterators_ask_for_page_after_page(using: Any) -> None:
    pages = [say(HISTORY | {"nextBefore": "m-2"}), say(HISTORY | {"messages": [{"id": "m-1"}]})]
    script = Script(*pages)
    found = using(script).do(lambda client: client.all_messages("t"))
    assert [each["id"] for each in found] == ["m-3", "m-2", "m-1"]
    script = Script(say({"threads": [THREAD], "nextBefore": "x"}), say({"threads": [THREAD]}))
    assert len(using(script).do(lambda client: client.all_threads())) == 2
    assert script.requests[1].url.params["before"] == "x"


REFUSALS: list[tuple[Callable[[], httpx.Response], type[Exception]]] = [
    (lambda: problem(422, "invalid-request"), InvalidRequest),
    (lambda: problem(401, "unauthenticated"), Unauthenticated),
    (lambda: problem(404, "not-found"), NotFound),
    # The caller chooses between waiting for the live run and stopping it.
    (lambda: problem(409, "run-active", retryable=True, retry_after="2"), Conflict),
    (lambda: problem(429, "budget-exhausted", retry_after="3600"), TooMany),
    (lambda: problem(429, "rate-limited", retryable=True, retry_after="3600"), TooMany),
    (lambda: problem(500, "internal-error"), Unavailable),
    (lambda: problem(418, "later-code"), ProblemError),
    (lambda: httpx.Response(404, text="<html>Not here</html>"), UnexpectedAnswer),
    (lambda: httpx.Response(200, text="<html>"), UnexpectedAnswer),
    (lambda: httpx.Response(200, json=[]), UnexpectedAnswer),
]


@pytest.mark.parametrize(("refusal", "kind"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_refusal_is_told_at_once(using: Any, refusal: Any, kind: type[Exception]) -> None:
    answered = refusal()
    script = Script(answered)
    with pytest.raises(kind) as caught:
        using(script).do(lambda client: client.thread("t"))
    if isinstance(caught.value, ProblemError):
        told = caught.value
        assert (told.status, told.message, told.request_id) == (answered.status_code, "Why.", "q-1")
        assert [place.pointer for place in told.errors] == (["/messages/0"] if told.status == 422 else [])


def test_what_does_not_pass_in_time_is_told(using: Any) -> None:
    away = Script(*[broken] * 3)
    with pytest.raises(ConnectionFailed, match="the line broke"):
        using(away, max_retries=2).do(lambda client: client.thread("t"))
    garbled = Script(*[unreadable] * 3)
    with pytest.raises(ConnectionFailed, match="no gzip"):
        using(garbled, max_retries=2).do(lambda client: client.thread("t"))
    full = Script(*[problem(503, "overloaded", retryable=True)] * 3)
    with pytest.raises(Unavailable):
        using(full, max_retries=2).do(lambda client: client.thread("t"))
    dead = Script(stream(START), broken)
    with pytest.raises(ConnectionFailed):
        using(dead, reconnect_seconds=0).do(lambda client: client.events("t-1"))


def test_a_deletion_that_is_sent_again_has_succeeded_before(using: Any) -> None:
    script = Script(broken, problem(404, "not-found"), problem(404, "not-found"))
    assert using(script).do(lambda client: client.delete_thread("t")) is None
    with pytest.raises(NotFound):
        using(script).do(lambda client: client.delete_thread("t"))


def test_a_token_that_has_ended_is_asked_for_again(using: Any) -> None:
    tokens = iter(["old", "new", "newer", "newer"])
    script = Script(problem(401, "unauthenticated"), say(THREAD), problem(401, "unauthenticated"))
    client = using(script, token=lambda: next(tokens))
    client.do(lambda client: client.thread("t"))
    with pytest.raises(Unauthenticated):
        using(script, token=lambda: next(tokens)).do(lambda client: client.thread("t"))
    assert script.tokens == ["Bearer old", "Bearer new", "Bearer newer"]


def test_the_asynchronous_client_awaits_its_token_and_the_other_says_that_it_cannot() -> None:
    async def token() -> str:
        return "t-1"

    script = Script(say(THREAD))
    Async(script, token=token).do(lambda client: client.thread("t"))
    assert script.tokens == ["Bearer t-1"]
    coroutines: list[Any] = []

    def unawaited() -> Any:
        coroutines.append(token())
        return coroutines[0]

    with pytest.raises(TypeError, match="AsyncAgentRouteClient"):
        Sync(Script(), token=unawaited).do(lambda client: client.thread("t"))
    coroutines[0].close()


@pytest.mark.parametrize("url", [BASE, f"{BASE}/", f"{BASE}/api/v1/agent", f"{BASE}/api/v1/agent/"])
def test_an_address_may_name_the_api(using: Any, url: str) -> None:
    script = Script(say(THREAD))
    using(script, url=url).do(lambda client: client.thread("t"))
    assert str(script.requests[0].url) == f"{BASE}/api/v1/agent/threads/t"


@pytest.mark.parametrize("url", ["agent.example", "ftp://x", "http://", "http://x:99999", "//x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write one like"):
        AgentRouteClient(url)


def test_the_address_of_the_environment_is_used_when_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with AgentRouteClient() as client:
        assert client._connection.address == "http://127.0.0.1:8000"
    monkeypatch.setenv("AGENTROUTE_URL", BASE)
    with AgentRouteClient() as client:
        assert client._connection.address == BASE


def test_a_stream_that_is_left_keeps_its_cursor(using: Any) -> None:
    script = Script(stream(START, TEXT, MORE))

    def leave(client: Any) -> Any:
        events = client.events("t-1")
        if isinstance(client, AgentRouteClient):
            with events:
                next(events)
                next(events)
            return events.cursor

        async def main() -> Any:
            async with events:
                await anext(events)
                await anext(events)
            return events.cursor

        return main()

    assert using(script).do(leave) == "1-2"
