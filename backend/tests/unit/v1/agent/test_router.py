"""The routes over HTTP: every promise and every refusal of the contract that needs no database."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from tests.support.limits import HUNG_SECONDS
from tests.support.memory_ports import MemoryRuns
from tests.support.questions import a_question

from agentroute.page.built_files import BuiltFiles
from core import errors
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import RunFinished
from core.identity import Principal
from v1.agent import route_access

BASE = "/api/v1/agent"
SSE = {"Accept": "text/event-stream"}
HELLO = {"id": "m-1", "role": "user", "content": "hello"}
RUN = {"threadId": "t-1", "runId": "r-1", "messages": [HELLO]}
RESUME = {"threadId": "t-1", "resume": [{"interruptId": "i-1", "status": "resolved"}]}

PUBLIC = {
    *route_access.PUBLIC,
    # The chat page: what it shows, it asks for with a token.
    *(("GET", f"/{name}") for name in ("", *BuiltFiles().names())),
}
"""Routes that ask nobody who they are. A new one must be put into ``route_access`` on purpose."""


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body = response.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/problems/{code}")
    assert body["instance"] == response.request.url.path
    assert body["requestId"] == response.headers["x-request-id"]
    return body


def frames(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The (id, event) of each frame, by the rules the official client parses with."""
    found: list[tuple[str, dict[str, Any]]] = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.split("\n") if line and not line.startswith(":"))
        if "data" in lines:
            found.append((lines["id"], json.loads(lines["data"])))
    return found


# --- POST /runs and /resume ---


async def test_a_run_is_accepted(ada: httpx.AsyncClient) -> None:
    response = await ada.post(f"{BASE}/runs", json=RUN)

    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["status"] == "queued"
    assert set(body) == {"taskId", "threadId", "runId", "status", "eventsUrl", "historyUrl", "cursor"}
    assert (await ada.get(body["historyUrl"])).status_code == 200


