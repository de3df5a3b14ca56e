"""Tools of an MCP server in the whole service: approved, called once, cancelled, and without its secrets anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from tests.support.device import Device, decisions, results, said
from tests.support.mcp_servers import Server
from tests.support.stack import OpenStack, Stack

TOKEN = "shop-token-1234567890"
PROFILE = """
name = "Support"
description = "d"

[[mcp]]
name = "shop"
url = "{url}"
headers = {{ Authorization = "Bearer ${{SHOP_TOKEN}}" }}
allow = ["act", "wait", "echo", "tell", "big", "hinted", "fail"]
timeout_seconds = 120

[mcp.permissions]
wait = "allow"
echo = "allow"
tell = "allow"
big = "allow"
fail = "allow"
"""


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    server = Server("http", tmp_path_factory.mktemp("shop"))
    await server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
async def support(shop: Server, open_stack: OpenStack) -> AsyncIterator[Stack]:
    profile = shop.folder / "agent.toml"
    profile.write_text(PROFILE.format(url=shop.url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_TOKEN", TOKEN)
        async with open_stack(profile_path=profile) as stack:
            yield stack


@pytest.fixture
def device(support: Stack) -> Device:
    return Device(support)


def call(name: str, **arguments: str) -> str:
    return f"call the tool shop__{name} with {orjson.dumps(arguments).decode()}"


async def test_a_tool_that_asks_is_called_once_after_the_approval(device: Device, shop: Server) -> None:
    before = len(shop.effects)
    parked = await device.run(said("u1", call("act")))
    (interrupt,) = parked.interrupts
    assert interrupt["reason"] == "tool_approval"
    assert len(shop.effects) == before

    reply = await device.run(resume=decisions(parked, approved=True))

    assert results(reply) == {interrupt["toolCallId"]: "acted"}
    assert [effect.split()[0] for effect in shop.effects[before:]] == ["act"]
    # The run in which the call is made is part of the key, and the call too.
    assert shop.effects[-1].endswith(f":{interrupt['toolCallId']}")
    await device.check()


async def test_a_hint_of_the_server_never_weakens_a_permission(device: Device) -> None:
    assert (await device.run(said("u1", call("hinted")))).interrupts


async def test_only_allowed_tools_are_offered_and_each_has_its_full_name(
    device: Device, support: Stack
) -> None:
    await device.run(said("u1", "hello"))

    offered = {tool["function"]["name"] for tool in support.demo.requests[-1]["tools"]}
    assert offered == {f"shop__{name}" for name in ("act", "wait", "echo", "tell", "big", "hinted", "fail")}


async def test_a_large_result_is_cut_and_a_failure_is_an_error(device: Device) -> None:
    large = await device.run(said("u1", call("big")))
    failed = await device.run(said("u2", call("fail")))

    (content,) = results(large).values()
    assert len(content.encode()) <= 64 << 10
    assert "[truncated: " in content
    (event,) = failed.of("TOOL_CALL_RESULT")
    assert (event["content"], event["metadata"]) == ("there is no such order", {"state": "error"})


async def test_the_server_gets_the_secret_and_nobody_else(device: Device, support: Stack) -> None:
    reply = await device.run(said("u1", call("tell")))

    (content,) = results(reply).values()
    assert '"authorization": "[redacted]"' in content
    assert TOKEN.encode() not in reply.body
    assert TOKEN not in orjson.dumps(support.demo.requests).decode()


async def test_progress_is_shown_and_a_cancelled_run_cancels_the_call(
    device: Device, support: Stack, shop: Server
) -> None:
    body = device.body(said("u1", call("wait")))
    async with support.open_run(body=body) as stream:
        event = await stream.until("CUSTOM", name="agentroute.tool-progress")
        await support.cancel(device.thread, body["runId"])
        events = await stream.to_end()

    assert event["value"] | {"toolCallId": ""} == {
        "toolCallId": "",
        "message": "half",
        "progress": 1,
        "total": 2,
    }
    assert events[-1]["outcome"]["type"] == "cancelled"
    await shop.did("cancelled")


async def test_a_missing_variable_stops_the_start_and_is_named(
    shop: Server, open_stack: OpenStack, tmp_path: Path
) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(PROFILE.format(url=shop.url).replace("SHOP_TOKEN", "SHOP_TOKEN_THAT_IS_NOT_THERE"))

    with pytest.raises(
        ValueError, match=r"mcp shop: headers\.Authorization: the variable SHOP_TOKEN_THAT_IS_NOT"
    ):
        async with open_stack(profile_path=profile):
            pass
