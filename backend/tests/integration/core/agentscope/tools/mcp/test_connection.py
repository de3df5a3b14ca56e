"""Connections to real MCP servers: calls, cancels, servers that die, forget, change, lag and lie. See ``mcp_server.py``."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from tests.support.limits import HUNG_SECONDS
from tests.support.mcp_servers import PROGRAM, Server, connected, until
from tests.support.ports import reserved_port
from tests.support.processes import command_of

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.failures import RequestFailed, ServerRefused, ServerUnavailable
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.toolset import McpConnections
from core.config import ToolSettings


async def call(connection: McpConnection, tool: str, **arguments: Any) -> Any:
    async with asyncio.timeout(HUNG_SECONDS):
        return await connection.call(tool, arguments, idempotency_key="r-1:c-1")


def said(result: Any) -> str:
    return "".join(part.text for part in result.content)


async def failure(connection: McpConnection, tool: str, **arguments: Any) -> str:
    with pytest.raises(RequestFailed) as failed:
        await call(connection, tool, **arguments)
    return failed.value.failure.kind


# --- every transport ---------------------------------------------------------------------


async def test_tools_are_listed_once_and_calls_share_the_session(server: Server) -> None:
    async with connected(server) as connection:
        texts = [f"text {number}" for number in range(20)]
        results = await asyncio.gather(*(call(connection, "echo", text=text) for text in texts))

        assert [said(result) for result in results] == texts
        assert said(await call(connection, "act")) == "acted"
        assert "echo" in [tool.name for tool in connection.tools]
    assert server.effects == ["list", "act r-1:c-1"]


async def test_failures_of_a_tool_are_answers_and_refusals_are_told_apart(server: Server) -> None:
    async with connected(server) as connection:
        failed = await call(connection, "fail")
        with pytest.raises(ServerRefused) as refused:
            await call(connection, "refuse")

        assert (failed.isError, said(failed)) == (True, "there is no such order")
        assert refused.value.message == "URL elicitation required"


async def test_a_large_result_arrives_whole(server: Server) -> None:
    async with connected(server) as connection:
        assert len(said(await call(connection, "big")).encode()) == 5 << 20


async def test_the_list_is_read_again_when_the_server_says_that_it_changed(server: Server) -> None:
    async with connected(server) as connection:
        before = connection.version
        await call(connection, "grow")
        await until(lambda: connection.version > before)

        assert connection.tools[-1].name == "grown"
        assert said(await call(connection, "grown")) == "called grown"


async def test_a_call_reports_progress_and_is_cancelled_at_the_server_and_others_go_on(
    server: Server,
) -> None:
    async with connected(server) as connection:
        steps: list[tuple[float, float | None, str | None]] = []
        waiting = asyncio.create_task(
            connection.call("wait", {}, idempotency_key="k", progress=lambda *step: steps.append(step))
        )
        await until(lambda: steps)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.did("cancelled")

        assert steps == [(1, 2, "half")]
        assert said(await call(connection, "echo", text="still here")) == "still here"


async def test_a_question_to_the_user_is_refused_in_words_for_the_model(server: Server) -> None:
    async with connected(server) as connection:
        result = await call(connection, "ask")

        assert result.isError
        assert "cannot put a question of a tool to the user" in said(result)


async def test_a_call_whose_server_dies_is_lost_and_never_made_again(server: Server) -> None:
    async with connected(server) as connection:
        assert await failure(connection, "die") == "lost"
        if server.transport != "stdio":
            server.stop()
            await server.start()
            # The old server's connections may be found broken only when they are used.
            await until(lambda: server.effects.count("die") == 1)

        assert said(await answered(connection)) == "back"
    assert server.effects.count("die") == 1


async def answered(connection: McpConnection) -> Any:
    """Call until the server is back: what was lost on a connection of the dead server is not sent again."""
    while True:
        try:
            return await call(connection, "echo", text="back")
        except (RequestFailed, ServerUnavailable):
            await asyncio.sleep(0.01)


# --- over HTTP -----------------------------------------------------------------------------


async def test_a_session_that_the_server_forgot_is_opened_again_and_the_call_made_once(
    http_server: Server,
) -> None:
    async with connected(http_server) as connection:
        await call(connection, "forget")
        results = await asyncio.gather(*(call(connection, "act") for _ in range(5)))

        assert [said(result) for result in results] == ["acted"] * 5
    assert http_server.effects.count("act r-1:c-1") == 5
    assert http_server.effects.count("list") == 2, "one new session for all calls"


async def test_a_server_that_is_down_at_the_start_is_there_when_it_comes(stopped_server: Server) -> None:
    stopped_server.port = reserved_port()
    async with connected(stopped_server) as connection:
        assert (connection.tools, connection.problem) == ((), "it cannot be reached")
        with pytest.raises(ServerUnavailable):
            await call(connection, "act")

        await stopped_server.start()
        await until(lambda: connection.tools)

        assert connection.problem == ""
        assert said(await call(connection, "act")) == "acted"


async def test_a_server_that_went_away_keeps_its_tools_and_a_call_opens_a_new_session(
    http_server: Server,
) -> None:
    async with connected(http_server) as connection:
        http_server.stop()
        with pytest.raises((ServerUnavailable, RequestFailed)):
            await call(connection, "act")
        assert connection.tools

        await http_server.start()
        await answered(connection)

        assert said(await call(connection, "act")) == "acted"
    assert http_server.effects.count("act r-1:c-1") == 1


async def test_answers_as_json_are_read_as_well(tmp_path: Path) -> None:
    server = Server("http", tmp_path, env={"JSON_RESPONSE": "1"})
    await server.start()
    try:
        async with connected(server) as connection:
            assert said(await call(connection, "echo", text="as JSON")) == "as JSON"
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi",
            "neither JSON nor a stream",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            "not one of the protocol",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\n\n", "stream ended"),
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "HTTP 401"),
        (b"no HTTP", "it does not speak HTTP"),
        (b"", "it does not speak HTTP"),
    ],
)
async def test_a_server_that_does_not_speak_the_protocol_is_unavailable_and_says_why(
    tmp_path: Path, answer: bytes, problem: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        # To its end: what is left unread when a connection closes makes a reset of it.
        (length,) = re.findall(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length))
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = Server("http", tmp_path, port=listening.sockets[0].getsockname()[1])
    async with listening, connected(server) as connection:
        assert problem in connection.problem
        assert connection.tools == ()


async def test_a_silent_server_is_given_up_after_its_time(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    server = Server("http", tmp_path, port=listening.sockets[0].getsockname()[1])
    async with listening, connected(server, timeout_seconds=0.1) as connection:
        assert connection.problem == "it did not answer in time"


# --- over standard input and output ----------------------------------------------------------


def processes_of(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if str(folder) in command_of(process)]


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with connected(Server("stdio", tmp_path), command=("no-such-program",)) as connection:
        assert connection.problem == "there is no program no-such-program"


async def test_a_program_is_looked_for_where_it_starts(tmp_path: Path) -> None:
    # Not in the folder of the worker.
    program = tmp_path / "server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} stdio "$1"\n')
    program.chmod(0o755)

    async with connected(
        Server("stdio", tmp_path), command=("./server", str(tmp_path)), cwd=str(tmp_path)
    ) as connection:
        assert connection.problem == ""
        assert said(await call(connection, "echo", text="found")) == "found"
    async with connected(Server("stdio", tmp_path), command=("./other",), cwd=str(tmp_path)) as connection:
        assert connection.problem == "there is no program ./other"


async def test_lines_that_are_no_messages_do_no_harm(tmp_path: Path) -> None:
    async with connected(Server("stdio", tmp_path, env={"NOISE": "1"})) as connection:
        assert said(await call(connection, "echo", text="fine")) == "fine"


async def test_a_stubborn_program_ends_with_its_connection(tmp_path: Path) -> None:
    async with connected(Server("stdio", tmp_path, env={"STUBBORN": "1"})) as connection:
        assert connection.problem == ""
        assert processes_of(tmp_path)

    await until(lambda: not processes_of(tmp_path))


async def test_a_stubborn_program_ends_after_its_worker_was_killed(tmp_path: Path) -> None:
    # The worker's place is taken by a process that only starts the guard, as a worker does.
    guard = [sys.executable, "-I", "-m", "core.agentscope.tools.mcp.stdio_guard"]
    server = [sys.executable, str(PROGRAM), "stdio", str(tmp_path)]
    program = (
        "import os, subprocess, time\n"
        f"subprocess.Popen({guard!r} + [str(os.getpid())] + {server!r}, stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(3600)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], env={"STUBBORN": "1"})  # noqa: ASYNC220
    try:
        await until((tmp_path / "pid").exists)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

        await until(lambda: not processes_of(tmp_path))
    finally:
        worker.kill()
        worker.wait()


async def test_equal_servers_of_two_profiles_share_a_connection_and_others_do_not(server: Server) -> None:
    connections = McpConnections()
    endpoints = [server.endpoint(), server.endpoint(), server.endpoint(timeout_seconds=99.0)]
    for name, endpoint in zip(("one", "same", "other"), endpoints, strict=True):
        connections.to(endpoint, McpPolicy(name, None, "ask"), ToolSettings())
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            await connections.tried()

        assert server.effects == ["list", "list"]
    finally:
        await connections.close()


async def test_a_program_gets_its_own_variables_and_its_words_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_MODEL__API_KEY", "of-the-worker-alone")
    server = Server("stdio", tmp_path, env={"SHOP_TOKEN": "token-of-the-shop"})
    with structlog.testing.capture_logs() as lines:
        async with connected(server) as connection:
            told = said(await call(connection, "tell"))
            await until(lambda: [line for line in lines if line["event"] == "mcp_server_says"])

    assert "of-the-worker-alone" not in told
    (line,) = [line for line in lines if line["event"] == "mcp_server_says"]
    assert (line["server"], line["line"]) == ("tests", "begins with token-of-the-shop")
