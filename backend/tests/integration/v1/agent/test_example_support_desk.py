"""The example with an MCP server runs as its README says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from tests.support.device import Device, decisions, results, said
from tests.support.stack import OpenStack, Stack

PROFILE = Path(__file__).parents[5] / "examples" / "mcp_support_desk" / "agent.toml"


@pytest.fixture(scope="module")
async def desk(open_stack: OpenStack) -> AsyncIterator[Stack]:
    async with open_stack(profile_path=PROFILE) as stack:
        yield stack


async def test_orders_are_read_at_once_a_refund_asks_and_the_rest_is_not_offered(desk: Stack) -> None:
    device = Device(desk)

    order = await device.run(said("u1", 'call the tool desk__get_order with {"number": 1001}'))
    unknown = await device.run(said("u2", 'call the tool desk__get_order with {"number": 7}'))
    parked = await device.run(said("u3", 'call the tool desk__refund with {"number": 1003, "euros": 80}'))
    paid = await device.run(resume=decisions(parked, approved=True))

    (content,) = results(order).values()
    assert orjson.loads(content)["customer"] == "Ada"
    assert "There is no order 7" in results(unknown).popitem()[1]
    assert list(results(paid).values()) == ["80.00 euros for order 1003 were paid back to Ada."]
    offered = {tool["function"]["name"] for tool in desk.demo.requests[-1]["tools"]}
    assert offered == {
        "calculate",
        "desk__find_orders",
        "desk__get_order",
        "desk__track_parcel",
        "desk__refund",
    }


async def test_a_parcel_is_tracked_with_progress(desk: Stack) -> None:
    reply = await Device(desk).run(said("u1", 'call the tool desk__track_parcel with {"number": 1002}'))

    steps = [event["value"]["message"] for event in reply.of("CUSTOM")]
    assert steps == ["asking the warehouse", "asking Hamburg", "asking Berlin"]
    assert "last seen in Berlin" in results(reply).popitem()[1]