async def test_a_run_without_ids_gets_some(ada: httpx.AsyncClient) -> None:
    body = (await ada.post(f"{BASE}/runs", json={"messages": [HELLO]})).json()

    assert body["threadId"]
    assert body["runId"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json, text/event-stream"])
async def test_a_client_that_names_event_streams_gets_one(
    accept: str, ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal
) -> None:
    async def work() -> None:
        await runs.opened.wait()
        runs.say(ada_principal, "t-1", {"type": "RUN_STARTED"})
        runs.end(ada_principal, "t-1")

    response, _ = await asyncio.gather(ada.post(f"{BASE}/runs", json=RUN, headers={"Accept": accept}), work())

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "\r" not in response.text
    assert [event["type"] for _, event in frames(response.text)] == ["RUN_STARTED", "RUN_FINISHED"]
    assert runs.open_streams == 0


async def test_a_repeat_is_the_same_run(ada: httpx.AsyncClient) -> None:
    first = await ada.post(f"{BASE}/runs", json=RUN)
    again = await ada.post(f"{BASE}/runs", json=RUN)

    assert again.status_code == 202
    assert first.content == again.content


async def test_the_header_is_the_key(ada: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = await ada.post(f"{BASE}/runs", json={"messages": [HELLO]}, headers=headers)

    assert (
        await ada.post(f"{BASE}/runs", json={"messages": [HELLO]}, headers=headers)
    ).json() == first.json()
    other = await ada.post(f"{BASE}/runs", json={"messages": []}, headers=headers)
    problem(other, 422, "idempotency-mismatch")


@pytest.fixture
async def interrupted(ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal) -> None:
    """A thread whose run waits for an answer; its log has the two events every run has."""
    await ada.post(f"{BASE}/runs", json=RUN)
    runs.work(ada_principal, "t-1", a_question("i-1"), RunFinished(outcome="interrupt"))


@pytest.mark.usefixtures("interrupted")
async def test_a_resume_needs_an_answer(ada: httpx.AsyncClient) -> None:
    assert (await ada.post(f"{BASE}/resume", json=RESUME)).status_code == 202
    for body in ({"threadId": "t-1"}, {"threadId": "t-1", "resume": []}):
        refused = problem(await ada.post(f"{BASE}/resume", json=body), 422, "invalid-request")
        assert [entry["pointer"] for entry in refused["errors"]] == ["/resume"]


@pytest.mark.usefixtures("interrupted")
async def test_a_resume_streams_too(
    ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal
) -> None:
    async def work() -> None:
        await runs.opened.wait()
        runs.end(ada_principal, "t-1")

    response, _ = await asyncio.gather(ada.post(f"{BASE}/resume", json=RESUME, headers=SSE), work())

    assert [id_ for id_, _ in frames(response.text)] == ["2-1"]


async def test_a_busy_thread_is_told_with_the_live_run(ada: httpx.AsyncClient) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)

    response = await ada.post(f"{BASE}/runs", json=RUN | {"runId": "r-2"}, headers=SSE)

    body = problem(response, 409, "run-active")
    assert body["runId"] == "r-1"
    assert body["eventsUrl"].startswith(f"{BASE}/events?threadId=t-1")
    assert body["retryable"] is True
    assert int(response.headers["retry-after"]) >= 1


def raw(content: bytes | str, content_type: str | None = "application/json") -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": content_type} if content_type else {}}


REFUSED_BODIES: list[tuple[dict[str, Any], int, str]] = [
    (raw(""), 400, "malformed-json"),
    (raw("{"), 400, "malformed-json"),
    (raw('{"runId": NaN}'), 400, "malformed-json"),
    (raw('{"runId": "a", "runId": "b"}'), 400, "malformed-json"),
    (raw("[" * 40 + "]" * 40), 400, "malformed-json"),
    (raw("{}", "text/plain"), 415, "unsupported-media-type"),
    (raw("{}", None), 415, "unsupported-media-type"),
    (raw(b" " * (1 << 17)), 413, "body-too-large"),
    (raw('{"state": "\\u0000"}'), 422, "invalid-text"),
    (raw('{"state": "\\ud800"}'), 422, "invalid-text"),
    (raw("[]"), 422, "invalid-request"),
    (raw("null"), 422, "invalid-request"),
    (raw('"text"'), 422, "invalid-request"),
    ({"json": {"threadId": "a b"}}, 422, "invalid-request"),
    ({"json": {"threadId": "é"}}, 422, "invalid-request"),
    ({"json": {"runId": ""}}, 422, "invalid-request"),
    ({"json": {"runId": "a" * 129}}, 422, "invalid-request"),
    ({"json": {"runId": "r-1\n"}}, 422, "invalid-request"),
    ({"json": {"runId": 7}}, 422, "invalid-request"),
    ({"json": {"messages": {}}}, 422, "invalid-request"),
    ({"json": {"messages": [{"role": "user", "content": "x", "id": "a b"}]}}, 422, "invalid-request"),
    ({"json": RUN | {"resume": [{"interruptId": "i", "status": "resolved"}] * 1001}}, 422, "limit-exceeded"),
    ({"json": {"messages": [{"id": "m", "role": "alien"}]}}, 422, "invalid-request"),
    ({"json": {"messages": [{"id": "m", "role": "user", "content": 1}]}}, 422, "invalid-request"),
    ({"json": {"protocolVersion": "one"}}, 422, "invalid-request"),
    ({"json": {"tools": [{"name": "a b"}]}}, 422, "invalid-request"),
    ({"json": {"resume": [{"interruptId": "i"}]}}, 422, "invalid-request"),
    ({"json": {"forwardedProps": {"onBusy": "wait"}}}, 422, "invalid-request"),
    ({"json": {"messages": [HELLO] * 6}}, 422, "limit-exceeded"),
    ({"json": {"messages": [HELLO | {"content": "x" * 1025}]}}, 422, "limit-exceeded"),
    ({"json": {"tools": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}, 422, "limit-exceeded"),
    ({"json": RUN, "headers": {"Idempotency-Key": "a b"}}, 422, "invalid-request"),
]


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED_BODIES, ids=lambda value: str(value)[:48])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_bad_body_is_refused_before_the_first_byte(
    sent: dict[str, Any], status: int, code: str, accept: str, ada: httpx.AsyncClient
) -> None:
    headers = {"Accept": accept} | sent.get("headers", {})

    response = await ada.post(f"{BASE}/runs", **(sent | {"headers": headers}))

    body = problem(response, status, code)
    if status == 422:
        assert body["errors"]


MEANT_WELL: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [HELLO | {"name": None, "metadata": None, "encryptedValue": None}]},
    {"messages": [HELLO], "tools": [{"name": "a", "description": None, "parameters": None}]},
    {"messages": [HELLO], "tools": [{"name": "a"}]},
    {"messages": [HELLO], "tools": [{"name": "a", "description": "x" * 5000}]},
    {
        "messages": [HELLO],
        "tools": None,
        "context": None,
        "forwardedProps": None,
        "state": None,
        "resume": None,
    },
    {"messages": [HELLO], "context": [{"description": None, "value": "x"}]},
    {"messages": [HELLO], "forwardedProps": {"onBusy": None, "unheard": "of"}},
    {"messages": [{"role": "assistant", "toolCalls": [{"id": "a|b"}]}, HELLO]},
    {
        "messages": [
            HELLO
            | {
                "content": [
                    {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}},
                    {"type": "binary", "mimeType": "image/png", "data": "AA=="},
                ]
            }
        ]
    },
]


