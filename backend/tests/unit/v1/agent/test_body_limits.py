"""Every route with a JSON body has the same deadline and the same bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.config import Settings

BASE = "/api/v1/agent"
ROUTES = ["POST /runs", "POST /resume", "POST /events", "POST /runs/r/cancel", "PATCH /threads/t"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=[VIRTUAL_CLOCK], ids=["virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # A body of unknown length takes all the room of its user.
    limits = settings.limits.model_copy(update={"max_user_body_bytes": settings.limits.max_body_bytes})
    return settings.model_copy(update={"limits": limits})


@pytest.mark.parametrize("route", ROUTES)
async def test_a_byte_a_second_is_not_waited_for(route: str, ada: httpx.AsyncClient) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(1)

    method, path = route.split()
    began = asyncio.get_running_loop().time()
    response = await ada.request(method, BASE + path, content=drip(), headers=JSON, timeout=None)

    assert response.status_code == 408
    assert response.json()["code"] == "upload-timeout"
    assert response.headers["connection"] == "close"
    assert asyncio.get_running_loop().time() - began == pytest.approx(60)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_user_cannot_fill_the_memory_and_another_is_not_affected(
    route: str, ada: httpx.AsyncClient, eve: httpx.AsyncClient
) -> None:
    method, path = route.split()

    async def never_ends() -> AsyncIterator[bytes]:
        yield b" " * 40_000
        await asyncio.sleep(3600)

    async def send() -> httpx.Response:
        return await ada.request(method, BASE + path, content=never_ends(), headers=JSON, timeout=None)

    held = asyncio.create_task(send())
    await asyncio.sleep(1)
    refused = await send()
    other = await eve.post(BASE + "/runs", json={"messages": [{"role": "user", "content": "hello"}]})

    assert refused.status_code == 429
    assert refused.json()["code"] == "rate-limited"
    assert int(refused.headers["retry-after"]) >= 1
    assert other.status_code == 202
    assert (await held).status_code == 408
