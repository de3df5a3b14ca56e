"""The service on a real LiteLLM proxy: streams, tool calls, counts, costs to the last digit, and failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from tests.support.litellm_proxy import KEY, Price, Proxy
from tests.support.stack import OpenStack, Reply, Row, Stack, assert_valid

from agentroute.demo.script import decide
from agentroute.demo.wire import usage_of
from agentroute.preflight import check_model

# The first test waits for the installation and the start.
pytestmark = pytest.mark.slow

MODEL = "gpt-5-mini"


@pytest.fixture(scope="module")
async def routed(open_stack: OpenStack, proxy: Proxy) -> AsyncIterator[Stack]:
    """The service with the proxy as its model."""
    async with open_stack(model={"base_url": proxy.url, "api_key": KEY, "name": MODEL}) as stack:
        yield stack


async def ledger(stack: Stack, thread: str) -> list[Row]:
    return await stack.fetch(
        """SELECT c.* FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk
        JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1 ORDER BY c.id""",
        thread,
    )


async def assert_costs_are_exact(stack: Stack, thread: str, price: Price) -> list[Row]:
    """Compare the ledger, the messages, the run and the thread with tokens times the configured price."""
    calls = await ledger(stack, thread)
    for call in calls:
        assert (call["cost"], call["cost_source"], call["estimated"]) == (price.of(call), "stream", False)
    by_message = {call["message_id"]: price.of(call) for call in calls if call["message_id"]}
    history = await stack.history(thread)
    told = {
        message["id"]: Decimal(message["metadata"]["cost"])
        for message in history["messages"]
        if message["role"] == "assistant"
    }
    assert told == by_message
    total = sum(price.of(call) for call in calls)
    assert total > 0
    assert Decimal(history["usage"]["cost"]) == total
    assert history["usage"]["costComplete"] is True
    assert sum(run["cost"] for run in await stack.runs(thread)) == total
    return calls


def thread_of(reply: Reply) -> str:
    return reply.events[0]["threadId"]


async def test_an_answer_streams_through_the_proxy_as_the_model_wrote_it(routed: Stack, proxy: Proxy) -> None:
    text = "think about the weather"
    reply = await routed.stream_run(text)

    assert_valid(reply.events)
    assert reply.end["outcome"] == {"type": "success"}
    script = decide(proxy.upstream.asked(text)[-1])
    assert reply.text == script.text
    reasoning = "".join(event["delta"] for event in reply.of("REASONING_MESSAGE_CONTENT"))
    assert reasoning == script.reasoning != ""


async def test_costs_are_tokens_times_the_configured_price_to_the_last_digit(
    routed: Stack, proxy: Proxy
) -> None:
    thread = routed.new_id("cost")
    texts = [f"hello to {thread}", "think, then calculate 6*7", "tell me about rivers and lakes"]
    for text in texts:
        await routed.stream_run(text, thread=thread)

    calls = await assert_costs_are_exact(routed, thread, proxy.prices[MODEL])
    assert any(call["cached_input_tokens"] for call in calls), "no call shows the price of the cache"
    # The upstream's own counts, not the proxy's guess.
    usages = [usage_of(body, decide(body)) for body in proxy.upstream.asked(thread)]
    assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == [
        (usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages
    ]


async def test_each_model_has_its_own_price(open_stack: OpenStack, proxy: Proxy) -> None:
    model: dict[str, Any] = {"base_url": proxy.url, "api_key": KEY, "name": "gpt-5-nano"}
    async with open_stack(model=model) as nano:
        thread = thread_of(await nano.stream_run("calculate 6*7"))
        await assert_costs_are_exact(nano, thread, proxy.prices["gpt-5-nano"])
    assert proxy.prices["gpt-5-nano"] != proxy.prices[MODEL]


async def test_parallel_tool_calls_keep_their_names_and_arguments(routed: Stack, proxy: Proxy) -> None:
    reply = await routed.stream_run("calculate 6*7 and also calculate 123456789*987654321")

    assert_valid(reply.events)
    started = reply.of("TOOL_CALL_START")
    assert [event["toolCallName"] for event in started] == ["calculate", "calculate"]
    assert len({event["parentMessageId"] for event in started}) == 1
    results = {event["toolCallId"]: event["content"] for event in reply.of("TOOL_CALL_RESULT")}
    assert [results[event["toolCallId"]] for event in started] == ["42", "121932631112635269"]
    await assert_costs_are_exact(routed, thread_of(reply), proxy.prices[MODEL])


async def test_an_unknown_model_is_named_as_the_reason(open_stack: OpenStack, proxy: Proxy) -> None:
    async with open_stack(model={"base_url": proxy.url, "api_key": KEY, "name": "no-such-model"}) as lost:
        reply = await lost.stream_run("hello")

        assert_valid(reply.events)
        assert reply.end["code"] == "model-unavailable"
        assert "was not found" in reply.end["message"]
        assert await ledger(lost, thread_of(reply)) == []


@pytest.mark.parametrize(
    ("wish", "code", "said"),
    [
        ("fail 429", "model-unavailable", "busy"),
        ("fail 500", "model-unavailable", "not available"),
        ("fail 503", "model-unavailable", "not available"),
        ("fail mid", "model-stream-error", "cut off"),
        ("fail error", "model-stream-error", "cut off"),
    ],
)
async def test_a_failure_behind_the_proxy_ends_the_run_with_a_clear_error(
    routed: Stack, proxy: Proxy, wish: str, code: str, said: str
) -> None:
    before = len(proxy.upstream.asked(wish))
    reply = await routed.stream_run(wish)

    assert_valid(reply.events)
    assert (reply.end["type"], reply.end["code"]) == ("RUN_ERROR", code)
    assert said in reply.end["message"]
    assert "litellm" not in reply.end["message"].lower()
    # One try: the proxy has no tries of its own.
    assert len(proxy.upstream.asked(wish)) - before == 1
    calls = await ledger(routed, thread_of(reply))
    broke_off = code == "model-stream-error"
    assert [(call["outcome"], call["estimated"]) for call in calls] == [("failed", True)] * broke_off
    assert bool(reply.text) is broke_off


async def test_a_wrong_key_is_refused_and_the_operator_told(open_stack: OpenStack, proxy: Proxy) -> None:
    async with open_stack(model={"base_url": proxy.url, "api_key": "sk-wrong", "name": MODEL}) as stranger:
        reply = await stranger.stream_run("hello")

        assert reply.end["code"] == "model-unavailable"
        assert "AGENT_MODEL__API_KEY" in reply.end["message"]


async def test_the_doctor_knows_the_proxys_models(routed: Stack, open_stack: OpenStack, proxy: Proxy) -> None:
    assert (await check_model(routed.settings)).ok
    async with open_stack(
        apis=0, workers=0, model={"base_url": proxy.url, "api_key": KEY, "name": "no-such-model"}
    ) as lost:
        assert MODEL in (await check_model(lost.settings)).fix