@pytest.mark.parametrize("body", MEANT_WELL, ids=lambda body: str(body)[:70])
async def test_a_client_that_means_well_is_not_refused(body: dict[str, Any], ada: httpx.AsyncClient) -> None:
    assert (await ada.post(f"{BASE}/runs", json=body)).status_code == 202


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ('application/json; charset="UTF-8"', 202),
        ("Application/JSON;Charset=utf-8", 202),
        ("application/json ; charset=UTF8; x=y", 202),
        ("application/json;", 202),
        ("application/json; charset=latin-1", 415),
    ],
)
@pytest.mark.parametrize(
    "other",
    [
        json.dumps(RUN, indent=2),
        json.dumps(dict(reversed(RUN.items()))),
        json.dumps(RUN | {"tools": [], "context": None, "state": None, "unknown": 5}),
        json.dumps(
            RUN | {"forwardedProps": {"onBusy": "reject", "onInterrupt": None, "messagesSnapshot": "auto"}}
        ),
        json.dumps(RUN | {"messages": [HELLO | {"name": None}]}),
    ],
    ids=["spaces", "order", "defaults", "options", "nulls"],
)
async def test_a_repeat_is_told_by_what_it_means(
    content_type: str, status: int, other: str, ada: httpx.AsyncClient
) -> None:
    first = await ada.post(f"{BASE}/runs", json=RUN)
    again = await ada.post(f"{BASE}/runs", content=other, headers={"Content-Type": content_type})

    assert again.status_code == status
    assert status != 202 or again.content == first.content


async def test_a_message_without_an_id_has_one_in_history(ada: httpx.AsyncClient) -> None:
    body = {"threadId": "t-1", "messages": [{"role": "user", "content": "hello"}]}
    await ada.post(f"{BASE}/runs", json=body)

    (message,) = (await ada.get(f"{BASE}/history?threadId=t-1")).json()["messages"]
    assert message["content"] == "hello"
    assert message["id"].startswith("msg-")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "GZIP", "x-unheard"])
