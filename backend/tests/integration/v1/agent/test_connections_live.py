"""Users' connections over the whole service: who sees which server, what is stored, and that no token comes out."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import OpenStack, Stack

from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.database import create_engine
from core.identity import Principal

CANARY = "canary-5f1e07c2"
KEY = os.urandom(32)
_SERVER = '[[mcp]]\nname = "{}"\nurl = "https://{}.example.com/mcp"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Support for everybody with three servers, and sales, which has one more, for Eve."""
    folder = tmp_path_factory.mktemp("agents")
    github = _SERVER.format("github", "github") + 'auth = "user-token"\n'
    (folder / "support.toml").write_text(
        'name = "Support"\ndescription = "Helps."\ndefault = true\n'
        + github
        + _SERVER.format("tickets", "tickets")
        + 'auth = "oauth"\n'
        + _SERVER.format("app", "app")
    )
    (folder / "sales.toml").write_text(
        'name = "Sales"\ndescription = "Sells."\naccess = ["claim:sub=eve"]\n'
        + github
        + _SERVER.format("crm", "crm")
        + 'auth = "user-token"\n'
    )
    return folder


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, folder: Path) -> AsyncIterator[Stack]:
    secrets = {"key": base64.b64encode(KEY).decode()}
    server = {"public_url": "https://agents.example.com"}
    async with open_stack(workers=0, profile_path=folder, secrets=secrets, server=server) as opened:
        yield opened


async def listed(stack: Stack, user: str = "ada") -> dict[str, Any]:
    answer = await stack.request("GET", "/connections", user=user)
    assert answer.status == 200, answer.body
    return {item["server"]: item for item in answer.json["connections"]}


async def every_value(stack: Stack) -> str:
    """Return all rows of all tables as text, bytes in hexadecimal and as they are."""
    tables = await stack.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await stack.fetch(f'SELECT * FROM "{row["tablename"]}"') for row in tables]  # noqa: S608
    return repr(rows)


async def test_a_user_connects_sees_the_connection_and_forgets_it(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    absent = await listed(stack)
    assert absent == {
        "github": {"server": "github", "auth": "user-token", "state": "absent", "agents": ["support"]},
        "tickets": {"server": "tickets", "auth": "oauth", "state": "absent", "agents": ["support"]},
    }
    ends = datetime.now(UTC) + timedelta(days=30)
    body = {"token": f" {CANARY}\n", "expiresAt": ends.isoformat()}
    saved = await stack.request("PUT", "/connections/github", json=body)
    assert saved.status == 200, saved.body
    item = (await listed(stack))["github"]
    assert item == saved.json
    assert (item["state"], datetime.fromisoformat(item["expiresAt"])) == ("connected", ends)
    assert item["connectedAt"] == item["updatedAt"]
    head = await stack.request("HEAD", "/connections")
    assert (head.status, head.body) == (200, b"")

    # What a worker finds is what the user gave; the database has it nowhere as it is.
    engine = create_engine(stack.settings.database, application_name="test")
    store = ConnectionStore(engine, Vault([KEY]))
    ada = Principal("default", "ada")
    resource = "https://github.example.com/mcp"
    found = await store.find(ada, "github", resource)
    assert found is not None
    assert found.secret == CANARY
    assert CANARY not in repr(found)
    async with store.locked(ada, "github", resource) as held:
        assert CANARY not in repr(held)
        assert await held.replace(f"{CANARY}-refreshed") is not None
    await engine.dispose()
    stored = await every_value(stack)
    assert "agent_connection" not in stored
    assert "github.example.com" in stored
    for form in (CANARY, CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode()[:12]):
        assert form not in stored
        assert form not in caplog.text
        assert form.encode() not in saved.body

    refused = await stack.request("PUT", "/connections/github", json={"token": f"{CANARY} {CANARY}"})
    assert refused.status == 422
    assert CANARY not in refused.body.decode() + caplog.text
    for _ in range(2):
        forgotten = await stack.request("DELETE", "/connections/github")
        assert (forgotten.status, forgotten.body) == (204, b"")
    assert await listed(stack) == absent


async def test_each_user_has_the_servers_of_the_own_agents(stack: Stack) -> None:
    eve = await listed(stack, "eve")
    assert list(eve) == ["crm", "github", "tickets"]
    assert eve["github"]["agents"] == ["sales", "support"]
    assert (await stack.request("PUT", "/connections/crm", user="eve", json={"token": "x"})).status == 200

    assert (await stack.request("PUT", "/connections/crm", json={"token": "x"})).status == 404
    assert (await stack.request("DELETE", "/connections/crm")).status == 204
    assert (await listed(stack, "eve"))["crm"]["state"] == "connected"


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("expires_at = clock_timestamp()", "expired"),
        ("state = 'refused'", "refused"),
        ("resource = 'https://elsewhere.example.com'", "absent"),
        ("kind = 'oauth'", "absent"),
        # Of a key that is gone.
        ("sealed = '\\x01' || substring(sealed FROM 3) || '\\x00'", "absent"),
    ],
)
async def test_a_connection_that_is_of_no_use_is_told(stack: Stack, change: str, state: str) -> None:
    await stack.request("PUT", "/connections/github", user=state, json={"token": "x"})
    await stack.fetch(f"UPDATE agent_connection SET {change} WHERE user_id = $1", state)  # noqa: S608

    item = (await listed(stack, state))["github"]

    assert item["state"] == state
    assert ("connectedAt" in item) == (state != "absent")
    # Connected anew, and it is as it should be.
    anew = await stack.request("PUT", "/connections/github", user=state, json={"token": "y"})
    assert anew.json["state"] == "connected"
    assert (await listed(stack, state))["github"] == anew.json


async def test_a_server_that_no_agent_names_any_more_can_be_forgotten(stack: Stack) -> None:
    await stack.request("PUT", "/connections/github", user="zoe", json={"token": "x"})
    await stack.fetch("UPDATE agent_connection SET server = 'gone' WHERE user_id = 'zoe'")

    assert (await stack.request("DELETE", "/connections/gone", user="zoe")).status == 204
    assert await stack.fetch("SELECT 1 FROM agent_connection WHERE user_id = 'zoe'") == []
