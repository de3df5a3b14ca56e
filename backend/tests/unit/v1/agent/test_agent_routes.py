"""The routes of agents over HTTP, with ports in memory."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.memory_container import agent_item, memory_container
from tests.support.memory_ports import MemoryRuns

from agentroute.app import create_app
from core.config import IdentitySettings, Settings
from core.identity import Principal
from v1.agent.agent_directory import AgentDirectory

BASE = "/api/v1/agent"
RUN = {"threadId": "t-1", "runId": "r-1", "messages": [{"id": "m-1", "role": "user", "content": "hello"}]}
SETTINGS = Settings(identity=IdentitySettings(mode="local"))


class Runs(MemoryRuns):
    """Notes what is accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[dict[str, Any], bytes]] = []

    async def accept(self, principal: Principal, command: Any, **options: Any) -> Any:
        self.noted.append((command.forwarded_props, options["request_hash"]))
        return await super().accept(principal, command, **options)


@pytest.fixture
def runs() -> Runs:
    return Runs()


def connect(runs: MemoryRuns, *usable: str) -> httpx.AsyncClient:
    """Return a client of a service with two agents, of which the caller may use some."""
    items = [agent_item("support"), agent_item("sales", default=False)]
    agents = AgentDirectory(items, lambda _principal: usable)
    app = create_app(SETTINGS, container=memory_container(SETTINGS, runs, agents=agents))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


async def test_the_agent_of_the_url_is_that_of_the_body(runs: Runs) -> None:
    async with connect(runs, "sales", "support") as client:
        for path, props in (
            ("/agents/sales/runs", {}),
            ("/agents/sales/runs", {"agentId": "sales", "switchAgent": False}),
            ("/agents/sales/runs", None),
            ("/runs", {"agentId": "sales"}),
            ("/runs", {}),
        ):
            await client.post(f"{BASE}{path}", json=RUN | {"forwardedProps": props})

    named = [props.get("agentId") for props, _ in runs.noted]
    assert named == ["sales"] * 4 + [None]
    assert len({digest for _, digest in runs.noted[:4]}) == 1
    assert runs.noted[4][1] != runs.noted[0][1]


@pytest.mark.parametrize("path", ["/agents/sales/runs", "/agents/sales/resume"])
async def test_a_url_and_a_body_that_disagree_are_refused(runs: Runs, path: str) -> None:
    resume = {"resume": [{"interruptId": "i-1", "status": "cancelled"}]} if path.endswith("resume") else {}
    async with connect(runs, "sales", "support") as client:
        refused = await client.post(
            f"{BASE}{path}", json=RUN | resume | {"forwardedProps": {"agentId": "support"}}
        )

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/forwardedProps/agentId"]
    assert runs.noted == []


@pytest.mark.parametrize("props", [{"agentId": 5}, {"agentId": "a b"}, {"switchAgent": "perhaps"}])
async def test_an_option_that_is_none_is_refused(runs: Runs, props: dict[str, Any]) -> None:
    async with connect(runs, "support") as client:
        refused = await client.post(f"{BASE}/runs", json=RUN | {"forwardedProps": props})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].startswith("/forwardedProps/")


async def test_a_user_sees_the_agents_that_the_user_may_use(runs: Runs) -> None:
    async with connect(runs, "sales") as client:
        (item,) = (await client.get(f"{BASE}/agents")).json()["agents"]
        default = await client.get(f"{BASE}/capabilities")
        own = await client.get(f"{BASE}/agents/sales/capabilities")
        others = [await client.get(f"{BASE}/agents/{agent}/capabilities") for agent in ("support", "no-such")]

    assert (item["id"], item["default"], item["runsUrl"]) == ("sales", False, f"{BASE}/agents/sales/runs")
    assert item["tools"] == [{"name": "calculate", "description": "Does sums.", "permission": "allow"}]
    assert own.json() == item["capabilities"]
    for refused in (default, *others):
        assert (refused.status_code, refused.json()["code"]) == (404, "agent-unknown")
        assert refused.json()["agentIds"] == ["sales"]
    assert others[0].json()["detail"] == others[1].json()["detail"]


async def test_a_schema_of_a_tool_comes_as_it_is(runs: Runs) -> None:
    """Null means something in JSON Schema: it is not left out with what is absent."""
    item = agent_item("support")
    parameters = {"type": "object", "properties": {"a": {"default": None}}}
    told = item.model_copy(update={"capabilities": {"tools": {"items": [{"parameters": parameters}]}}})
    app = create_app(SETTINGS, container=memory_container(SETTINGS, runs, agents=AgentDirectory([told])))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        (listed,) = (await client.get(f"{BASE}/agents")).json()["agents"]

    assert listed["capabilities"]["tools"]["items"][0]["parameters"] == parameters