@pytest.mark.parametrize("path", ["runs", "resume", "runs/r-1/cancel"])
async def test_an_encoded_body_is_refused_by_its_encoding(
    encoding: str, path: str, ada: httpx.AsyncClient
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    response = await ada.post(f"{BASE}/{path}", content=gzip.compress(b"{}"), headers=headers)

    assert "Content-Encoding" in problem(response, 415, "unsupported-media-type")["detail"]
    assert response.headers["accept-encoding"] == "identity"


async def test_identity_is_no_encoding(ada: httpx.AsyncClient) -> None:
    for encoding in ("identity", "Identity", ""):
        answer = await ada.post(f"{BASE}/runs", json=RUN, headers={"Content-Encoding": encoding})
        assert answer.status_code == 202


async def test_an_invalid_message_is_named_by_a_pointer_without_the_tags_of_unions(
    ada: httpx.AsyncClient,
) -> None:
    parts = [{"type": "text"}, {"type": "image", "source": {"type": "data", "value": 1}}]
    messages = [HELLO, {"id": "m-2", "role": "user", "content": parts}]

    body = problem(await ada.post(f"{BASE}/runs", json={"messages": messages}), 422, "invalid-request")

    assert {entry["pointer"] for entry in body["errors"]} == {
        "/messages/1/content",
        "/messages/1/content/0/text",
        "/messages/1/content/1/source/value",
        "/messages/1/content/1/source/mimeType",
    }


async def test_what_a_client_sends_is_not_repeated_to_it(ada: httpx.AsyncClient) -> None:
    for body in (
        {"threadId": "canary canary"},
        {"messages": [{"id": "m", "role": "user", "content": {"a": "canary"}}]},
    ):
        assert "canary" not in (await ada.post(f"{BASE}/runs", json=body)).text


@pytest.mark.parametrize(
    "error",
    [
        errors.InterruptOpen(),
        errors.InterruptUncovered(interruptIds=["i-2"]),
        errors.InterruptResolved(),
        errors.InterruptExpired(),
        errors.UrlNotAllowed(),
        errors.RateLimited(),
        errors.BudgetExhausted(),
        errors.QueueFull(),
        errors.Overloaded(),
        errors.StoreUnavailable(),
        errors.Forbidden(),
    ],
    ids=lambda error: error.code,
)
async def test_what_the_gateway_refuses_is_a_problem(
    error: errors.AgentBackendError,
    ada: httpx.AsyncClient,
    runs: MemoryRuns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def accept(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runs, "accept", accept)
    response = await ada.post(f"{BASE}/runs", json=RUN, headers=SSE)

    body = problem(response, error.status, error.code)
    assert {name: body[name] for name in error.members} == error.members
    assert ("retry-after" in response.headers) == (error.status in {429, 503})


# --- GET /events ---


@pytest.fixture
async def finished(ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal) -> None:
    """A thread with one run of three events."""
    await ada.post(f"{BASE}/runs", json=RUN)
    runs.say(ada_principal, "t-1", {"type": "RUN_STARTED"}, {"type": "CUSTOM"})
    runs.end(ada_principal, "t-1")


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("query", "header", "ids"),
    [
        ("", None, ["1-1", "1-2", "1-3"]),
        ("&cursor=1-0", None, ["1-1", "1-2", "1-3"]),
        ("&cursor=1-1", None, ["1-2", "1-3"]),
        ("&cursor=1-1", "1-2", ["1-3"]),
        ("", "1-2", ["1-3"]),
    ],
)
async def test_a_reader_gets_the_exact_suffix(
    query: str, header: str | None, ids: list[str], ada: httpx.AsyncClient
) -> None:
    headers = {"Last-Event-ID": header} if header else {}

    response = await ada.get(f"{BASE}/events?threadId=t-1&runId=r-1{query}", headers=headers)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text.startswith("retry: ")
    assert [id_ for id_, _ in frames(response.text)] == ids


@pytest.mark.usefixtures("finished")
async def test_nothing_left_is_204_without_a_body(ada: httpx.AsyncClient) -> None:
    response = await ada.get(f"{BASE}/events?threadId=t-1&runId=r-1&cursor=1-3")

    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("threadId=t-1&cursor=x", 400, "bad-cursor"),
        ("threadId=t-1&cursor=", 400, "bad-cursor"),
        ("threadId=t-1&cursor=01-1", 400, "bad-cursor"),
        ("threadId=t-1&cursor=9-1", 400, "cursor-ahead"),
        ("threadId=t-9", 404, "not-found"),
        ("threadId=t-1&runId=r-9", 404, "not-found"),
        ("", 422, "invalid-request"),
        ("threadId=", 422, "invalid-request"),
        ("threadId=a%20b", 422, "invalid-request"),
        ("threadId=t-1&runId=%00", 422, "invalid-request"),
    ],
)
async def test_a_bad_place_is_refused(query: str, status: int, code: str, ada: httpx.AsyncClient) -> None:
    problem(await ada.get(f"{BASE}/events?{query}", headers=SSE), status, code)


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (None, ["1-1", "1-2", "1-3"]),
        ("1-2", ["1-3"]),
        # Not of this run: the client has seen nothing of it.
        ("0-7", ["1-1", "1-2", "1-3"]),
        ("1795363125074-0", ["1-1", "1-2", "1-3"]),
    ],
)
async def test_a_repeated_post_goes_on_behind_the_last_event_seen(
    header: str | None, ids: list[str], ada: httpx.AsyncClient
) -> None:
    headers = SSE | ({"Last-Event-ID": header} if header else {})

    response = await ada.post(f"{BASE}/runs", json=RUN, headers=headers)

    assert response.status_code == 200
    assert [id_ for id_, _ in frames(response.text)] == ids


