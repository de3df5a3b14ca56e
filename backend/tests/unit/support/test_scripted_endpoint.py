"""The scripted endpoint says the same with and without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.support.scripted_endpoint import (
    RESET,
    D,
    S,
    ScriptedEndpoint,
    calls,
    has,
    has_message,
    refusal,
    said,
    stream,
)

BODY = {"messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def reach(endpoint: ScriptedEndpoint, how: str) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    if how == "memory":
        async with endpoint.client() as client:
            yield client, "http://model.test/v1"
        return
    async with endpoint.serving() as base_url, httpx.AsyncClient() as client:
        yield client, base_url


@pytest.mark.parametrize("how", ["memory", "socket"])
async def test_rules_come_first_then_the_script_then_the_rest(how: str) -> None:
    endpoint = ScriptedEndpoint(stream(said("a"), S), otherwise=stream(calls("pay"), D))
    endpoint.when(has("tools"), refusal(400, "no tools", headers={"retry-after": "7"}, code="c"))
    endpoint.when(has_message(lambda message: message["role"] == "system"), refusal(500))
    async with reach(endpoint, how) as (client, url):
        refused = await client.post(url, json=BODY | {"tools": [{"function": {"name": "pay"}}]})
        first = await client.post(url, json=BODY)
        second = await client.post(url, json=BODY)
        system = await client.post(url, json={"messages": [{"role": "system"}]})

    assert (refused.status_code, refused.headers["retry-after"]) == (400, "7")
    assert refused.json() == {"error": {"message": "no tools", "code": "c"}}
    assert first.content == said("a") + S
    assert second.content == calls("pay") + D
    assert system.status_code == 500
    assert endpoint.bodies[1] == BODY
    assert [request.structured for request in endpoint.requests] == [False] * 4


@pytest.mark.parametrize("how", ["memory", "socket"])
async def test_a_reset_breaks_the_body(how: str) -> None:
    endpoint = ScriptedEndpoint(stream(said("a"), RESET))
    async with reach(endpoint, how) as (client, url):
        with pytest.raises(httpx.HTTPError):
            await client.post(url, json=BODY)
