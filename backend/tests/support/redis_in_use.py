"""What a service does with Redis, seen at the servers: for each kind of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support import audio
from tests.support.counting_model import CountingModel
from tests.support.stack import DemoModel, EventStream, OpenStack, Stack, eventually, serving


@asynccontextmanager
async def counting_stack(
    open_stack: OpenStack, demo: DemoModel, redis: dict[str, Any]
) -> AsyncIterator[tuple[Stack, CountingModel]]:
    """Open a service over some Redis, whose answers last as long as the test wants."""
    model = CountingModel()
    async with serving(model.app, lifespan=False) as url:
        sections: dict[str, Any] = {
            "redis": redis,
            "model": {"base_url": f"{url}/v1"},
            "transcription": {"base_url": demo.url},
        }
        async with open_stack(**sections) as stack:
            try:
                yield stack, model
            finally:
                model.stop.set()


async def reads_until(stream: EventStream, condition: Callable[[], Awaitable[Any]]) -> None:
    """Read a stream whose run goes on, until a condition holds, and some events more."""

    waiting = asyncio.create_task(eventually(condition))
    while not waiting.done():
        if await stream.next() is None:
            waiting.cancel()
            raise AssertionError("the stream ended in mid-answer")
    await waiting
    for _ in range(5):
        assert await stream.next() is not None


async def ends_exact(stack: Stack, thread: str, stream: EventStream) -> None:
    """Read a stream to its end: it had every event of the log, once, in order, and the whole answer."""
    await stream.to_end()
    (run,) = await stack.runs(thread)
    rows = await stack.log(thread, run["ordinal"])
    assert [frame.id for frame in stream.frames] == [f"{run['ordinal']}-{row['seq']}" for row in rows]
    assert [frame.data.decode() for frame in stream.frames] == [row["payload"] for row in rows]
    text = "".join(event["delta"] for event in stream.events if event["type"] == "TEXT_MESSAGE_CONTENT")
    numbers = text.split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) > 10


async def uses_redis_in_every_way(stack: Stack) -> None:
    """Do what needs Redis: a run, a cancel, tickets, rates, recordings, a deleted thread."""
    thread = stack.new_id("thread")
    body = stack.run_body("count slowly to 500", thread=thread)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await stack.cancel(thread, body["runId"])).status in {200, 202}
        await stream.to_end()
    asked = await stack.request("POST", "/events/ticket", json={"threadId": thread})
    assert asked.status == 201, asked.body
    params = {"threadId": thread, "ticket": asked.json["ticket"]}
    container = stack.apis[0].app.state.container
    client = stack.apis[0].client("nobody")
    async with client.stream("GET", "/events", params=params, headers={"Authorization": ""}) as answer:
        assert answer.status_code == 200, await answer.aread()
        (name,) = container.open_streams.tickets()
        assert await container.tickets.newest_uses([name, "never issued"]) == [1, 0]
    for _ in range(2):
        sound = {"file": ("a.wav", audio.wav())}
        heard = await stack.request("POST", "/transcribe", files=sound, headers={"Idempotency-Key": thread})
        assert heard.status == 200, heard.body
    assert (await stack.request("DELETE", f"/threads/{thread}")).status == 204
    assert (await stack.request("DELETE", "/me")).status == 200