@pytest.mark.usefixtures("finished")
async def test_a_repeated_post_with_nothing_left_is_204(ada: httpx.AsyncClient) -> None:
    response = await ada.post(f"{BASE}/runs", json=RUN, headers=SSE | {"Last-Event-ID": "1-3"})

    assert (response.status_code, response.content) == (204, b"")
    ahead = await ada.post(f"{BASE}/runs", json=RUN, headers=SSE | {"Last-Event-ID": "1-4"})
    problem(ahead, 400, "cursor-ahead")


async def test_a_new_run_begins_at_its_first_event_whatever_was_seen_before(
    ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal
) -> None:
    async def work() -> None:
        await runs.opened.wait()
        runs.say(ada_principal, "t-1", {"type": "RUN_STARTED"})
        runs.end(ada_principal, "t-1")

    post = ada.post(f"{BASE}/runs", json=RUN, headers=SSE | {"Last-Event-ID": "1-1"})
    response, _ = await asyncio.gather(post, work())

    assert [id_ for id_, _ in frames(response.text)] == ["1-1", "1-2"]


# --- GET /events?connect=true and POST /events ---

CONNECT = {"threadId": "t-1", "runId": "mine", "messages": [{"any": "thing"}], "tools": [], "context": []}


@pytest.mark.usefixtures("finished")
async def test_a_client_connects_with_get_and_post(ada: httpx.AsyncClient) -> None:
    got = await ada.get(f"{BASE}/events?threadId=t-1&connect=true")
    posted = await ada.post(f"{BASE}/events", json=CONNECT, headers=SSE)

    assert (got.status_code, got.headers["content-type"]) == (200, "text/event-stream")
    assert got.text.startswith("retry: ")
    assert [id_ for id_, _ in frames(got.text)] == ["1-3.2", "1-3.1", "1-3"]
    types = [event["type"] for _, event in frames(got.text)]
    assert types == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    assert frames(got.text)[1][1]["messages"] == [HELLO]
    assert posted.content == got.content


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("last_seen", "status", "ids"),
    [("1-3.2", 200, ["1-3.1", "1-3"]), ("1-3.1", 200, ["1-3"]), ("1-2", 200, ["1-3"]), ("1-3", 204, [])],
)
async def test_a_connect_stream_that_was_cut_off_goes_on(
    last_seen: str, status: int, ids: list[str], ada: httpx.AsyncClient
) -> None:
    headers = {"Last-Event-ID": last_seen}

    for response in (
        await ada.get(f"{BASE}/events?threadId=t-1&connect=true", headers=headers),
        await ada.get(f"{BASE}/events?threadId=t-1&connect=true&cursor={last_seen}"),
        await ada.post(f"{BASE}/events", json=CONNECT, headers=headers),
    ):
        assert response.status_code == status
        assert [id_ for id_, _ in frames(response.text)] == ids


