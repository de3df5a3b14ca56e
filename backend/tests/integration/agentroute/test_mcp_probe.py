"""What ``doctor`` says of MCP servers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.mcp_servers import PROGRAM, Server

from agentroute import mcp_probe
from agentroute.mcp_probe import probe_mcp
from core.config import Settings

HEAD = 'name = "A"\ndescription = "d"\n'


async def test_each_server_has_a_line_with_its_tools_or_what_is_wrong(tmp_path: Path) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(
        f"""{HEAD}
[[mcp]]
name = "here"
command = ["{sys.executable}", "{PROGRAM}", "stdio", "{tmp_path}"]
allow = ["act", "bad_schema", "serach"]
[[mcp]]
name = "away"
url = "http://127.0.0.1:9/mcp"
"""
    )

    here, away = await probe_mcp(Settings(profile_path=profile))

    assert (here.name, here.ok) == ("MCP here", True)
    assert here.found.startswith("1 of 20 tools; here__bad_schema is left out: its schema /properties/a/$ref")
    assert here.found.endswith("no tool fits 'serach'")
    assert (away.name, away.ok, away.found) == ("MCP away", False, "cannot be used: it cannot be reached")
    assert "correct [[mcp]]" in away.fix


@pytest.mark.parametrize("text", [HEAD, "no profile"])
async def test_without_servers_or_a_profile_there_is_no_line(tmp_path: Path, text: str) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(text)

    assert await probe_mcp(Settings(profile_path=profile)) == []


async def test_a_server_that_wants_a_user_is_there(tmp_path: Path) -> None:
    server = Server("http", tmp_path)
    server.know(ann="ann-token-1234")
    await server.start()
    profile = tmp_path / "agent.toml"
    profile.write_text(f'{HEAD}[[mcp]]\nname = "shop"\nurl = "{server.url}"\nauth = "oauth"\n')
    try:
        with capture_logs() as lines:
            (found,) = await probe_mcp(Settings(profile_path=profile))
    finally:
        server.stop()

    assert (found.ok, found.found) == (True, "is there; each user connects (oauth)")
    assert not [line for line in lines if line["log_level"] == "warning"]


async def test_of_several_agents_each_server_has_the_agent_beside_it(tmp_path: Path) -> None:
    (tmp_path / "support.toml").write_text(f"{HEAD}default = true\n")
    for agent in ("sales", "stock"):
        (tmp_path / f"{agent}.toml").write_text(
            f'{HEAD}[[mcp]]\nname = "away"\nurl = "http://127.0.0.1:9/mcp"\n'
        )

    found = await probe_mcp(Settings(profile_path=tmp_path))

    assert [each.name for each in found] == ["MCP away of sales", "MCP away of stock"]


async def test_a_server_that_repeats_a_secret_shows_it_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "opaque-value-of-the-shop"
    monkeypatch.setenv("SHOP_TOKEN", secret)
    known: list[str] = []
    monkeypatch.setattr(mcp_probe, "never_log", known.extend)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        request = json.loads(await reader.readexactly(length))
        # The place where a long text is cut is in the middle of the secret.
        error = {"code": -32000, "message": f"{'wrong ':.<190}{secret} is wrong"}
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    profile = tmp_path / "agent.toml"
    profile.write_text(
        f"""{HEAD}
[[mcp]]
name = "shop"
url = "http://127.0.0.1:{port}/mcp"
headers = {{ X-Shop = "${{SHOP_TOKEN}}" }}
"""
    )
    with capture_logs() as logged:
        async with listening:
            (shop,) = await probe_mcp(Settings(profile_path=profile))

    assert shop.found.startswith("cannot be used: it answered: wrong ...")
    assert secret[:4] not in shop.found + str(logged)
    assert secret in known
