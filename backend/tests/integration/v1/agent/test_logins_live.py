"""A user's own identity at an MCP server in the whole service: asked for, over a restart of everything, and never shown."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.device import Device, decisions, results, said
from tests.support.mcp_servers import Server
from tests.support.stack import OpenStack, Reply, Stack

TOKEN, NEXT_TOKEN = "token-of-ada-1234567890", "token-of-ada-0987654321"
PROFILE = """
name = "Support"
description = "d"

[[mcp]]
name = "shop"
url = "{url}"
auth = "user-token"
timeout_seconds = 120

[mcp.permissions]
whoami = "allow"
leak = "allow"
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server("http", tmp_path)
    server.know(ada=TOKEN)
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def support(shop: Server, open_stack: OpenStack) -> AsyncIterator[Stack]:
    profile = shop.folder / "agent.toml"
    profile.write_text(PROFILE.format(url=shop.url))
    key = base64.b64encode(bytes(range(32))).decode()
    async with open_stack(profile_path=profile, secrets={"key": key}) as stack:
        yield stack


async def connect(stack: Stack, token: str) -> None:
    reply = await stack.request("PUT", "/connections/shop", json={"token": token})
    assert reply.status == 200


async def restart(stack: Stack) -> None:
    """Replace every process: nothing but what is in Postgres is known then."""
    for worker in list(stack.workers):
        await stack.stop_worker(worker)
    for api in list(stack.apis):
        await stack.stop_api(api)
    await stack.start_worker()
    await stack.start_api()


def call(*names: str) -> str:
    return " and also ".join(f"call the tool shop__{name} with {{}}" for name in names)


def resolved(reply: Reply) -> list[dict[str, Any]]:
    """Say that the user is back, as an application does that sends no payload."""
    return [{"interruptId": interrupt["id"], "status": "resolved"} for interrupt in reply.interrupts]


def reasons(reply: Reply) -> list[str]:
    return [interrupt["reason"] for interrupt in reply.interrupts]


async def test_the_very_same_call_is_made_once_after_the_login(support: Stack, shop: Server) -> None:
    device = Device(support)
    # Nobody has logged in yet, so the model has one tool by which it asks.
    parked = await device.run(said("u1", call("connect")))
    (interrupt,) = parked.interrupts
    assert (interrupt["reason"], interrupt["metadata"]) == (
        "connection_required",
        {"server": "shop", "auth": "user-token"},
    )
    assert interrupt["message"] == "Connect your account at shop: shop__connect needs it."
    assert (await support.history(device.thread))["pendingInterrupts"] == parked.interrupts

    # A user who comes back without a login is asked again.
    await restart(support)
    again = await device.run(resume=resolved(parked))
    assert reasons(again) == ["connection_required"]
    assert again.interrupts[0]["id"] != interrupt["id"]
    assert again.interrupts[0]["toolCallId"] == interrupt["toolCallId"]

    await connect(support, TOKEN)
    connected = await device.run(resume=resolved(again))
    assert results(connected)[interrupt["toolCallId"]].startswith(
        "The user is connected to shop. Its tools: "
    )
    assert connected.end["outcome"] == {"type": "success"}

    # Withdrawn at the server: the call was approved and did nothing, and the approval stays.
    shop.know(ada=NEXT_TOKEN)
    asked = await device.run(said("u2", call("act", "whoami")))
    assert sorted(reasons(asked)) == ["connection_required", "tool_approval"]
    answers = resolved(asked)
    for answer, reason in zip(answers, reasons(asked), strict=True):
        if reason == "tool_approval":
            answer["payload"] = {"approved": True}
    await restart(support)
    missing = await device.run(resume=answers)
    assert reasons(missing) == ["connection_required", "connection_required"]
    assert "act" not in " ".join(shop.effects)

    # The list of tools is not known to anybody any more.
    await restart(support)
    await connect(support, NEXT_TOKEN)
    made = await device.run(resume=resolved(missing))
    assert sorted(results(made).values()) == ["acted", "you are ada"]
    assert [effect.split()[0] for effect in shop.effects if effect != "list"] == ["act"]

    # DELETE counts for the next call, and a user who does not want to is not asked for ever.
    await support.request("DELETE", "/connections/shop")
    unwanted = await device.run(said("u3", call("whoami")))
    declined = await device.run(resume=decisions(unwanted))
    assert list(results(declined).values()) == ["The user did not connect to shop. The call was not made."]
    assert declined.of("TOOL_CALL_RESULT")[0]["metadata"] == {"state": "denied"}
    assert declined.end["outcome"] == {"type": "success"}
    # The user says something else instead, with the answer: not asked again, and the message is answered.
    unwanted = await device.run(said("u4", call("whoami")))
    moved_on = await device.run(said("u5", "hello"), resume=resolved(unwanted))
    assert (
        results(moved_on)[unwanted.interrupts[0]["toolCallId"]]
        == "The user did not connect to shop. The call was not made."
    )
    assert moved_on.text
    assert moved_on.end["outcome"] == {"type": "success"}
    await device.check()


async def every_row(stack: Stack) -> str:
    """Return all rows of all tables; bytes as they are and in hexadecimal."""
    tables = await stack.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    names = [row["tablename"] for row in tables]
    assert "agent_connection" in names
    as_json = [await stack.fetch(f'SELECT row_to_json(t)::text AS row FROM "{name}" AS t') for name in names]  # noqa: S608
    return repr(as_json) + repr([await stack.fetch(f'SELECT * FROM "{name}"') for name in names])  # noqa: S608


async def test_a_token_is_seen_by_its_server_alone(
    support: Stack, shop: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    # What libraries say too, and all of it before the log masks anything.
    caplog.set_level(logging.DEBUG)
    device = Device(support)
    await connect(support, TOKEN)

    reply = await device.run(said("u1", call("leak")))

    (content,) = results(reply).values()
    assert "[redacted]" in content
    history = await support.request("GET", "/history", params={"threadId": device.thread})
    listed = await support.request("GET", "/connections")
    seen = b"".join((reply.body, history.body, listed.body, orjson.dumps(support.demo.requests))).decode()
    # The server does not take it any more, and says so; the user gives the next one.
    shop.know(ada=NEXT_TOKEN)
    refused = await device.run(said("u2", call("whoami")))
    assert reasons(refused) == ["connection_required"]
    await connect(support, NEXT_TOKEN)
    seen += refused.body.decode() + await every_row(support)
    printed = capsys.readouterr()
    seen += caplog.text + printed.out + printed.err
    assert "mcp" in caplog.text
    for token in (TOKEN, NEXT_TOKEN):
        for form in (token, base64.b64encode(token.encode()).decode().rstrip("="), token.encode().hex()):
            assert form not in seen