@pytest.mark.parametrize("version", ["1.0", None])
async def test_who_connects_with_post_is_told_in_the_vocabulary_it_names(
    version: str | None, ada: httpx.AsyncClient
) -> None:
    await ada.post(f"{BASE}/runs", json=RUN | {"protocolVersion": "1.0"})
    await ada.post(f"{BASE}/runs/r-1/cancel", json={"threadId": "t-1"})

    response = await ada.post(f"{BASE}/events", json=CONNECT | {"protocolVersion": version})

    last = frames(response.text)[-1][1]
    assert last["type"] == ("RUN_FINISHED" if version else "RUN_ERROR")


@pytest.mark.usefixtures("finished")
async def test_a_foreign_thread_looks_like_one_that_nobody_has_begun(eve: httpx.AsyncClient) -> None:
    foreign, absent = [
        await eve.post(f"{BASE}/events", json=CONNECT | {"threadId": thread}) for thread in ("t-1", "t-9")
    ]

    assert foreign.text.replace("t-1", "t-9") == absent.text
    assert [event["type"] for _, event in frames(absent.text)] == [
        "RUN_STARTED",
        "MESSAGES_SNAPSHOT",
        "RUN_FINISHED",
    ]
    assert frames(absent.text)[0][1]["runId"] == "mine"
    problem(
        await eve.post(f"{BASE}/events", json=CONNECT, headers={"Last-Event-ID": "1-3"}), 404, "not-found"
    )


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("threadId=t-1&connect=true&cursor=1-3.0", 400, "bad-cursor"),
        ("threadId=t-1&connect=true&cursor=x", 400, "bad-cursor"),
        ("threadId=t-1&cursor=1-3.1", 400, "bad-cursor"),
        ("threadId=t-1&connect=true&cursor=1-4", 400, "cursor-ahead"),
        ("threadId=t-1&connect=true&cursor=2-1.1", 400, "cursor-ahead"),
        ("threadId=t-1&connect=perhaps", 422, "invalid-request"),
        ("threadId=t-1&connect=true&limit=0", 422, "invalid-request"),
        ("threadId=t-1&connect=true&limit=201", 422, "invalid-request"),
        ("connect=true", 422, "invalid-request"),
    ],
)
async def test_a_bad_connect_is_refused(query: str, status: int, code: str, ada: httpx.AsyncClient) -> None:
    problem(await ada.get(f"{BASE}/events?{query}"), status, code)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [({"threadId": None}, "/threadId"), ({"threadId": "a b"}, "/threadId"), ({"runId": 1}, "/runId")],
)
async def test_a_bad_connect_body_is_refused_with_its_place(
    members: dict[str, Any], pointer: str, ada: httpx.AsyncClient
) -> None:
    body = problem(await ada.post(f"{BASE}/events", json=CONNECT | members), 422, "invalid-request")

    assert [entry["pointer"] for entry in body["errors"]] == [pointer]


async def test_expired_events_lead_to_the_history(
    ada: httpx.AsyncClient, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow(*_: Any, **__: Any) -> None:
        raise errors.CursorExpired("Gone.", historyUrl="/api/v1/agent/history?threadId=t-1")

    monkeypatch.setattr(runs, "follow", follow)

    body = problem(await ada.get(f"{BASE}/events?threadId=t-1&cursor=1-1"), 410, "events-expired")
    assert body["historyUrl"] == "/api/v1/agent/history?threadId=t-1"


async def test_draining_ends_an_open_stream_in_order(
    ada: httpx.AsyncClient, runs: MemoryRuns, app: FastAPI
) -> None:
    async def drain() -> None:
        await runs.opened.wait()
        app.state.container.drain.set()

    await ada.post(f"{BASE}/runs", json=RUN)
    async with asyncio.timeout(HUNG_SECONDS):
        response, _ = await asyncio.gather(ada.get(f"{BASE}/events?threadId=t-1"), drain())

    assert response.status_code == 200
    assert runs.open_streams == 0


# --- GET /history, GET /runs/{runId}, POST cancel, GET /capabilities ---


async def test_history_is_one_snapshot(ada: httpx.AsyncClient) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)

    body = (await ada.get(f"{BASE}/history?threadId=t-1")).json()

    assert body["messages"] == [HELLO]
    assert body["activeRun"]["runId"] == "r-1"
    assert (body["cursor"], body["hasMore"], body["pendingInterrupts"]) == ("1-0", False, [])


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "before=a%20b"])
async def test_a_bad_page_is_refused(query: str, ada: httpx.AsyncClient) -> None:
    body = problem(await ada.get(f"{BASE}/history?threadId=t-1&{query}"), 422, "invalid-request")

    assert [entry["pointer"] for entry in body["errors"]] == ["/query/" + query.split("=", maxsplit=1)[0]]


