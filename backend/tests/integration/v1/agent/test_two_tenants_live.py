"""Two tenants that try each other's ids, on every route that takes one: they read nothing and change nothing.

``HAMMER_SECONDS=60`` goes on for that long, and prints how many requests it sent; a few rounds by default.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import jwt
import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.named_requests import (
    ABSENT,
    CREATES,
    LISTS,
    TRIED_ALONE,
    WITHOUT_IDS,
    Ids,
    NamedRequest,
    comparable,
    named_requests,
)
from tests.support.stack import BASE, SECRET, OpenStack, Stack

from v1.agent.route_access import ACCESS

SECONDS = float(os.environ.get("HAMMER_SECONDS", "0"))
ROUNDS = 3
AT_ONCE = 8
UNLIMITED = {"user_requests_per_minute": 0, "user_runs_per_minute": 0}
NAME_OF_A_RUN = {
    ("POST", f"{BASE}/events"),
    ("POST", f"{BASE}/agents/{{agentId}}/events"),
}
"""Here a run id only names a stream, and asks for nothing."""


@dataclass
class Tenant:
    """One user of a tenant, and what the user has."""

    name: str
    canary: str
    client: httpx.AsyncClient
    other: httpx.AsyncClient
    """Another user of the tenant, who has nothing."""
    ids: Ids

    async def everything(self) -> list[Any]:
        """Return all that the user has, to compare it later."""
        ids = self.ids
        paths = (
            f"/history?threadId={ids.thread}",
            f"/threads/{ids.thread}",
            f"/threads/{ids.thread}/runs",
            f"/runs/{ids.run}?threadId={ids.thread}",
            "/files",
            "/keys?ended=true",
            f"/schedules/{ids.schedule}",
        )
        found: list[Any] = [(await self.client.get(f"{BASE}{path}")).json() for path in paths]
        return [*found, (await self.client.get(f"{BASE}/files/{ids.file}")).content]


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    files = {"url": tmp_path_factory.mktemp("files").as_uri()}
    async with open_stack(rates=UNLIMITED, files=files) as opened:
        yield opened


@pytest.fixture
async def tenants(stack: Stack) -> AsyncIterator[tuple[Tenant, Tenant]]:
    async with AsyncExitStack() as clients:
        north, south = [await a_tenant(stack, name, clients) for name in ("north", "south")]
        yield north, south


def client_of(stack: Stack, tenant: str, user: str) -> httpx.AsyncClient:
    now = int(time.time())
    claims = {"sub": user, "tenant": tenant, "iat": now, "exp": now + 3600, "scope": "run read admin"}
    return httpx.AsyncClient(
        base_url=stack.apis[0].url,
        headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"},
        timeout=HUNG_SECONDS,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    )


async def a_tenant(stack: Stack, name: str, clients: AsyncExitStack) -> Tenant:
    """Make a user with a conversation that waits for an answer, a file, and a key."""
    canary, user = f"canary-{name}-{time.time_ns()}", f"user-of-{name}"
    client, other = [
        await clients.enter_async_context(client_of(stack, name, each)) for each in (user, "nobody")
    ]
    thread, run = f"thread-{canary}", f"run-{canary}"
    sent = await client.post(
        f"{BASE}/files", files={"file": (f"{canary}.txt", canary.encode(), "text/plain")}
    )
    file = sent.json()["fileId"]
    body = stack.run_body(thread=thread, run=run)
    content = [
        {"type": "text", "text": f"fetch http://{canary}.example/"},
        {"type": "document", "source": {"type": "file", "value": file}},
    ]
    body["messages"] = [{"id": f"message-{canary}", "role": "user", "content": content}]
    assert (await client.post(f"{BASE}/runs", json=body)).status_code == 202
    await stack.ended(thread)
    history = (await client.get(f"{BASE}/history", params={"threadId": thread})).json()
    key = await client.post(f"{BASE}/keys", json={"userId": user, "name": canary})
    every = {"type": "interval", "everySeconds": 86_400}
    schedule = {"scheduleId": f"schedule-{canary}", "trigger": every, "message": canary}
    assert (await client.post(f"{BASE}/schedules", json=schedule)).status_code == 201
    asked = {"userId": user, "threadId": thread, "status": "interrupted"}
    listed = await client.get("/api/v1/admin/runs", params=asked)
    ids = Ids(
        thread,
        run,
        f"message-{canary}",
        history["pendingInterrupts"][0]["id"],
        file,
        key.json()["keyId"],
        user,
        str(listed.json()["runs"][0]["id"]),
        f"schedule-{canary}",
    )
    return Tenant(name, canary, client, other, ids)


def attacks(attacker: Tenant, victim: Tenant) -> list[tuple[NamedRequest, NamedRequest, Ids]]:
    """Return requests with absent ids beside the same ones with ids of the victim, and which ids these name."""
    whole = [
        (absent, named, victim.ids)
        for absent, named in zip(named_requests(ABSENT), named_requests(victim.ids), strict=True)
    ]
    # The attacker's own thread, with a run, a message or an interrupt of the victim.
    mixed = replace(victim.ids, thread=attacker.ids.thread)
    parts = [
        (absent, named, mixed)
        for absent, named in zip(
            named_requests(replace(ABSENT, thread=attacker.ids.thread)), named_requests(mixed), strict=True
        )
        if (absent.url, absent.options) != (named.url, named.options) and absent.route not in NAME_OF_A_RUN
    ]
    return whole + parts


def test_every_route_that_takes_an_id_is_asked_for_a_foreign_one() -> None:
    named = {request.route for request in named_requests(ABSENT)}
    assert named | WITHOUT_IDS | TRIED_ALONE == ACCESS.keys()
    assert not named & (WITHOUT_IDS | TRIED_ALONE)


async def test_two_tenants_that_hammer_each_others_ids_read_nothing_and_change_nothing(
    tenants: tuple[Tenant, Tenant],
) -> None:
    before = [await tenant.everything() for tenant in tenants]
    assert all(tenant.canary in str(found) for tenant, found in zip(tenants, before, strict=True))
    answers: Counter[int] = Counter()
    until = time.monotonic() + SECONDS

    def rounds() -> Iterator[int]:
        return itertools.takewhile(
            lambda number: number < ROUNDS or time.monotonic() < until, itertools.count()
        )

    async def hammer(attacker: Tenant, victim: Tenant) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(absent: NamedRequest, named: NamedRequest, ids: Ids) -> None:
            async with places:
                # Who makes a thread of this id has one afterwards: another user, so that it stays absent for this one.
                client = attacker.other if named.route in CREATES else attacker.client
                found = await named.send(client)
                answers[found.status_code] += 1
                shown = found.text if named.route not in LISTS | CREATES else ""
                for asked in (ids.thread, ids.run, ids.message, ids.schedule):
                    shown = shown.replace(asked, "")
                assert victim.canary not in shown, named
                if named.route in CREATES:
                    # Both routes make a run in the same new thread: the other run may not have ended.
                    assert found.status_code == 202 or found.json()["code"] == "run-active", found.text
                    return
                if named.route in LISTS:
                    assert victim.canary not in found.text, named
                expected = await absent.send(client)
                answers[expected.status_code] += 1
                absent_ids = replace(ABSENT, thread=ids.thread) if ids is not victim.ids else ABSENT
                assert comparable(found, ids) == comparable(expected, absent_ids), named

        pairs = attacks(attacker, victim)
        for _ in rounds():
            await asyncio.gather(*(one(*pair) for pair in pairs))

    north, south = tenants
    await asyncio.gather(hammer(north, south), hammer(south, north))

    assert [await tenant.everything() for tenant in tenants] == before
    assert max(answers) < 500, answers
    if SECONDS:
        print(f"{sum(answers.values())} requests in {SECONDS:g} s: {dict(sorted(answers.items()))}")


# --- NUL -----------------------------------------------------------------------------------------


def parameters(document: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the method, the path, the place and the name of each parameter in the path or the query."""
    return [
        (method.upper(), path, parameter["in"], parameter["name"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for parameter in operation.get("parameters", ())
        if parameter["in"] in ("path", "query")
    ]


@pytest.mark.parametrize(
    "value", ["%00", "a%00b", "%EF%BF%BE%00", "%ED%A0%80", "%FF", "%0A", "'", "%25", "\\0"]
)
async def test_no_value_of_a_parameter_ends_in_a_500(
    stack: Stack, tenants: tuple[Tenant, Tenant], value: str
) -> None:
    """As an operator, so that every route is reached, on the real stores."""
    client, ids = tenants[0].client, ABSENT
    known = {
        "threadId": ids.thread,
        "runId": ids.run,
        "fileId": ids.file,
        "keyId": ids.key,
        "agentId": "default",
        "loginId": "x",
        "server": "x",
        "code": "x",
    }
    asked = 0
    for method, path, place, name in parameters(stack.apis[0].app.openapi()):
        in_path = {**known, name: value} if place == "path" else known
        url = path
        for each, filled in in_path.items():
            url = url.replace(f"{{{each}}}", filled)
        query = f"threadId={ids.thread}" if name != "threadId" else ""
        if place == "query":
            query = f"{query}&{name}={value}".lstrip("&")
        answer = await client.request(method, f"{url}?{query}", json={} if method != "GET" else None)
        asked += 1
        assert answer.status_code < 500, (method, url, query, answer.text)
        if "%00" in value and name != "threadId":
            assert answer.status_code in {404, 422}, (method, url, query, answer.text)
    assert asked > 40


async def test_an_operator_erases_nobody_of_another_tenant(tenants: tuple[Tenant, Tenant]) -> None:
    north, south = tenants
    before = await south.everything()
    erased = await north.client.delete("/api/v1/admin/users", params={"userId": south.ids.user})
    assert erased.status_code == 200, erased.text
    assert south.canary not in erased.text
    assert await south.everything() == before
