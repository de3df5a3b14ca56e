"""The kits of a worker with several agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from core.agent_errors import AgentMissing
from core.agentscope.runtime.agent.agent_kits import AgentKits, build_kits, open_kits, open_toolsets
from core.agentscope.runtime.agent.factory.opening import FactoryOpener
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid
from core.agentscope.runtime.profile.agents import Agents, load_agents
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.mcp.toolset import McpConnections
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.config import Settings, ToolSettings

SETTINGS = Settings.model_validate({"model": {"base_url": "http://127.0.0.1:9/v1"}})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as opened:
        yield opened


def agents(folder: Path, sales: str = "") -> Agents:
    head = 'name = "A"\ndescription = "d"\n'
    (folder / "support.toml").write_text(f"{head}default = true\n[limits]\nmax_iterations = 3\n")
    (folder / "sales.toml").write_text(head + sales)
    return load_agents(folder)


def kits(found: Agents, client: httpx.AsyncClient) -> AgentKits:
    return build_kits(found, SETTINGS, client, InMemoryMemoryStore(), {each: {} for each in found.profiles})


async def test_each_agent_has_a_kit_and_they_share_what_is_of_the_process(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    built = kits(agents(tmp_path, '[[tools]]\nname = "calculate"\npermission = "allow"\n'), client)

    support, sales = built.get("support"), built.get("sales")
    assert (len(support.tools), len(sales.tools)) == (0, 1)
    assert (support.profile.limits.max_iterations, sales.profile.limits.max_iterations) == (3, 25)
    assert built.get(None) is support
    # What one agent learns of an endpoint, the others know.
    assert support.services is sales.services
    assert support.clock is sales.clock is built.clock


async def test_an_agent_that_is_not_there_is_an_error_of_the_run(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    built = kits(agents(tmp_path), client)

    assert built.find("gone") is None
    with pytest.raises(AgentMissing, match="no longer there"):
        built.get("gone")


async def test_a_mistake_names_the_file(tmp_path: Path, client: httpx.AsyncClient) -> None:
    file = tmp_path / "sales.toml"
    with pytest.raises(ToolDefinitionError) as tool:
        kits(agents(tmp_path, '[[tools]]\nname = "no_such"\npermission = "allow"\n'), client)
    found = agents(tmp_path, '[[mcp]]\nname = "m"\nurl = "https://${NO_SUCH_HOST}/"\n')
    with pytest.raises(ProfileInvalid) as server:
        open_toolsets(found, McpConnections(), ToolSettings())
    found = agents(tmp_path, '[agent]\nfactory = "no_such_module:make"\n')
    async with AsyncExitStack() as stack:
        with pytest.raises(AgentCodeInvalid) as code:
            await open_kits(kits(found, client), found, FactoryOpener(stack))

    for refused in (tool, server, code):
        assert str(refused.value).startswith(f"{file}: ")