async def test_one_run_tells_its_status(ada: httpx.AsyncClient) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)

    body = (await ada.get(f"{BASE}/runs/r-1?threadId=t-1")).json()

    assert (body["runId"], body["threadId"], body["status"]) == ("r-1", "t-1", "queued")
    problem(await ada.get(f"{BASE}/runs/r-1"), 422, "invalid-request")
    problem(await ada.get(f"{BASE}/runs/a b?threadId=t-1"), 422, "invalid-request")


async def test_the_runs_of_a_thread_are_listed(ada: httpx.AsyncClient, eve: httpx.AsyncClient) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)
    url = f"{BASE}/threads/t-1/runs"

    body = (await ada.get(url)).json()

    assert body == {"runs": [(await ada.get(f"{BASE}/runs/r-1?threadId=t-1")).json()], "nextBefore": None}
    problem(await eve.get(url), 404, "not-found")
    for query in ("limit=0", "limit=101", "before=x"):
        refused = problem(await ada.get(f"{url}?{query}"), 422, "invalid-request")
        assert [entry["pointer"] for entry in refused["errors"]] == ["/query/" + query.split("=")[0]]


async def test_cancel_is_accepted_and_repeatable(
    ada: httpx.AsyncClient, runs: MemoryRuns, ada_principal: Principal
) -> None:
    await ada.post(f"{BASE}/runs", json=RUN)
    url, body = f"{BASE}/runs/r-1/cancel", {"threadId": "t-1"}

    for _ in range(2):
        response = await ada.post(url, json=body)
        assert response.status_code == 202
        assert response.json() == {"threadId": "t-1", "runId": "r-1", "status": "cancelled"}

    await ada.post(f"{BASE}/runs", json=RUN | {"runId": "r-2", "messages": [HELLO | {"id": "m-2"}]})
    runs.end(ada_principal, "t-1")
    problem(await ada.post(f"{BASE}/runs/r-2/cancel", json=body), 409, "run-finished")
    problem(await ada.post(url, json={}), 422, "invalid-request")
    problem(await ada.post(url), 415, "unsupported-media-type")


async def test_capabilities_have_the_protocols_shape(ada: httpx.AsyncClient) -> None:
    from ag_ui.core.capabilities import AgentCapabilities

    body = (await ada.get(f"{BASE}/capabilities")).json()

    parsed = AgentCapabilities.model_validate(body)
    assert parsed.model_dump(by_alias=True, exclude_none=True) == body
    assert not parsed.model_extra
    assert body["tools"]["items"][0]["name"] == "calculate"
    assert body["execution"] == {"codeExecution": False, "maxIterations": 10, "maxExecutionTime": 600_000}


# --- ownership ---

Call = Callable[[httpx.AsyncClient], Any]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get(f"{BASE}/events?threadId=t-1"),
        lambda client: client.get(f"{BASE}/events?threadId=t-1&runId=r-1&cursor=1-1"),
        lambda client: client.get(f"{BASE}/history?threadId=t-1"),
        lambda client: client.get(f"{BASE}/runs/r-1?threadId=t-1"),
        lambda client: client.post(f"{BASE}/runs/r-1/cancel", json={"threadId": "t-1"}),
    ],
    ids=["events", "run events", "history", "run", "cancel"],
)
async def test_foreign_is_byte_for_byte_absent(
    call: Call, ada: httpx.AsyncClient, eve: httpx.AsyncClient
) -> None:
    def comparable(response: httpx.Response) -> tuple[Any, ...]:
        request_id = response.headers["x-request-id"].encode()
        assert request_id in response.content
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"x-request-id", "ratelimit"}
        }
        return response.status_code, headers, response.content.replace(request_id, b"")

    absent = comparable(await call(eve))
    assert (await ada.post(f"{BASE}/runs", json=RUN)).status_code == 202
    foreign = comparable(await call(eve))

    assert absent == foreign
    assert absent[0] == 404


