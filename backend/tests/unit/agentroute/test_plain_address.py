"""Addresses with control characters."""

from __future__ import annotations

import time

import httpx
import jwt
import pytest
from tests.support.memory_container import memory_container

from agentroute.app import create_app
from core.config import IdentitySettings, Settings
from v1.agent.route_access import ACCESS, PUBLIC

SECRET = "a-secret-of-more-than-thirty-two-bytes"
CONTROL = ["%00", "%0A", "%0D", "%1B", "%7F", "%C2%85"]
# The page is on, so `/` is there; every other public route and every route that asks for a credential.
PATHS = sorted({path for _, path in (*ACCESS, *PUBLIC)} - {"/"})


@pytest.fixture
def client() -> httpx.AsyncClient:
    settings = Settings(identity=IdentitySettings.model_validate({"jwt_secret": SECRET}))
    app = create_app(settings, container=memory_container(settings))
    now = int(time.time())
    claims = {"sub": "op", "iat": now, "exp": now + 60, "scope": "run read admin"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://test",
        headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"},
    )


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_with_a_control_character_names_nothing(path: str, client: httpx.AsyncClient) -> None:
    async with client:
        absent = (await client.get("/absent")).json()
        for character in CONTROL:
            for place in (f"{path}{character}", path.replace("{", character).replace("}", "")):
                if character not in place:
                    continue
                for method in ("GET", "POST", "DELETE", "HEAD"):
                    answer = await client.request(method, place)
                    assert answer.status_code == 404, (method, place)
                    if method != "HEAD":
                        told = answer.json()
                        assert told | {"instance": "", "requestId": ""} == absent | {
                            "instance": "",
                            "requestId": "",
                        }


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("userId=%00", ["/query/userId"]),
        ("userId=a%00b&ended=true&before=%00", ["/query/userId", "/query/before"]),
        ("a%2Fb=%00", ["/query/a~1b"]),
        ("%00=1", ["/query"]),
        ("unknown=%00", ["/query/unknown"]),
        ("x=%2500&x=%00", ["/query/x"]),
    ],
)
async def test_a_parameter_with_nul_is_refused_by_its_name(
    query: str, pointers: list[str], client: httpx.AsyncClient
) -> None:
    async with client:
        told = await client.get(f"/api/v1/agent/threads?{query}")

    assert (told.status_code, told.json()["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in told.json()["errors"]] == pointers
    assert all("U+0000" in error["message"] for error in told.json()["errors"])


async def test_a_parameter_may_have_line_breaks_and_a_percent_sign(client: httpx.AsyncClient) -> None:
    async with client:
        assert (await client.get("/api/v1/agent/threads?q=a%0Ab%09c")).status_code == 200
        # The text "%00", which is no NUL.
        assert (await client.get("/api/v1/agent/threads?q=100%2500")).status_code == 200
