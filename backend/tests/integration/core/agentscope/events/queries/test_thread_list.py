"""What lists of threads say of rows that are not as usual."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.manual_worker import ManualWorker, manual_worker
from tests.support.stack import OpenStack, Stack


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    async with open_stack(workers=0) as stack:
        yield stack


@pytest.fixture(scope="module")
async def worker(stack: Stack) -> AsyncIterator[ManualWorker]:
    async with manual_worker(stack.settings) as worker:
        yield worker


async def test_a_message_whose_id_was_taken_is_not_counted(stack: Stack, worker: ManualWorker) -> None:
    thread = stack.new_id("taken")
    reply = await stack.post_run(thread=thread, messages=[{"id": "m-1", "role": "user", "content": "hello"}])
    run = await worker.claim((await stack.runs(thread))[-1]["id"])
    assert reply.status == 202
    assert run is not None
    await run.start()
    # The client's message has this id already: it stays, and the run ends all the same.
    await run.say("hello yourself", message_id="m-1")
    await run.finish()

    (item,) = (await stack.request("GET", "/threads")).json["threads"]

    assert item["messageCount"] == len((await stack.history(thread))["messages"]) == 1