async def test_two_users_may_use_the_same_ids(ada: httpx.AsyncClient, eve: httpx.AsyncClient) -> None:
    assert (await ada.post(f"{BASE}/runs", json=RUN)).status_code == 202
    assert (await eve.post(f"{BASE}/runs", json=RUN)).status_code == 202


# --- authentication ---


def operations(app: FastAPI) -> set[tuple[str, str]]:
    return {
        (method, route.path or "")
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


async def test_every_route_but_the_public_ones_requires_a_caller(
    app: FastAPI, connect: Callable[[str | None], httpx.AsyncClient]
) -> None:
    nobody = connect(None)
    found = operations(app)

    assert found >= PUBLIC
    assert len(found - PUBLIC) >= 7
    for method, path in sorted(found - PUBLIC):
        response = await nobody.request(method, path.replace("{", "").replace("}", ""))
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer"), path


async def test_a_body_is_not_read_before_its_sender_is_known(
    connect: Callable[[str | None], httpx.AsyncClient],
) -> None:
    response = await connect(None).post(f"{BASE}/runs", content=b"{" * 100)

    problem(response, 401, "unauthenticated")


async def test_a_bad_token_says_which_check_failed(app: FastAPI) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.get(f"{BASE}/capabilities", headers=headers)

    assert problem(response, 401, "unauthenticated")["detail"] == "The token is malformed."
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_a_token_in_the_query_is_no_token(
    ada: httpx.AsyncClient, connect: Callable[[str | None], httpx.AsyncClient]
) -> None:
    token = ada.headers["authorization"].removeprefix("Bearer ")

    problem(await connect(None).get(f"{BASE}/capabilities?access_token={token}"), 401, "unauthenticated")


# --- the description ---


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(child) for child in node.values()))
    return set().union(*(references(child) for child in node)) if isinstance(node, list) else set()


async def test_the_description_is_whole(connect: Callable[[str | None], httpx.AsyncClient]) -> None:
    document = (await connect(None).get("/openapi.json")).json()

    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    start = document["paths"][f"{BASE}/runs"]["post"]
    assert {"200", "202", "400", "401", "404", "409", "413", "415", "422", "429", "503"} <= set(
        start["responses"]
    )
    assert "text/event-stream" in start["responses"]["200"]["content"]
    assert "application/problem+json" in start["responses"]["409"]["content"]
    assert start["security"]


async def test_the_examples_of_the_description_are_accepted(
    connect: Callable[[str | None], httpx.AsyncClient],
    ada: httpx.AsyncClient,
    runs: MemoryRuns,
    ada_principal: Principal,
) -> None:
    document = (await connect(None).get("/openapi.json")).json()

    for path in ("runs", "resume"):
        body = document["paths"][f"{BASE}/{path}"]["post"]["requestBody"]["content"]["application/json"]
        for number, (name, example) in enumerate(body["examples"].items()):
            RunCommand.model_validate(example["value"])
            fresh = example["value"] | {"threadId": f"{path}-{number}"}
            if path == "resume":
                await ada.post(
                    f"{BASE}/runs", json=RUN | {"threadId": fresh["threadId"], "runId": f"r-{number}"}
                )
                runs.work(
                    ada_principal, fresh["threadId"], a_question("int-1"), RunFinished(outcome="interrupt")
                )
            headers = {"Idempotency-Key": f"{path}-{number}"}
            response = await ada.post(f"{BASE}/{path}", json=fresh, headers=headers)
            assert response.status_code == 202, name
