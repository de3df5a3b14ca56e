"""A thread's first run does without a read of its memory only if there is nothing to read."""

from __future__ import annotations

from typing import Any

import orjson
from tests.support.manual_worker import ManualRun, manual_reaper, manual_worker
from tests.support.stack import OpenStack

from core.agentscope.runtime.agent.thread_memory import first_memory, load_memory
from core.agentscope.schemas.agent_runtime import RunCommand

ASKED = {"id": "m-1", "role": "user", "content": "hello"}
EARLIER = [
    {"id": "m-0", "role": "user", "content": "who are you?"},
    {"id": "a-0", "role": "assistant", "content": "An agent."},
]
INSTRUCTION = {"id": "s-0", "role": "system", "content": "Be brief."}


async def test_a_memory_that_is_known_to_be_empty_is_empty(open_stack: OpenStack) -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"state": None}, True),
        ({"state": {}}, True),
        ({"state": {"city": "Köln", "floors": [1, 2.5, 1e20, None]}}, False),
        ({"state": {}, "protocolVersion": None}, True),
        ({"messages": [INSTRUCTION, ASKED]}, True),
        ({"messages": [*EARLIER, ASKED]}, False),
        ({"forwardedProps": {"messagesSnapshot": "anew"}}, True),
    ]
    async with open_stack(workers=0) as stack, manual_worker(stack.settings) as worker:
        for place, (members, known) in enumerate(cases):
            sent: dict[str, Any] = {"messages": [ASKED], **members}
            sent = stack.run_body(None, thread=f"first-{place}", **sent)
            await stack.post_run(body=sent)
            run = await worker.claim((await stack.runs(f"first-{place}"))[0]["id"])
            assert run is not None

            memory = first_memory(run.owned, _command(run))

            assert (memory is not None) is known, members
            assert not known or memory == await load_memory(worker.engine, run.owned, ["m-1"]), members


async def test_a_later_run_and_a_second_attempt_read_it(open_stack: OpenStack) -> None:
    async with (
        open_stack(workers=0) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        await stack.post_run("hello", thread="two", run="two-1")
        first = await worker.claim((await stack.runs("two"))[0]["id"])
        assert first is not None
        assert first_memory(first.owned, _command(first)) is not None
        await stack.fetch("UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second'")
        await reaper.reap()
        again = await worker.claim(first.owned.run_pk)
        assert again is not None
        assert first_memory(again.owned, _command(again)) is None
        await again.start()
        await again.finish()
        await stack.post_run("and now?", thread="two", run="two-2")
        second = await worker.claim((await stack.runs("two"))[1]["id"])
        assert second is not None

        assert first_memory(second.owned, _command(second)) is None


def _command(run: ManualRun) -> RunCommand:
    return RunCommand.model_validate(orjson.loads(run.claimed.input))
