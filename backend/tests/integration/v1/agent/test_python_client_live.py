"""The Python client against the whole service, over lines that break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.support.audio import wav
from tests.support.stack import OpenStack, Stack, client_view

from agentroute.client import (
    AgentRouteClient,
    AsyncAgentRouteClient,
    Conflict,
    NotFound,
    Run,
    approve,
    decline,
    file_part,
    text_part,
    tool_result,
)


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with open_stack(files={"url": tmp_path_factory.mktemp("files").as_uri()}) as stack:
        yield stack


@pytest.fixture
def token(stack: Stack) -> str:
    """Of the user ada."""
    return stack.apis[0].client("ada").headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[FaultProxy]:
    """A line to the service that can be cut."""
    async with fault_proxy("127.0.0.1", urlsplit(stack.apis[0].url).port or 0) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: FaultProxy, token: str) -> AsyncIterator[AsyncAgentRouteClient]:
    async with AsyncAgentRouteClient(
        f"http://127.0.0.1:{proxy.port}", token=token, max_pause_seconds=0
    ) as client:
        yield client


async def test_a_line_that_is_cut_at_every_event_loses_and_repeats_nothing(
    stack: Stack, proxy: FaultProxy, client: AsyncAgentRouteClient
) -> None:
    run = await client.run("think about 6 and calculate 6*7")
    cursors: list[str | None] = []
    async for event in run:
        cursors.append(event.cursor)
        proxy.cut()

    log = await stack.log(run.thread_id)
    assert cursors == [f"{row['ordinal']}-{row['seq']}" for row in log]
    assert (await run.result()).text == "The calculator says that 6*7 = 42."
    proxy.cut()
    connected = [event.cursor async for event in client.events(run.thread_id, connect=True)]
    assert connected[-1] == cursors[-1]


def _answer_and_cut(url: str, token: str, thread: str, cut: Callable[[], None]) -> list[str]:
    """Use the synchronous client as a script does; returns the texts."""
    with AgentRouteClient(url, token=token, max_pause_seconds=0) as client:
        first = client.run("remember that I like tea", thread_id=thread)
        _read(first, cut)
        with pytest.raises(Conflict) as refused:
            client.run("hello", thread_id=thread)
        assert refused.value.code == "interrupt-open"
        result = first.result()
        again = client.resume(thread, [approve(each) for each in result.interrupts])
        _read(again, cut)
        return [result.outcome.type, again.result().text]


def _read(run: Run, cut: Callable[[], None]) -> None:
    for number, _ in enumerate(run):
        if number % 3 == 0:
            cut()


async def test_the_synchronous_client_answers_a_question_over_a_line_that_breaks(
    stack: Stack, proxy: FaultProxy, token: str
) -> None:
    thread = stack.new_id("thread")
    url = f"http://127.0.0.1:{proxy.port}"

    def cut() -> None:
        anyio.from_thread.run_sync(proxy.cut)

    texts = await anyio.to_thread.run_sync(_answer_and_cut, url, token, thread, cut)

    assert texts == ["interrupt", "I asked the memory tool to keep “I like tea”. It answered: Remembered."]
    assert [row["attempt"] for row in await stack.runs(thread)] == [1, 1]
    history = await stack.history(thread)
    assert history["messages"] == await client_view(stack, thread)


async def test_a_thread_is_followed_over_its_runs_and_the_greatest_age_of_a_stream(
    stack: Stack, token: str
) -> None:
    # A stream of this process lives for a moment: each ends in order, without the last event.
    brief = await stack.start_api(stream={"max_age_seconds": 0.05})
    try:
        async with AsyncAgentRouteClient(brief.url, token=token, max_pause_seconds=0) as client:
            thread = stack.new_id("thread")
            await stack.stream_run("hello", thread=thread)
            seen: list[str] = []
            asked: set[str] = set()
            async with client.events(thread, cursor="1-0") as events:
                async for event in events:
                    if event.cursor is None:
                        asked.add(event.raw["value"]["messages"][0]["content"])
                        continue
                    seen.append(event.type)
                    if event.type == "RUN_FINISHED" and seen.count("RUN_FINISHED") == 1:
                        await client.run("think about 6", thread_id=thread)
                    elif event.type == "RUN_FINISHED":
                        break
            assert len(seen) == len(await stack.log(thread))
            assert asked == {"hello", "think about 6"}
    finally:
        await stack.stop_api(brief)


async def test_a_run_is_cancelled_and_its_thread_renamed_found_and_deleted(
    client: AsyncAgentRouteClient,
) -> None:
    run = await client.run("slowly")
    async for event in run:
        if event.type == "TEXT_MESSAGE_CONTENT":
            await run.cancel()
            break
    assert (await run.result()).outcome.type == "cancelled"
    assert (await client.run_status(run.thread_id, run.run_id)).ended_at is not None
    assert (await client.why(run.thread_id, run.run_id)).cause == "cancelled"
    await client.rename_thread(run.thread_id, "Quokkas")
    assert [each.thread_id for each in (await client.threads("quokka")).threads] == [run.thread_id]
    assert [each.run_id for each in (await client.thread_runs(run.thread_id)).runs] == [run.run_id]
    assert [each["role"] async for each in client.all_messages(run.thread_id)] == ["assistant", "user"]
    assert (await client.usage(group_by="thread")).totals.calls >= 1
    await client.delete_thread(run.thread_id)
    with pytest.raises(NotFound):
        await client.history(run.thread_id)


async def test_files_speech_and_tools_of_the_client(client: AsyncAgentRouteClient) -> None:
    file = await client.upload(b"Tea is at four.", name="note.txt")
    assert await client.download(file.file_id) == b"Tea is at four."
    said = await client.ask([text_part("what is this"), file_part(file)])
    assert said.outcome.type == "success"
    heard = await client.transcribe(wav(), language="en")
    assert heard.text
    tool = {"name": "theme", "description": "Sets the theme.", "parameters": {"type": "object"}}
    asked = await client.ask("call the tool theme with {}", tools=[tool])
    (call,) = asked.pending_tool_call_ids
    told = await client.run(thread_id=asked.thread_id, messages=[tool_result(call, "dark")], tools=[tool])
    assert "dark" in (await told.result()).text
    question = await client.ask("remember that I like tea", thread_id=asked.thread_id)
    no = await client.resume(asked.thread_id, [decline(each) for each in question.interrupts])
    assert (await no.result()).outcome.type == "success"
