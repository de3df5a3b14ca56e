"""Errors as a caller sees them."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
import sqlalchemy.exc
from fastapi import FastAPI, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from structlog.testing import capture_logs

from core import errors
from core.error_codes import catalogue
from core.problem import ErrorBoundary, install_problem_handlers

DOCS = Path(__file__).parents[4] / "docs" / "problems.md"
CANARY = "canary-3f9a"


class Strange(RuntimeError):
    pass


def raiser(error: BaseException) -> Any:
    async def route() -> Response:
        raise error

    return route


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_problem_handlers(app)
    app.add_middleware(ErrorBoundary)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def refusal(app: FastAPI, client: httpx.AsyncClient, error: BaseException) -> httpx.Response:
    app.add_api_route("/boom", raiser(error))
    return await client.get("/boom?secret=1")


def document(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


@pytest.mark.parametrize("kind", catalogue().values(), ids=lambda kind: kind.code)
async def test_every_error_renders_itself(
    kind: type[errors.AgentBackendError], app: FastAPI, client: httpx.AsyncClient
) -> None:
    response = await refusal(app, client, kind("What and why."))

    assert response.status_code == kind.status
    assert document(response) == {
        "type": f"/problems/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "What and why.",
        "instance": "/boom",
        "code": kind.code,
        "retryable": kind.retryable,
        "requestId": "",
    }
    # The contract promises the header on these.
    assert ("retry-after" in response.headers) == (
        kind.status in {429, 503} or kind.code in {"run-active", "erasure-under-way"}
    )


async def test_members_and_errors_are_added_and_cannot_replace_the_contract(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    error = errors.RunActive(
        "Busy.",
        retry_after_seconds=1.2,
        errors=[{"pointer": "/runId", "message": "taken"}],
        runId="run-1",
        code="mine",
    )

    response = await refusal(app, client, error)

    assert response.headers["retry-after"] == "2"
    body = document(response)
    assert (body["runId"], body["code"]) == ("run-1", "run-active")
    assert body["errors"] == [{"pointer": "/runId", "message": "taken"}]


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (errors.Unauthenticated(), 'Bearer realm="agentroute"'),
        (errors.InvalidToken(), 'Bearer realm="agentroute", error="invalid_token"'),
    ],
)
async def test_401_says_how_to_authenticate(
    app: FastAPI, client: httpx.AsyncClient, error: errors.Unauthenticated, challenge: str
) -> None:
    response = await refusal(app, client, error)

    assert response.headers["www-authenticate"] == challenge


async def test_an_unforeseen_exception_says_nothing_of_itself(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    with capture_logs() as lines:
        response = await refusal(app, client, Strange(CANARY))

    assert response.status_code == 500
    assert document(response)["code"] == "internal-error"
    assert CANARY not in response.text
    assert [line["event"] for line in lines] == ["request_failed"]


async def test_a_stray_validation_error_is_ours_not_the_callers(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    class Row(BaseModel):
        count: int

    async def route() -> None:
        Row.model_validate({"count": CANARY})

    app.add_api_route("/boom", route)
    response = await client.get("/boom")

    assert document(response)["code"] == "internal-error"
    assert CANARY not in response.text


async def test_unknown_paths_and_methods_are_problems(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.add_api_route("/here", raiser(Strange()), methods=["GET"])

    assert document(await client.get("/nowhere"))["code"] == "not-found"
    response = await client.post("/here")
    assert document(response)["code"] == "method-not-allowed"
    assert response.headers["allow"] == "GET, HEAD"


async def test_invalid_parameters_are_named_by_pointer(app: FastAPI, client: httpx.AsyncClient) -> None:
    async def route(limit: Annotated[int, Query(le=10)]) -> None: ...

    app.add_api_route("/here", route)
    response = await client.get(f"/here?limit={CANARY}")

    assert response.status_code == 422
    body = document(response)
    assert body["code"] == "invalid-request"
    assert [entry["pointer"] for entry in body["errors"]] == ["/query/limit"]
    assert CANARY not in response.text


def from_asyncpg(error: type[Exception]) -> Exception:
    """An error as SQLAlchemy raises it, with the driver's as its cause."""

    class Wrapped(Exception):
        sqlstate = getattr(error, "sqlstate", None)

    original = Wrapped(f"host {CANARY}")
    original.__cause__ = error(f"host {CANARY}")
    return sqlalchemy.exc.DBAPIError("SELECT 1", {}, original)


