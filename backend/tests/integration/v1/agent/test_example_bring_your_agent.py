"""``examples/bring_your_agent``: the script talks in a terminal, and its agent keeps all promises behind the service."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.device import Device, decisions, results, said
from tests.support.limits import HUNG_SECONDS
from tests.support.scripted_endpoint import S, ScriptedEndpoint, T, calls, stream
from tests.support.scripted_endpoint import said as says
from tests.support.stack import DemoModel, OpenStack, Stack

EXAMPLE = Path(__file__).parents[5] / "examples" / "bring_your_agent"
CANCEL = 'call the tool cancel_order with {"order_id": "7"}'
TRANSLATE = 'call the tool translate with {"text": "say bonjour", "language": "French"}'


@pytest.fixture(scope="module")
async def shop(open_stack: OpenStack, demo: DemoModel) -> AsyncIterator[Stack]:
    variables = {"OPENAI_API_KEY": "shop", "OPENAI_BASE_URL": demo.url}
    os.environ.update(variables)
    sys.path.insert(0, str(EXAMPLE))
    try:
        # The agent brings its model.
        async with open_stack(profile_path=EXAMPLE / "agent.toml", model={"base_url": ""}) as stack:
            yield stack
            # A script ends with its process, and so do its connections.
            await sys.modules["shop_service"].MODEL.client.close()
    finally:
        sys.path.remove(str(EXAMPLE))
        sys.modules.pop("shop_service", None)
        for name in variables:
            del os.environ[name]


def test_the_readme_shows_the_whole_difference() -> None:
    names = ("shop_script.py", "shop_service.py")
    old, new = ((EXAMPLE / name).read_text(encoding="utf-8").splitlines() for name in names)
    difference = list(difflib.unified_diff(old, new, *names, n=1, lineterm=""))

    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```diff\n(.*?)\n```", readme, re.DOTALL)
    assert shown.splitlines() == difference
    assert len([line for line in difference[2:] if line[0] in "+-"]) <= 8
    [toml] = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert toml in (EXAMPLE / "agent.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["shop_script.py", "shop_service.py"])
async def test_both_files_run_as_a_script_that_asks_in_the_terminal(script: str) -> None:
    endpoint = ScriptedEndpoint(
        stream(calls("cancel_order", '{"order_id": "7"}'), T), stream(says("It is ", "cancelled."), S)
    )
    async with endpoint.serving() as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLE / script),
            env={**os.environ, "OPENAI_API_KEY": "shop", "OPENAI_BASE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(HUNG_SECONDS):
            printed, errors = await process.communicate(b"Please cancel order 7.\ny\n\n")

    assert process.returncode == 0, errors.decode()
    assert 'cancel_order {"order_id": "7"}? [y/n] It is cancelled.' in printed.decode()
    assert "Order 7 is cancelled." in str(endpoint.bodies[1]["messages"][-1]["content"])


async def test_behind_the_service_an_approval_acts_once_on_another_worker(shop: Stack) -> None:
    device = Device(shop)
    parked = await device.run(said("u1", CANCEL))
    for worker in list(shop.workers):
        await shop.stop_worker(worker)
    await shop.start_worker()
    approved = await device.run(resume=decisions(parked, approved=True))
    # In a conversation of its own: this worker has cancelled it.
    again = Device(shop)
    gone = await again.run(resume=decisions(await again.run(said("u1", CANCEL)), approved=True))

    assert list(results(approved).values()) == ["Order 7 is cancelled."]
    assert list(results(gone).values()) == ["There is no order 7."]


async def test_the_calls_of_the_subagent_are_in_the_ledger(shop: Stack) -> None:
    before = len(shop.demo.requests)
    reply = await Device(shop).run(said("u1", TRANSLATE))

    told = reply.end["usage"]
    rows = await shop.fetch(
        "SELECT c.* FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk WHERE r.run_id = $1",
        reply.events[0]["runId"],
    )
    assert len(rows) == len(shop.demo.requests) - before == 3
    assert sum(row["output_tokens"] for row in rows) == sum(each["outputTokens"] for each in told)
    assert "bonjour" in results(reply).popitem()[1]
