"""Who may kill processes and choose a model: only a page of this service in a browser of this machine."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, ServerSettings, Settings

PAGE = {"X-AgentRoute-Page": "1"}
PATH = "/api/v1/embedded/processes"
_ORIGIN = "https://app.example"


async def ask(
    headers: Mapping[str, str],
    *,
    peer: str = "127.0.0.1",
    base_url: str = "http://127.0.0.1:8000",
    embedded: bool = True,
    method: str = "GET",
) -> httpx.Response:
    settings = Settings(
        identity=IdentitySettings(mode="local"),
        server=ServerSettings(cors_origins=(_ORIGIN,)),
    )
    app = create_app(settings, container=memory_container(settings), supervisor=0 if embedded else None)
    transport = httpx.ASGITransport(app, client=(peer, 5))
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        return await client.request(method, PATH, headers=dict(headers))


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
@pytest.mark.parametrize("own_origin", [True, False])
async def test_a_page_of_this_machine_may_ask(host: str, own_origin: bool) -> None:
    headers = {**PAGE, "Sec-Fetch-Site": "same-origin"} | ({"Origin": f"http://{host}"} if own_origin else {})
    answer = await ask(
        headers, base_url=f"http://{host}", peer="::1" if host.startswith("[") else "127.0.0.1"
    )

    # It has passed the guard: the line of this test is not open.
    assert (answer.status_code, answer.json()["code"]) == (503, "supervisor-unavailable")


@pytest.mark.parametrize(
    ("headers", "how"),
    [
        pytest.param({}, {}, id="no header"),
        pytest.param({"X-AgentRoute-Page": "0"}, {}, id="another header"),
        pytest.param(PAGE | {"Host": "evil.example:8000"}, {}, id="DNS rebinding"),
        pytest.param(PAGE | {"Host": "app.example"}, {}, id="a host that may use the API"),
        pytest.param(PAGE | {"Host": "127.0.0.1.evil.example"}, {}, id="a host that looks like loopback"),
        pytest.param(PAGE | {"Origin": "https://evil.example"}, {}, id="a foreign page"),
        pytest.param(PAGE | {"Origin": _ORIGIN}, {}, id="a page that may use the API"),
        pytest.param(PAGE | {"Origin": "http://127.0.0.1:3000"}, {}, id="another server of this machine"),
        pytest.param(PAGE | {"Origin": "http://localhost:8000"}, {}, id="another name of this machine"),
        pytest.param(PAGE | {"Origin": "https://127.0.0.1:8000"}, {}, id="another scheme"),
        pytest.param(PAGE | {"Origin": "null"}, {}, id="a sandboxed frame"),
        pytest.param(PAGE | {"Sec-Fetch-Site": "cross-site"}, {}, id="cross-site"),
        pytest.param(PAGE | {"Sec-Fetch-Site": "same-site"}, {}, id="same-site"),
        pytest.param(PAGE | {"X-Forwarded-For": "127.0.0.1"}, {}, id="a proxy"),
        pytest.param(PAGE | {"Forwarded": "for=127.0.0.1"}, {}, id="a proxy by the standard"),
        pytest.param(PAGE | {"Via": "1.1 proxy"}, {}, id="a proxy that names itself"),
        pytest.param(PAGE, {"peer": "192.0.2.7"}, id="another machine"),
        pytest.param(PAGE, {"peer": "::ffff:192.0.2.7"}, id="another machine by IPv6"),
        pytest.param(PAGE, {"embedded": False}, id="not embedded"),
        pytest.param(PAGE, {"embedded": False, "method": "POST"}, id="not embedded, another method"),
    ],
)
async def test_for_anybody_else_the_routes_are_absent(
    headers: dict[str, str], how: dict[str, object]
) -> None:
    answer = await ask(headers, **how)  # pyright: ignore[reportArgumentType]  a table

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_a_page_of_another_origin_cannot_send_the_header_unasked() -> None:
    """Its browser asks first. A page of this machine may then send it, and its origin gives it away."""
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-agentroute-page"}
    answer = await ask(asked | {"Origin": "https://evil.example"}, method="OPTIONS")

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_no_document_has_the_routes() -> None:
    settings = Settings(identity=IdentitySettings(mode="local"))
    app = create_app(settings, container=memory_container(settings), supervisor=0)

    assert not [path for path in app.openapi()["paths"] if "embedded" in path]


async def test_with_tokens_a_token_is_needed_as_well() -> None:
    settings = Settings(identity=IdentitySettings.model_validate({"mode": "jwt", "jwt_secret": "s" * 32}))
    app = create_app(settings, container=memory_container(settings), supervisor=0)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        assert (await client.get(PATH, headers=PAGE)).status_code == 401
