"""The toolkit of one run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agentscope.tool import FunctionTool, ToolGroup, Toolkit
from structlog.testing import capture_logs
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.agent.factory.merged_toolkit import LIST_SECONDS, settle_tools


@pytest.fixture(params=[VIRTUAL_CLOCK], ids=["virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def does() -> Any:
    """Do."""


class Server:
    """An MCP client whose server answers after a time."""

    def __init__(self, name: str, seconds: float, fails: bool = False) -> None:
        self.name, self._seconds, self._fails = name, seconds, fails

    async def list_tools(self) -> list[Any]:
        await asyncio.sleep(self._seconds)
        if self._fails:
            raise ConnectionError("no server")
        return [FunctionTool(does, name=self.name, description="Does.")]


async def test_all_servers_are_asked_at_once_and_one_that_does_not_answer_has_no_tools() -> None:
    servers: list[Any] = [Server("never", 1e6), Server("slow", 9), Server("broken", 1, fails=True)]
    others: list[Any] = [Server("other", 9)]
    toolkit = Toolkit()
    toolkit.tool_groups = [
        ToolGroup(name="basic", mcps=servers),
        ToolGroup(name="more", description="More.", mcps=others),
    ]
    began = asyncio.get_running_loop().time()
    with capture_logs() as logs:
        await settle_tools(toolkit, lambda tool: tool)

    assert [[tool.name for tool in group.tools] for group in toolkit.tool_groups] == [["slow"], ["other"]]
    assert [group.mcps for group in toolkit.tool_groups] == [[], []]
    assert sorted(entry["server"] for entry in logs) == ["broken", "never"]
    assert asyncio.get_running_loop().time() - began == pytest.approx(LIST_SECONDS)
