"""The tools of MCP servers as a run gets them, and what the model reads when a call fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import (
    Failure,
    FailureKind,
    RequestFailed,
    ServerRefused,
    ServerUnavailable,
)
from core.agentscope.tools.mcp.listing import ListedTool
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.toolset import McpToolset, SharedServer
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.config import ToolSettings
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")


class Failing(McpConnection):
    """A connection whose calls fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__(McpEndpoint("http", url="http://mcp.test", secrets=("secret-of-the-shop",)), "shop")
        self._error = error
        self.tools = (ListedTool("pay", "Pays.", {"type": "object"}),)
        self.version = 1

    async def call(self, tool: str, arguments: dict[str, Any], **_: Any) -> Any:
        raise self._error


class Telling(Failing):
    """A connection whose server tells about its progress before it answers."""

    def __init__(self, answered: asyncio.Event) -> None:
        super().__init__(ValueError())
        self._answered = answered

    async def call(
        self, tool: str, arguments: dict[str, Any], *, progress: Callable[..., None], **_: Any
    ) -> Any:
        progress(1, 2, "logged in with secret-of-the-shop")
        await self._answered.wait()
        return SimpleNamespace(content=[], structuredContent={"paid": 5}, isError=False)


class Shown:
    """Takes progress."""

    def __init__(self, error: Exception | None = None) -> None:
        self.lines: list[str] = []
        self.asked = asyncio.Event()
        self._error = error

    async def report(self, message: str, progress: float | None, total: float | None) -> None:
        self.lines.append(message)
        self.asked.set()
        if self._error is not None:
            raise self._error


def toolset(error: Exception) -> McpToolset:
    return McpToolset([SharedServer(McpPolicy("shop", None, "allow"), Failing(error), ToolSettings())])


async def outcome(error: Exception) -> ToolOutcome:
    ((tool, _),) = toolset(error).tools()
    return await tool.call({}, CONTEXT)


@pytest.mark.parametrize(
    ("kind", "acted"),
    [
        ("not-delivered", False),
        ("session-gone", False),
        ("refused", False),
        ("unauthorized", False),
        ("failed", True),
        ("lost", True),
        ("unreadable", True),
    ],
)
async def test_the_model_is_told_whether_a_failed_call_may_have_acted(kind: FailureKind, acted: bool) -> None:
    failed = await outcome(RequestFailed(Failure(kind, "HTTP 500")))

    assert failed.state == "error"
    assert ("may have taken effect" in failed.content) == acted
    assert ("was not made" in failed.content) != acted


async def test_what_the_server_says_is_passed_on_without_secrets_and_the_rest_is_not() -> None:
    refused = await outcome(ServerRefused("no order for secret-of-the-shop"))
    away = await outcome(ServerUnavailable("http://internal.host:1234"))
    broken = await outcome(ValueError("postgres://user:password@host"))

    assert refused == ToolOutcome("error", "The server refused the call: no order for [redacted]")
    assert away.content == (
        "The server shop cannot be reached at the moment. The call was not made; try again later."
    )
    assert broken.content == "The tool failed."


def test_a_name_belongs_to_a_server_also_while_its_tool_is_away() -> None:
    tools = toolset(ValueError())

    assert [tool.name for tool, _ in tools.tools()] == ["shop__pay"]
    assert tools.owns("shop__not_there")
    assert not tools.owns("other__pay")
    assert not tools.owns("shop")


def test_tools_are_made_once_for_a_list_and_again_for_the_next() -> None:
    connection = Failing(ValueError())
    tools = McpToolset([SharedServer(McpPolicy("shop", None, "ask"), connection, ToolSettings())])
    first = tools.tools()
    again = tools.tools()
    connection.tools = (*connection.tools, ListedTool("refund", "Pays back.", {"type": "object"}))
    connection.version += 1

    assert [tool is other for (tool, _), (other, _) in zip(first, again, strict=True)] == [True]
    assert [tool.name for tool, _ in tools.tools()] == ["shop__pay", "shop__refund"]


async def told(shown: Shown) -> ToolOutcome:
    ((tool, _),) = McpToolset(
        [SharedServer(McpPolicy("shop", None, "allow"), Telling(shown.asked), ToolSettings())]
    ).tools()
    return await tool.call({}, replace(CONTEXT, progress_report=shown))


async def test_progress_is_passed_on_without_secrets() -> None:
    shown = Shown()

    assert (await told(shown)).state == "success"
    assert shown.lines == ["logged in with [redacted]"]


async def test_a_call_succeeds_when_its_progress_cannot_be_shown_and_the_log_says_so() -> None:
    with capture_logs() as lines:
        assert (await told(Shown(ConnectionError("store")))).state == "success"
        await asyncio.sleep(0)

    assert [(line["event"], line["error"]) for line in lines] == [
        ("mcp_progress_not_shown", "ConnectionError")
    ]


async def test_no_task_waits_for_progress_that_nobody_listens_to() -> None:
    tasks: list[int] = []

    class Counts(Failing):
        async def call(self, tool: str, arguments: dict[str, Any], **_: Any) -> Any:
            tasks.append(len(asyncio.all_tasks()))
            raise ServerRefused("no")

    before = len(asyncio.all_tasks())
    ((tool, _),) = McpToolset(
        [SharedServer(McpPolicy("shop", None, "allow"), Counts(ValueError()), ToolSettings())]
    ).tools()
    await tool.call({}, CONTEXT)

    assert tasks == [before]
