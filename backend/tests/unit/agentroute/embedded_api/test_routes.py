"""The routes of the embedded mode, over a real line to a supervisor that the test plays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.limits import HUNG_SECONDS
from tests.support.memory_container import memory_container
from tests.support.scripted_endpoint import Request, ScriptedEndpoint, T, calls, document, refusal, stream

from agentroute import preflight
from agentroute.app import create_app
from agentroute.embedded_api.supervisor_client import SupervisorClient
from core import log
from core.agentscope.runtime.model.request_form import STRUCTURED
from core.config import IdentitySettings, ModelSettings, Settings
from core.embedded_errors import SupervisorUnavailable
from core.redaction import MASK

KEY = "sk-0123456789abcdefghij"
OK = stream(calls(STRUCTURED, '{"ok": true}'), T)
LIST = document({"data": [{"id": "large"}, {"id": "small"}]})
RUNNING = [{"name": name, "pid": 10 + place} for place, name in enumerate(("worker", "api", "redis"))]
Answer = dict[str, Any]


class Supervisor:
    """The other end of the line."""

    def __init__(self) -> None:
        self.used: Answer = {
            "source": "demo",
            "base_url": "http://127.0.0.1:1/v1",
            "name": "demo",
            "api_key": "",
            "variables": [],
        }
        self.refuses = ""
        self.heard: list[Answer] = []
        self.heard_kill = asyncio.Event()

    def answer(self, question: Answer) -> Answer | None:
        self.heard.append(question)
        match question["ask"]:
            case "model":
                return self.used
            case "use":
                if not self.refuses:
                    choice = question["choice"]
                    self.used = self.used | {"source": "chosen" if choice else "demo"} | (choice or {})
                return {"refused": self.refuses}
            case "processes":
                return {"processes": RUNNING}
            case "kill" if "id" in question:
                return {"refused": self.refuses} if self.refuses else {"pid": 10, "killedAt": "now"}
            case "kill":
                self.heard_kill.set()
                return None
            case _:
                return None

    async def serve(self, end: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=end)
        try:
            while line := await reader.readline():
                question = json.loads(line)
                if (answer := self.answer(question)) is not None:
                    writer.write(json.dumps({"id": question["id"], **answer}).encode() + b"\n")
        finally:
            writer.close()

    def asked(self, what: str) -> list[Answer]:
        return [question for question in self.heard if question["ask"] == what]


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
        async with httpx.AsyncClient(
            transport=transport,
            base_url="http://127.0.0.1:8000/api/v1/embedded",
            headers={"X-AgentRoute-Page": "1"},
        ) as client:
            yield client


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
async def client(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(preflight, "_LOCAL_MODELS", {})
    ours, theirs = socket.socketpair()
    settings = Settings(identity=IdentitySettings(mode="local"), model=ModelSettings(max_retries=0))
    app = create_app(settings, container=memory_container(settings), supervisor=theirs.detach())
    serving = asyncio.create_task(supervisor.serve(ours))
    async with running(app) as client:
        yield client
    # The line ends with the API.
    await serving
    assert supervisor.heard[0] == {"ask": "ready"}


def endpoint() -> ScriptedEndpoint:
    def is_list(request: Request) -> bool:
        return not request.body

    return ScriptedEndpoint(otherwise=OK).when(is_list, LIST)


async def test_what_is_used_and_what_was_found_is_shown_without_the_key(
    client: httpx.AsyncClient, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/model")).json() == {
        "source": "demo",
        "baseUrl": None,
        "name": "demo",
        "hasKey": False,
        "variables": [],
        "found": [],
    }
    supervisor.used |= {"source": "chosen", "api_key": KEY}
    async with endpoint().serving() as base_url:
        monkeypatch.setattr(preflight, "_LOCAL_MODELS", {"Ollama": base_url})
        monkeypatch.setattr(preflight, "_LOCAL_TIMEOUT_SECONDS", HUNG_SECONDS)
        answer = await client.get("/model")
    assert answer.json()["found"] == [{"title": "Ollama", "baseUrl": base_url, "models": ["large", "small"]}]
    assert answer.json()["hasKey"] is True
    assert KEY not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_a_model_that_answers_is_used(client: httpx.AsyncClient, supervisor: Supervisor) -> None:
    async with endpoint().serving() as base_url:
        bare = base_url.removesuffix("/v1")
        listed = await client.post("/models", json={"baseUrl": base_url, "apiKey": KEY})
        answer = await client.put("/model", json={"baseUrl": f"{bare}/v1/", "apiKey": KEY, "name": " small "})

    assert listed.json() == {"baseUrl": base_url, "models": ["large", "small"]}
    assert answer.json() == {
        "source": "chosen",
        "baseUrl": base_url,
        "name": "small",
        "hasKey": True,
        "variables": [],
        "note": "",
    }
    (use,) = supervisor.asked("use")
    assert use["choice"] == {"base_url": base_url, "name": "small", "api_key": KEY}


async def test_a_pasted_key_is_never_logged_whether_it_is_used_or_not(client: httpx.AsyncClient) -> None:
    pasted = "pasted-0123456789abcdef"
    answer = await client.post("/models", json={"baseUrl": "http://127.0.0.1:1/v1", "apiKey": pasted})

    assert answer.json()["reason"] == "unreachable"
    assert log._redactor.text(f"the key {pasted} is wrong") == f"the key {MASK} is wrong"


@pytest.mark.parametrize(
    ("address", "sent", "key"),
    [("", {}, KEY), ("", {"apiKey": ""}, ""), ("", {"apiKey": "sk-new"}, "sk-new"), ("/other", {}, "")],
)
async def test_the_kept_key_is_used_again_at_its_own_address_only(
    client: httpx.AsyncClient, supervisor: Supervisor, address: str, sent: dict[str, str], key: str
) -> None:
    scripted = endpoint()
    async with scripted.serving() as base_url:
        supervisor.used |= {"source": "chosen", "base_url": base_url, "api_key": KEY}
        answer = await client.put("/model", json={"baseUrl": base_url + address, "name": "large", **sent})

    assert answer.status_code == 200
    assert supervisor.asked("use")[0]["choice"]["api_key"] == key
    assert {request.headers.get("authorization") for request in scripted.requests} == {
        f"Bearer {key}" if key else None
    }


async def test_the_demo_comes_back(client: httpx.AsyncClient, supervisor: Supervisor) -> None:
    assert (await client.delete("/model")).json()["source"] == "demo"
    assert supervisor.asked("use") == []
    supervisor.used |= {"source": "chosen", "api_key": KEY}
    answer = await client.delete("/model")

    assert (answer.json()["source"], answer.json()["baseUrl"]) == ("demo", None)
    assert supervisor.asked("use")[0]["choice"] is None


def _is_fixed(supervisor: Supervisor) -> None:
    supervisor.used |= {"source": "environment", "variables": ["AGENT_MODEL__BASE_URL", "AGENT_MODEL__NAME"]}


def _refuses(supervisor: Supervisor) -> None:
    supervisor.refuses = "the new worker did not start: no"


@pytest.mark.parametrize(
    ("method", "body", "happens", "status", "code", "words"),
    [
        (
            "PUT",
            {"name": "large"},
            _is_fixed,
            409,
            "model-fixed",
            "BASE_URL and AGENT_MODEL__NAME of the env",
        ),
        ("DELETE", None, _is_fixed, 409, "model-fixed", "Remove"),
        ("PUT", {"name": "large"}, _refuses, 409, "model-not-used", "did not start: no."),
        ("PUT", {"name": ""}, None, 422, "invalid-request", "/name"),
        ("PUT", {"name": "m", "baseUrl": ""}, None, 422, "invalid-request", "/baseUrl"),
        ("PUT", {"name": "m", "baseUrl": "ftp://host/v1"}, None, 422, "invalid-request", "/baseUrl"),
        ("PUT", {"name": "m", "baseUrl": "http://u:p@host/v1"}, None, 422, "invalid-request", "/baseUrl"),
        ("PUT", {"name": "m", "baseUrl": "http://host:114341/v1"}, None, 422, "invalid-request", "/baseUrl"),
        ("PUT", {"name": "m", "apiKey": "Bearer x"}, None, 422, "invalid-request", "/apiKey"),
    ],
)
async def test_what_cannot_be_chosen_is_refused_and_nothing_changes(
    client: httpx.AsyncClient,
    supervisor: Supervisor,
    method: str,
    body: dict[str, str] | None,
    happens: Callable[[Supervisor], None] | None,
    status: int,
    code: str,
    words: str,
) -> None:
    if happens is not None:
        happens(supervisor)
    before = dict(supervisor.used)
    async with endpoint().serving() as base_url:
        json_body = None if body is None else {"baseUrl": base_url, **body}
        answer = await client.request(method, "/model", json=json_body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["detail"]
    assert supervisor.used == before


async def test_a_refused_model_says_which_models_there_are(
    client: httpx.AsyncClient, supervisor: Supervisor
) -> None:
    scripted = endpoint().when(lambda request: bool(request.body), refusal(404, "no such model"))
    async with scripted.serving() as base_url:
        answer = await client.put("/model", json={"baseUrl": base_url, "name": "huge"})

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["reason"]) == (422, "model-refused", "model-unknown")
    assert problem["models"] == ["large", "small"]
    assert supervisor.asked("use") == []


@pytest.mark.parametrize(
    ("name", "refuses", "status", "code"),
    [
        ("worker", "", 202, None),
        ("redis", "", 202, None),
        ("worker", "Worker is just being started again.", 409, "process-unavailable"),
        ("postgres", "", 404, "not-found"),
    ],
)
async def test_a_process_is_killed_by_its_supervisor(
    client: httpx.AsyncClient, supervisor: Supervisor, name: str, refuses: str, status: int, code: str | None
) -> None:
    supervisor.refuses = refuses
    answer = await client.post(f"/processes/{name}/kill")

    assert (answer.status_code, answer.json().get("code")) == (status, code)
    if code is None:
        assert answer.json() == {"name": name, "pid": 10, "killedAt": "now"}
        assert supervisor.asked("kill")[0]["process"] == name


async def test_the_api_is_killed_after_its_answer(client: httpx.AsyncClient, supervisor: Supervisor) -> None:
    assert (await client.get("/processes")).json() == {"processes": RUNNING}
    answer = await client.post("/processes/api/kill")

    assert (answer.status_code, answer.json()["pid"]) == (202, 11)
    await supervisor.heard_kill.wait()
    assert supervisor.asked("kill") == [{"ask": "kill", "process": "api"}]


async def test_a_supervisor_that_does_not_answer_is_not_waited_for_without_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        async with SupervisorClient.connect(theirs.detach()) as client:
            with pytest.raises(SupervisorUnavailable):
                await client.ask("model", seconds=0.01)
