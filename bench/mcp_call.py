"""What a call of an MCP tool costs through AgentRoute, against the same call with the bare SDK.

    uv run --project backend python bench/mcp_call.py --calls 500 --rounds 5

Both call the same server, one call after the other, over streamable HTTP: `ClientSession.call_tool` of the SDK, and the
tool as a run of a worker calls it (`Tool.call`: limits, progress, result as text). The rounds alternate. Times are of
this process alone: CPU is what the client's side costs. Compare the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import uvloop
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.toolset import McpToolset
from core.agentscope.tools.spec import ToolContext
from core.config import ToolSettings
from core.identity import Principal

_SERVER = """
import logging, sys
from mcp.server.fastmcp import FastMCP
server = FastMCP("bench", port=int(sys.argv[1]), log_level="WARNING")

@server.tool()
def echo(text: str) -> str:
    "Say it again."
    return text

server.run("streamable-http")
"""

Call = Callable[[], Awaitable[object]]


async def timed(call: Call, calls: int) -> tuple[float, float]:
    """Return milliseconds and milliseconds of CPU of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        await call()
    return (time.perf_counter() - wall) * 1000 / calls, (time.process_time() - cpu) * 1000 / calls


async def measure(url: str, calls: int, rounds: int) -> None:
    """Print the medians of both ways, and their ratio."""
    connection = McpConnection(McpEndpoint("http", url=url), "bench")
    connection.start()
    while connection.problem or not connection.tools:
        await connection.tried()
        await asyncio.sleep(0.1)
    toolset = McpToolset([(McpPolicy("bench", None, "allow"), connection)], ToolSettings())
    ((tool, _),) = toolset.tools()
    context = ToolContext(Principal("bench", "user"), thread_id="t", run_id="r", tool_call_id="c")
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        ways: dict[str, Call] = {
            "bare SDK": lambda: session.call_tool("echo", {"text": "hello"}),
            "AgentRoute": lambda: tool.call({"text": "hello"}, context),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for call in ways.values():
            await timed(call, 50)
        for _ in range(rounds):
            for name, call in ways.items():
                found[name].append(await timed(call, calls))
    await connection.close()
    medians = {name: [median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, (wall, cpu) in medians.items():
        print(f"{name:<12} {wall:6.2f} ms   {cpu:6.2f} ms CPU")
    wall, cpu = (ours / bare for ours, bare in zip(medians["AgentRoute"], medians["bare SDK"], strict=True))
    print(f"{'ratio':<12} {wall:6.2f}      {cpu:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=18765)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        program = Path(folder) / "server.py"
        program.write_text(_SERVER)
        command = [sys.executable, str(program), str(options.port)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            try:
                uvloop.run(measure(f"http://127.0.0.1:{options.port}/mcp", options.calls, options.rounds))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
