"""Who may do what: every route of the application against every bad credential, and against foreign ids."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns

from agentroute.app import create_app
from agentroute.embedded_api.routes import router as embedded
from agentroute.page.built_files import BuiltFiles
from core.api_keys.key_form import digest_of, new_key
from core.api_keys.keyring import Keyring
from core.api_keys.stored_key import StoredKey
from core.config import IdentitySettings, Settings
from core.errors import Forbidden
from core.identity import LOCAL, Authenticator, Principal
from core.scopes import ALL_SCOPES, ROLES
from v1.agent.route_access import ACCESS, ADMIN, PUBLIC, READ, RUN, check_access

BASE = "/api/v1/agent"
SECRET = "a-secret-of-more-than-thirty-two-bytes"
ISSUER, AUDIENCE = "https://id.example", "agentroute"
DOCUMENT = Path(__file__).parents[5] / "docs" / "access.md"
PAGE = {("GET", f"/{name}") for name in ("", *BuiltFiles().names())}


def routes(*places: Any) -> set[tuple[str, str]]:
    return {
        (method, route.path or "")
        for place in places
        for route in iter_route_contexts(place.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_the_table_has_every_route_and_no_other(app: FastAPI) -> None:
    found = routes(app, embedded)

    assert found - PAGE == ACCESS.keys() | PUBLIC.keys()
    assert not ACCESS.keys() & PUBLIC.keys()


def test_a_route_that_the_table_lacks_is_open_to_nobody() -> None:
    with pytest.raises(Forbidden):
        check_access(LOCAL, "GET", "/api/v1/agent/forgotten")


@pytest.mark.parametrize(
    ("scopes", "permitted"),
    [
        ({"run"}, {RUN}),
        ({"read"}, {READ}),
        ({"run", "read"}, {RUN, READ}),
        ({"admin"}, {ADMIN}),
        ({"agent:sales"}, set[Any]()),
        (set[str](), set[Any]()),
    ],
    ids=["run", "read", "both", "admin", "agent", "none"],
)
def test_no_scope_implies_another(
    scopes: set[str], permitted: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {("GET", access.scope): access for access in (RUN, READ, ADMIN)}
    monkeypatch.setattr("v1.agent.route_access.ACCESS", rows)
    principal = Principal("t", "ada", scopes=frozenset(scopes))

    for (method, path), access in rows.items():
        if access in permitted:
            check_access(principal, method, path)
        else:
            with pytest.raises(Forbidden) as caught:
                check_access(principal, method, path)
            assert caught.value.members == {"scope": access.scope}
            assert f"'{access.scope}'" in caught.value.detail


# --- the document ---


def test_the_document_shows_the_table() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()

    expected = [
        f"| `{method} {path}` | `{access.scope}` | {' | '.join('yes' if role in access.roles else '–' for role in ROLES)} | {access.by_agent} |"  # noqa: RUF001  the page's sign for no
        for (method, path), access in ACCESS.items()
    ] + [f"| `{method} {path}` | {why} |" for (method, path), why in PUBLIC.items()]
    assert [line for line in lines if line.startswith("| `")] == expected, "\n".join(expected)


def test_the_description_of_the_routes_names_the_scopes(app: FastAPI) -> None:
    paths = app.openapi()["paths"]

    for (method, path), access in ACCESS.items():
        if path in paths:
            operation = paths[path][method.lower()]
            tickets = [{"StreamTicket": ["read"]}] if (method, path) == ("GET", f"{BASE}/events") else []
            assert operation["security"] == [{"HTTPBearer": [access.scope]}, *tickets], path
            assert {"401", "403", "503"} <= operation["responses"].keys(), path
    scheme = app.openapi()["components"]["securitySchemes"]["StreamTicket"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "query", "ticket")
    for method, path in PUBLIC:
        assert "security" not in paths.get(path, {}).get(method.lower(), {}), path


# --- bad credentials ---


def signed(secret: str = SECRET, **changes: Any) -> str:
    now = int(time.time())
    good = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    return jwt.encode(good | changes, secret, algorithm="HS256")


def unsigned() -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    return f"{head}.{signed().split('.')[1]}."


KEYS = {key_id: new_key(key_id) for key_id in ("revoked12345", "expired12345")}


async def ended_keys(key_ids: Sequence[str]) -> dict[str, StoredKey]:
    """Return keys that permitted everything, until they ended a minute ago."""
    ended = datetime.now(UTC) - timedelta(minutes=1)
    return {
        key_id: StoredKey(
            key_id=key_id,
            tenant_id="default",
            user_id="ada",
            scopes=ALL_SCOPES,
            version=1,
            digest=digest_of(KEYS[key_id]),
            previous_digest=None,
            previous_until=None,
            expires_at=ended if key_id.startswith("expired") else None,
            revoked_at=ended if key_id.startswith("revoked") else None,
        )
        for key_id in key_ids
        if key_id in KEYS
    }


CREDENTIALS: dict[str, Callable[[], dict[str, str]]] = {
    "none": dict,
    "malformed": lambda: {"Authorization": "Bearer x.y.z"},
    "wrong signature": lambda: {
        "Authorization": f"Bearer {signed('another-secret-of-thirty-two-bytes-and-more')}"
    },
    "expired": lambda: {"Authorization": f"Bearer {signed(iat=1000, exp=1060)}"},
    "wrong issuer": lambda: {"Authorization": f"Bearer {signed(iss='https://evil.example')}"},
    "wrong audience": lambda: {"Authorization": f"Bearer {signed(aud='another')}"},
    "alg none": lambda: {"Authorization": f"Bearer {unsigned()}"},
    "malformed key": lambda: {"Authorization": "Bearer ar_0123456789abcdef0123456789abcdef0123456789abcdef"},
    "unknown key": lambda: {"Authorization": f"Bearer {new_key('absent123456')}"},
    "another secret of a key": lambda: {"Authorization": f"Bearer {new_key('revoked12345')}"},
    "revoked key": lambda: {"Authorization": f"Bearer {KEYS['revoked12345']}"},
    "expired key": lambda: {"Authorization": f"Bearer {KEYS['expired12345']}"},
    "ticket": lambda: {"Authorization": f"Bearer art_{'a' * 43}"},
}


@pytest.fixture
def guarded() -> FastAPI:
    identity = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    settings = Settings(identity=IdentitySettings.model_validate(identity))
    known = Authenticator(settings.identity, server=settings.server, keys=Keyring(ended_keys))
    return create_app(settings, container=memory_container(settings, authenticator=known))


def client_of(app: FastAPI, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)


def filled(path: str) -> str:
    """Return the path of a route with ids in the place of its parameters."""
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_no_route_answers_a_bad_credential(kind: str, guarded: FastAPI) -> None:
    async with client_of(guarded, CREDENTIALS[kind]()) as client:
        for method, path in sorted(routes(guarded) - PUBLIC.keys() - PAGE):
            response = await client.request(method, filled(path))
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), path
            assert response.headers["www-authenticate"].startswith("Bearer"), path


@pytest.mark.parametrize("scope", ["run", "read", "admin", "agent:sales"])
async def test_no_route_answers_a_credential_without_its_scope(scope: str, guarded: FastAPI) -> None:
    async with client_of(guarded, {"Authorization": f"Bearer {signed(scope=scope)}"}) as client:
        for method, path in sorted(routes(guarded) - PUBLIC.keys() - PAGE):
            wanted = ACCESS[method, path].scope
            if wanted == scope:
                continue
            response = await client.request(method, filled(path))
            assert (response.status_code, response.json()["code"]) == (403, "forbidden"), path
            assert response.json()["scope"] == wanted, path
            assert f"'{wanted}'" in response.json()["detail"], path


# --- foreign ids ---

HELLO = {"id": "m-1", "role": "user", "content": "hello"}
NAMED: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{BASE}/resume"): {
        "json": {"threadId": "t-1", "resume": [{"interruptId": "i-1", "status": "resolved"}]}
    },
    ("GET", f"{BASE}/events"): {"params": {"threadId": "t-1"}},
    ("POST", f"{BASE}/events"): {
        "json": {"threadId": "t-1", "runId": "mine", "messages": [], "tools": [], "context": []}
    },
    ("GET", f"{BASE}/history"): {"params": {"threadId": "t-1"}},
    ("GET", f"{BASE}/runs/{{runId}}"): {"params": {"threadId": "t-1"}},
    ("GET", f"{BASE}/runs/{{runId}}/why"): {"params": {"threadId": "t-1"}},
    ("POST", f"{BASE}/runs/{{runId}}/cancel"): {"json": {"threadId": "t-1"}},
    ("POST", f"{BASE}/agents/{{agentId}}/resume"): {
        "json": {"threadId": "t-1", "resume": [{"interruptId": "i-1", "status": "resolved"}]}
    },
    ("POST", f"{BASE}/agents/{{agentId}}/events"): {
        "json": {"threadId": "t-1", "runId": "mine", "messages": [], "tools": [], "context": []}
    },
    ("GET", f"{BASE}/threads/{{threadId}}"): {},
    ("GET", f"{BASE}/threads/{{threadId}}/runs"): {},
    ("PATCH", f"{BASE}/threads/{{threadId}}"): {"json": {"title": "Mine"}},
    ("DELETE", f"{BASE}/threads/{{threadId}}"): {},
    ("GET", f"{BASE}/threads"): {},
}
"""Requests that name a thread, a run or an interrupt, or list them."""
IDS = {"{threadId}": "t-1", "{runId}": "r-1", "{agentId}": "default"}


def test_every_route_that_names_a_thread_is_asked_for_a_foreign_one() -> None:
    named = {place for place in ACCESS if any(mark in place[1] for mark in ("{threadId}", "{runId}"))}

    assert named <= NAMED.keys() <= ACCESS.keys()


@pytest.mark.parametrize(("method", "path"), NAMED, ids=str)
async def test_foreign_is_absent(
    method: str,
    path: str,
    runs: MemoryRuns,
    ada: httpx.AsyncClient,
    eve: httpx.AsyncClient,
    ada_principal: Principal,
) -> None:
    url = path
    for mark, value in IDS.items():
        url = url.replace(mark, value)

    async def answer() -> tuple[Any, ...]:
        response = await eve.request(method, url, **NAMED[method, path])
        request_id = response.headers["x-request-id"]
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"x-request-id", "ratelimit"}
        }
        return response.status_code, headers, response.text.replace(request_id, "")

    absent = await answer()
    assert (
        await ada.post(f"{BASE}/runs", json={"threadId": "t-1", "runId": "r-1", "messages": [HELLO]})
    ).status_code == 202
    runs.end(ada_principal, "t-1")

    assert await answer() == absent
    assert (await ada.get(f"{BASE}/history", params={"threadId": "t-1"})).status_code == 200
