"""The chat model against a real socket: what comes out, what is booked, and what a caller may stop when."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from agentscope.message import AssistantMsg, ContentBlock, TextBlock, ToolCallBlock, ToolResultBlock, UserMsg
from agentscope.model import ChatResponse, FinishedReason
from agentscope.tool import ToolChoice
from pydantic import BaseModel
from tests.support.limits import HUNG_SECONDS

from core.agentscope.runtime.model import chat_exchange
from core.agentscope.runtime.model.chat_errors import ModelRejected
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}

# The types of the fixtures are in the conftest of this directory, which importlib mode keeps out of reach.
Endpoint = Any
SetUp = Any


def texts(responses: list[ChatResponse]) -> list[str]:
    return [
        block.text for response in responses for block in response.content if isinstance(block, TextBlock)
    ]


async def test_a_text_answer_with_its_counts(endpoint: Endpoint, set_up: SetUp) -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "cost": 0.000811,
    }
    endpoint.stream(*endpoint.text("Hel", "lo"), endpoint.usage(**details))
    setup = set_up()
    *_, last = await setup.ask()
    assert last.is_last
    assert texts([last]) == ["Hello"]
    (record,) = setup.records
    assert record.model_dump(exclude={"call_id", "kind", "message_id"}) == {
        "stage": "execution",
        "provider": "127.0.0.1",
        "model": "m-1",
        "input_tokens": 11,
        "output_tokens": 7,
        "cached_input_tokens": 4,
        "cache_write_tokens": 0,
        "reasoning_tokens": 3,
        "estimated": False,
        "cost": Decimal("0.000811"),
        "currency": "USD",
        "cost_source": "stream",
        "latency_ms": 0,
        "ttft_ms": 0,
        "finish_reason": "stop",
        "outcome": "completed",
    }
    assert last.usage is not None
    assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.cache_input_tokens) == (11, 7, 4)
    assert last.usage.metadata is not None
    assert last.usage.metadata["finish_reason"] == "stop"
    assert last.usage.metadata["call_id"] == record.call_id


async def test_the_request(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(*endpoint.text("a"))
    setup = set_up(
        options={"parameters": OpenAICompatibleChatModel.Parameters(temperature=0.5, max_tokens=9)}
    )
    await setup.ask(tools=[TOOL], tool_choice=ToolChoice(mode="add"))
    (received,) = endpoint.received
    assert received.headers["authorization"] == "Bearer sk-test-0123456789"
    assert received.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 9,
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
    }


async def test_deltas_that_arrive_together_come_out_together(endpoint: Endpoint, set_up: SetUp) -> None:
    head, *frames = endpoint.stream_steps(*endpoint.text(*"abcdefgh"))
    endpoint.script(head, b"".join(frames))
    responses = await set_up().ask()
    assert texts(responses) == ["abcdefgh"] * 2


async def test_a_delta_is_not_held_back(endpoint: Endpoint, set_up: SetUp) -> None:
    go_on = asyncio.Event()
    head, first, *rest = endpoint.stream_steps(*endpoint.text("a", "b"))
    endpoint.script(head, first, go_on, *rest)
    stream: Any = await set_up().model([UserMsg(name="user", content="hi")])
    async with asyncio.timeout(HUNG_SECONDS):
        assert texts([await anext(stream)]) == ["a"]
        go_on.set()
        assert texts([response async for response in stream]) == ["b", "ab"]


async def test_a_reader_that_is_slow_stops_the_sender_and_loses_nothing(
    endpoint: Endpoint, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_exchange, "_MAX_UNREAD_BYTES", 1000)
    # A connection reads 128 KiB ahead.
    pieces = [f"{number:01000}" for number in range(1000)]
    endpoint.stream(*endpoint.text(*pieces))
    stream: Any = await set_up().model([UserMsg(name="user", content="hi")])
    received: list[ChatResponse] = []
    async with asyncio.timeout(HUNG_SECONDS):
        async for response in stream:
            received.append(response)
            for _ in range(20):
                await asyncio.sleep(0)
    *parts, whole = texts(received)
    assert "".join(parts) == whole == "".join(pieces)
    assert max(map(len, parts)) < 256 << 10


async def test_times_are_of_the_clock(endpoint: Endpoint, set_up: SetUp) -> None:
    now = iter(range(1000))
    endpoint.stream(*endpoint.text("a"), endpoint.usage())
    setup = set_up(services={"clock": lambda: float(next(now))})
    *_, last = await setup.ask()
    (record,) = setup.records
    assert record.ttft_ms is not None
    assert 0 < record.ttft_ms < record.latency_ms
    assert last.usage is not None
    assert last.usage.time == record.latency_ms / 1000


async def test_cost_from_the_price_table(endpoint: Endpoint, set_up: SetUp, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"m-1": {"input": "2", "output": "10"}}}))
    endpoint.stream(*endpoint.text("a"), endpoint.usage(1000, 100))
    setup = set_up(prices_path=prices)
    await setup.ask()
    assert (setup.records[0].cost, setup.records[0].cost_source) == (Decimal("0.003"), "price-table")


async def test_cost_by_the_name_that_was_asked_for(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(*endpoint.text("a"), endpoint.usage())
    setup = set_up(options={"model": "demo"})
    await setup.ask()
    assert (setup.records[0].model, setup.records[0].cost) == ("m-1", Decimal(0))


async def test_an_unknown_cost_is_unknown(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(*endpoint.text("a"), endpoint.usage(), x_litellm_response_cost="0.5")
    setup = set_up()
    await setup.ask()
    assert (setup.records[0].cost, setup.records[0].cost_source) == (None, "unknown")


async def test_an_endpoint_that_does_not_count_is_estimated(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(*endpoint.text("12345678", "9"))
    setup = set_up()
    *_, last = await setup.ask(UserMsg(name="user", content="1234567"))
    (record,) = setup.records
    assert (record.estimated, record.input_tokens, record.output_tokens) == (True, 2, 3)
    assert (last.usage.input_tokens, last.usage.output_tokens) == (2, 3)


async def test_an_endpoint_that_answers_in_one_piece(endpoint: Endpoint, set_up: SetUp) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": "a", "reasoning_content": "hm", "tool_calls": [call]}
    counts = {"prompt_tokens": 3, "completion_tokens": 4}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    endpoint.answer(
        200, {"model": "m-2", "choices": choices, "usage": counts}, x_litellm_response_cost="1.3e-05"
    )
    setup = set_up()
    *_, last = await setup.ask()
    assert [block.type for block in last.content] == ["thinking", "text", "tool_call"]
    (record,) = setup.records
    assert (record.cost, record.cost_source, record.model) == (Decimal("0.000013"), "header", "m-2")
    assert (record.finish_reason, record.output_tokens) == ("tool_calls", 4)


async def test_a_compressed_answer(endpoint: Endpoint, set_up: SetUp) -> None:
    body = b"".join(b"data: %s\n\n" % orjson.dumps(document) for document in endpoint.text("a", "b"))
    endpoint.answer(200, gzip.compress(body), "text/event-stream", content_encoding="gzip")
    assert texts(await set_up().ask()) == ["ab"] * 2


async def test_a_connection_is_used_again(endpoint: Endpoint, set_up: SetUp) -> None:
    for _ in range(3):
        endpoint.stream(*endpoint.text("a"))
    endpoint.answer(400, {"error": {"message": "no"}})
    endpoint.stream(*endpoint.text("a"))
    setup = set_up()
    for _ in range(3):
        await setup.ask()
    with pytest.raises(ModelRejected):
        await setup.ask()
    await setup.ask()
    assert [received.connection for received in endpoint.received] == [1] * 5


async def test_an_id_that_the_conversation_has_used_is_replaced(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.stream(endpoint.call(0, "call_0", "add", "{}"), endpoint.chunk(finish="tool_calls"))
    used: list[ContentBlock] = [
        ToolCallBlock(id="call_0", name="add", input="{}"),
        ToolResultBlock(id="call_0", name="add", output="1"),
    ]
    *_, last = await set_up().ask(AssistantMsg(name="assistant", content=used))
    assert last.content[0].id.startswith("call_")
    assert last.content[0].id != "call_0"


# --- stopping ------------------------------------------------------------------


async def test_cancelling_closes_the_connection_and_books_an_estimate(
    endpoint: Endpoint, set_up: SetUp
) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "12345"}), end=False), "hang")
    setup = set_up()
    shown = asyncio.Event()
    received: list[ChatResponse] = []

    async def run() -> None:
        async for response in await setup.model([UserMsg(name="user", content="hi")]):
            received.append(response)
            shown.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(HUNG_SECONDS):
        await shown.wait()
        task.cancel()
        # AgentScope's base class ends the stream instead of raising; the agent raises later.
        await task
        await endpoint.left.wait()
    assert received[-1].finished_reason == FinishedReason.INTERRUPTED
    assert texts(received) == ["12345"] * 2
    (record,) = setup.records
    assert (record.outcome, record.estimated, record.output_tokens) == ("cancelled", True, 2)
    assert record.finish_reason is None


async def test_cancelling_before_the_answer_is_booked_too(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script("hang")
    setup = set_up()
    task = asyncio.create_task(setup.ask())
    async with asyncio.timeout(HUNG_SECONDS):
        await endpoint.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await endpoint.left.wait()
    (record,) = setup.records
    assert (record.outcome, record.input_tokens, record.output_tokens) == ("cancelled", 1, 0)
    assert record.ttft_ms is None


async def test_cancelling_a_call_that_was_not_sent_books_nothing(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script("hang")
    setup = set_up(max_connections=1)
    first, second = (asyncio.create_task(setup.ask()) for _ in range(2))
    async with asyncio.timeout(HUNG_SECONDS):
        await endpoint.arrived.wait()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert setup.records == []
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert len(setup.records) == 1
    assert len(endpoint.received) == 1


async def test_a_cancelled_call_gives_its_place_in_the_pool_back(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "a"}), end=False), "hang")
    endpoint.stream(*endpoint.text("b"))
    setup = set_up(max_connections=1)
    task = asyncio.create_task(setup.ask())
    async with asyncio.timeout(HUNG_SECONDS):
        await endpoint.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert texts(await setup.ask()) == ["b"] * 2


async def test_a_stream_that_is_closed_early_ends_the_call(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "a"}), end=False), "hang")
    setup = set_up()
    stream: Any = await setup.model._call_api("m", [UserMsg(name="user", content="hi")])
    async with asyncio.timeout(HUNG_SECONDS):
        await anext(stream)
        await stream.aclose()
        await endpoint.left.wait()
    assert [record.outcome for record in setup.records] == ["cancelled"]


async def test_a_stream_that_is_dropped_ends_the_call(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.script(*endpoint.stream_steps(endpoint.chunk({"content": "a"}), end=False), "hang")
    setup = set_up()
    stream: Any = await setup.model([UserMsg(name="user", content="hi")])
    async with asyncio.timeout(HUNG_SECONDS):
        await anext(stream)
        del stream
        gc.collect()
        await endpoint.left.wait()
    assert [record.outcome for record in setup.records] == ["cancelled"]


async def test_a_stream_that_nobody_reads_sends_nothing(endpoint: Endpoint, set_up: SetUp) -> None:
    setup = set_up()
    stream: Any = await setup.model._call_api("m", [UserMsg(name="user", content="hi")])
    await stream.aclose()
    assert endpoint.received == []
    assert setup.records == []


# --- structured output ---------------------------------------------------------


class Intent(BaseModel):
    kind: str
    steps: list[str]


async def test_structured_output_by_a_forced_tool_call(endpoint: Endpoint, set_up: SetUp) -> None:
    name = "generate_structured_output"
    endpoint.stream(
        endpoint.call(0, "c1", name, '{"kind":"task",'),
        endpoint.call(0, None, None, '"steps":["a"]}'),
        endpoint.chunk(finish="tool_calls"),
        endpoint.usage(),
    )
    setup = set_up(options={"stage": "intent"})
    response = await setup.model.generate_structured_output([UserMsg(name="user", content="hi")], Intent)
    assert response.content == {"kind": "task", "steps": ["a"]}
    assert response.usage is not None
    assert response.usage.input_tokens == 11
    assert endpoint.received[0].body["tool_choice"] == {"type": "function", "function": {"name": name}}
    assert [(record.stage, record.outcome) for record in setup.records] == [("intent", "completed")]


async def test_a_model_that_refuses_a_forced_call_is_asked_freely(endpoint: Endpoint, set_up: SetUp) -> None:
    endpoint.answer(400, {"error": {"message": "tool_choice is not supported while thinking"}})
    endpoint.stream(
        endpoint.call(0, "c1", "generate_structured_output", '{"kind":"chat","steps":[]}'),
        endpoint.chunk(finish="tool_calls"),
    )
    setup = set_up()
    response = await setup.model.generate_structured_output([UserMsg(name="user", content="hi")], Intent)
    assert response.content["kind"] == "chat"
    assert "tool_choice" not in endpoint.received[1].body
    assert len(setup.records) == 1