def refused_by_the_driver() -> OSError:
    """An OSError whose traceback passes through asyncpg, as a refused connection's does."""
    namespace: dict[str, Any] = {"__name__": "asyncpg.connect_utils"}
    exec("def connect():\n    raise ConnectionRefusedError(111, 'refused')", namespace)  # noqa: S102
    try:
        namespace["connect"]()
    except OSError as exc:
        return exc
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.DBAPIError("SELECT 1", {}, Exception("gone"), connection_invalidated=True),
        from_asyncpg(asyncpg.TooManyConnectionsError),
        from_asyncpg(asyncpg.AdminShutdownError),
        from_asyncpg(asyncpg.CannotConnectNowError),
        from_asyncpg(asyncpg.QueryCanceledError),
        from_asyncpg(asyncpg.LockNotAvailableError),
        from_asyncpg(asyncpg.DeadlockDetectedError),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.InterfaceError("connection is closed"),
        refused_by_the_driver(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_is_away_is_503_with_retry_after(
    app: FastAPI, client: httpx.AsyncClient, error: Exception
) -> None:
    response = await refusal(app, client, error)

    assert response.status_code == 503
    assert document(response)["code"] == "store-unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert CANARY not in response.text


async def test_a_pool_without_a_free_connection_is_overload_and_no_outage(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    response = await refusal(
        app, client, sqlalchemy.exc.TimeoutError("QueuePool limit of size 10 overflow 0 reached")
    )

    assert response.status_code == 503
    assert document(response)["code"] == "overloaded"
    assert 2 <= int(response.headers["retry-after"]) <= 8


@pytest.mark.parametrize(
    "error",
    [
        from_asyncpg(asyncpg.UniqueViolationError),
        from_asyncpg(asyncpg.UndefinedTableError),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        FileNotFoundError("prompt.md"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_fault_of_ours_is_not_blamed_on_the_database(
    app: FastAPI, client: httpx.AsyncClient, error: Exception
) -> None:
    assert document(await refusal(app, client, error))["code"] == "internal-error"


async def test_after_the_first_byte_an_answer_is_left_unfinished(app: FastAPI) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        raise Strange

    async def route() -> StreamingResponse:
        return StreamingResponse(chunks())

    app.add_api_route("/boom", route)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/boom",
        "raw_path": b"/boom",
        "query_string": b"",
        "headers": [],
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    await app(scope, receive, send)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"] is True


@pytest.mark.parametrize("kind", catalogue().values(), ids=lambda kind: kind.code)
def test_every_code_is_documented_as_it_is(kind: type[errors.AgentBackendError]) -> None:
    meaning = (inspect.getdoc(kind) or "").replace("``", "`")
    retry = ", retryable" if kind.retryable else ""
    section = f"## {kind.code}\n\n{kind.title}. Status {kind.status}{retry}.\n\n{meaning}\n"

    assert section in DOCS.read_text()


def test_the_documents_name_no_code_that_does_not_exist() -> None:
    assert sorted(re.findall(r"^## (\S+)$", DOCS.read_text(), re.MULTILINE)) == sorted(catalogue())


def test_the_example_in_the_documents_has_the_members_of_a_problem() -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)[0])
    kind = catalogue()[example["code"]]

    assert (example["title"], example["status"], example["type"]) == (
        kind.title,
        kind.status,
        f"/problems/{kind.code}",
    )


@pytest.mark.parametrize(
    ("error", "closes"), [(errors.UploadTimeout(), True), (errors.RateLimited(), False)], ids=["408", "429"]
)
async def test_a_connection_whose_body_came_too_slowly_is_closed(
    error: errors.AgentBackendError, closes: bool, app: FastAPI, client: httpx.AsyncClient
) -> None:
    response = await refusal(app, client, error)

    assert (response.headers.get("Connection") == "close") == closes


async def test_a_request_that_the_server_gives_up_is_told_to_come_again() -> None:
    began, sent = asyncio.Event(), list[Any]()

    async def endless(_scope: Any, _receive: Any, _send: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/runs", "headers": [], "query_string": b""}
    request = asyncio.create_task(ErrorBoundary(endless)(scope, receive, send))
    await began.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    start, body = sent
    assert start["status"] == 503
    assert b"retry-after" in dict(start["headers"])
    assert json.loads(body["body"])["code"] == "overloaded"
