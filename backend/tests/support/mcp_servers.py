"""Real MCP servers for tests: processes of ``mcp_server.py``, and the connections to them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.limits import HUNG_SECONDS

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint, Transport

PROGRAM = Path(__file__).with_name("mcp_server.py")


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition that another process meets."""
    async with asyncio.timeout(HUNG_SECONDS):
        while not condition():  # noqa: ASYNC110  nothing tells this process
            await asyncio.sleep(0.01)


@dataclass
class Server:
    """A server process, or what a worker needs to start one."""

    transport: Transport
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start a server that listens, at the port that it had before if there was one."""
        if self.transport == "stdio":
            return
        port = self.folder / "port"
        port.unlink(missing_ok=True)
        command = [sys.executable, str(PROGRAM), self.transport, str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, env=self.env)  # noqa: ASYNC220  returns at once
        await until(port.exists)
        self.port = int(port.read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{'mcp/' if self.transport == 'http' else 'sse'}"

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, str(PROGRAM), "stdio", str(self.folder))

    def endpoint(self, **members: Any) -> McpEndpoint:
        endpoint = McpEndpoint(self.transport, url=self.url, timeout_seconds=float(HUNG_SECONDS))
        if self.transport == "stdio":
            endpoint = replace(endpoint, url="", command=self.command, env=tuple(self.env.items()))
        return replace(endpoint, **members)

    def know(self, **tokens: str) -> None:
        """Let the server take these tokens, by user, and no others. Before the start it says that it has users."""
        part = self.folder / "users.part"
        part.write_text(json.dumps({token: user for user, token in tokens.items()}))
        part.rename(self.folder / "users")

    @property
    def seen(self) -> list[tuple[str, str]]:
        """The user and the session of each request, of a server with users."""
        lines = (self.folder / "requests").read_text().split("\n")[:-1]
        return [(user, session) for user, _, session in (line.partition(" ") for line in lines)]

    @property
    def effects(self) -> list[str]:
        """What the server did, in order."""
        path = self.folder / "effects"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    async def did(self, effect: str, times: int = 1) -> None:
        """Wait until the server has done something."""
        await until(lambda: self.effects.count(effect) >= times)


@asynccontextmanager
async def connected(server: Server, **members: Any) -> AsyncIterator[McpConnection]:
    """Yield a connection that has been tried once."""
    connection = McpConnection(server.endpoint(**members), "tests")
    connection.start()
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            await connection.tried()
        yield connection
    finally:
        await connection.close()
