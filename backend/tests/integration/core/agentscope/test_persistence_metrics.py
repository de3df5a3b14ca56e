"""What every message, model call, run and thread cost and took: kept, summed, and the same wherever it is told."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.stack import DemoModel, OpenStack, Reply, Row, Stack, Web, eventually

from agentroute import migrations
from agentroute.demo import model as demo_model
from agentroute.demo.script import decide
from agentroute.demo.wire import usage_of
from agentroute.schema_state import schema
from core.agentscope.runtime.agent import toolkit

METRICS = (
    "model",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cost",
    "currency",
    "latency_ms",
    "ttft_ms",
    "finish_reason",
)
SUMS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
THREE_CALLS = "think about it, then calculate 6*7"
"""The intent, the call of the tool, and the answer."""


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, with_intent: Path) -> AsyncIterator[Stack]:
    """With the intent stage: a run has calls of more than one kind."""
    async with open_stack(profile_path=with_intent) as stack:
        yield stack


async def ledger(stack: Stack, thread: str) -> list[Row]:
    return await stack.fetch(
        """SELECT c.*, r.run_id FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk
        JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1 ORDER BY r.id, c.id""",
        thread,
    )


async def message_rows(stack: Stack, thread: str) -> list[Row]:
    return await stack.fetch(
        """SELECT m.* FROM agent_chat_message AS m JOIN agent_chat_session AS s ON s.id = m.session_id
        WHERE s.thread_id = $1 ORDER BY m.position""",
        thread,
    )


async def thread_row(stack: Stack, thread: str) -> Row:
    (row,) = await stack.fetch("SELECT * FROM agent_chat_session WHERE thread_id = $1", thread)
    return row


def reported(stack: Stack, text: str) -> list[dict[str, Any]]:
    """Return what the model said it counted, call by call."""
    return [usage_of(body, decide(body)) for body in stack.demo.asked(text)]


def tokens(usage: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
    )


def sums(rows: Iterable[Row]) -> dict[str, int]:
    found = list(rows)
    return {name: sum(row[name] for row in found) for name in SUMS}


def thread_of(reply: Reply) -> str:
    return reply.events[0]["threadId"]


def run_of(reply: Reply) -> str:
    return reply.events[0]["runId"]


async def assert_totals_are_the_ledgers(stack: Stack, thread: str) -> None:
    """Compare the sums kept on runs and thread, and those told over HTTP, with the ledger's lines."""
    calls = await ledger(stack, thread)
    for run in await stack.runs(thread):
        own = [call for call in calls if call["run_pk"] == run["id"]]
        costs = [call["cost"] for call in own if call["cost"] is not None]
        assert sums([run]) == sums(own)
        assert run["model_ms"] == sum(call["latency_ms"] for call in own)
        assert run["cost"] == (sum(costs) if costs else None)
        assert run["unknown_cost_calls"] == len(own) - len(costs)
    row = await thread_row(stack, thread)
    known = [call["cost"] for call in calls if call["cost"] is not None]
    assert sums([row]) == sums(calls)
    assert row["cost"] == (sum(known) if known else None)
    assert row["unknown_cost_calls"] == len(calls) - len(known)
    told = (await stack.history(thread))["usage"]
    assert {
        name: told[name] for name in ("inputTokens", "outputTokens", "cachedInputTokens", "reasoningTokens")
    } == {
        "inputTokens": row["input_tokens"],
        "outputTokens": row["output_tokens"],
        "cachedInputTokens": row["cached_input_tokens"],
        "reasoningTokens": row["reasoning_tokens"],
    }
    assert told.get("cost") is None if row["cost"] is None else Decimal(told["cost"]) == row["cost"]
    assert told["costComplete"] is (row["unknown_cost_calls"] == 0)


async def assert_messages_carry_their_calls(stack: Stack, thread: str) -> None:
    """Compare the columns and the metadata of each assistant message with the calls that wrote it."""
    calls = {call["message_id"]: call for call in await ledger(stack, thread) if call["message_id"]}
    rows = await message_rows(stack, thread)
    messages = (await stack.history(thread))["messages"]
    assert [row["message_id"] for row in rows] == [message["id"] for message in messages]
    for row, message in zip(rows, messages, strict=True):
        if row["role"] != "assistant":
            assert all(row[name] is None for name in METRICS), row
            continue
        call = calls.pop(row["message_id"])
        assert {name: row[name] for name in METRICS} == {name: call[name] for name in METRICS}
        expected = {
            "model": row["model"],
            "inputTokens": row["input_tokens"],
            "outputTokens": row["output_tokens"],
            "latencyMs": row["latency_ms"],
            "ttftMs": row["ttft_ms"],
            "finishReason": row["finish_reason"],
            "currency": row["currency"] if row["cost"] is not None else None,
            "incomplete": row["incomplete"] or None,
            "cachedInputTokens": call["cached_input_tokens"] or None,
            "reasoningTokens": call["reasoning_tokens"] or None,
        }
        metadata = dict(message["metadata"])
        cost = metadata.pop("cost", None)
        assert metadata == {name: value for name, value in expected.items() if value is not None}
        assert row["cost"] == (None if cost is None else Decimal(cost))
    assert calls == {}, "a call claims a message that is not there"


async def test_every_model_call_is_in_the_ledger_as_the_model_counted_it(stack: Stack) -> None:
    thread = stack.new_id("metrics")
    text = f"{THREE_CALLS} for {thread}"
    await stack.stream_run(text, thread=thread)

    calls = await ledger(stack, thread)
    usages = reported(stack, text)
    assert len(usages) == 3
    assert [tuple(call[name] for name in SUMS) for call in calls] == [tokens(usage) for usage in usages]
    assert [call["stage"] for call in calls] == ["intent", "execution", "execution"]
    assert [call["finish_reason"] for call in calls] == ["tool_calls", "tool_calls", "stop"]
    assert calls[1]["reasoning_tokens"] > 0
    assert calls[2]["cached_input_tokens"] > 0
    for call in calls:
        assert (call["provider"], call["model"]) == ("127.0.0.1", "demo")
        assert (call["cost"], call["currency"], call["cost_source"]) == (Decimal(0), "USD", "stream")
        assert (call["outcome"], call["estimated"]) == ("completed", False)
        assert 0 <= call["ttft_ms"] <= call["latency_ms"]
    assert calls[2]["latency_ms"] > 0


async def test_messages_runs_and_thread_agree_with_the_ledger(stack: Stack) -> None:
    thread = stack.new_id("metrics")
    for text in (THREE_CALLS, "hello", "what time is it and also calculate 6*7"):
        await stack.stream_run(text, thread=thread)

    assert len(await ledger(stack, thread)) == 8
    await assert_totals_are_the_ledgers(stack, thread)
    await assert_messages_carry_their_calls(stack, thread)


async def test_the_terminal_event_tells_the_runs_usage_and_only_that(stack: Stack) -> None:
    thread = stack.new_id("metrics")
    await stack.stream_run("hello", thread=thread)
    reply = await stack.stream_run(THREE_CALLS, thread=thread)

    own = sums(call for call in await ledger(stack, thread) if call["run_id"] == run_of(reply))
    (usage,) = reply.end["usage"]
    assert usage == {
        "provider": "127.0.0.1",
        "model": "demo",
        "inputTokens": own["input_tokens"],
        "outputTokens": own["output_tokens"],
        "totalTokens": own["input_tokens"] + own["output_tokens"],
        "reasoningTokens": own["reasoning_tokens"],
        "cachedInputTokens": own["cached_input_tokens"],
    }
    status = await stack.run_status(thread, run_of(reply))
    assert status["usage"]["inputTokens"] == own["input_tokens"]
    assert status["usage"]["outputTokens"] == own["output_tokens"]


async def test_a_runs_times_are_in_order_and_told(stack: Stack) -> None:
    reply = await stack.stream_run(THREE_CALLS)
    (run,) = await stack.runs(thread_of(reply))

    assert run["created_at"] <= run["started_at"] <= run["first_token_at"] <= run["ended_at"]
    status = await stack.run_status(thread_of(reply), run_of(reply))
    assert 0 <= status["queueMs"] <= status["ttftMs"] <= status["totalMs"]
    assert status["modelMs"] == run["model_ms"]
    assert 0 < status["modelMs"] <= status["totalMs"]
    assert status["attempt"] == 1
    assert "errorCode" not in status


async def test_a_runs_tool_time_is_told_beside_its_model_time(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=2)
    monkeypatch.setattr(toolkit, "monotonic", lambda: float(next(ticks)))
    reply = await stack.stream_run(THREE_CALLS)

    # One call: its beginning, and two seconds later each piece of its result.
    (run,) = await stack.runs(thread_of(reply))
    assert run["tool_ms"] in (2000, 4000)
    assert (await stack.run_status(thread_of(reply), run_of(reply)))["toolMs"] == run["tool_ms"]

    no_tools = await stack.stream_run("hello")
    assert (await stack.run_status(thread_of(no_tools), run_of(no_tools)))["toolMs"] == 0


async def test_a_parked_run_and_its_continuation_each_tell_their_own_calls(stack: Stack, web: Web) -> None:
    thread = stack.new_id("metrics")
    parked = await stack.stream_run(f"fetch {web.url}/metrics", thread=thread)
    answer = {
        "interruptId": parked.interrupts[0]["id"],
        "status": "resolved",
        "payload": {"approved": True},
    }
    resumed = await stack.resume(thread, [answer])

    calls = await ledger(stack, thread)
    assert [call["stage"] for call in calls] == ["intent", "execution", "execution"]
    assert resumed.end["usage"][0]["inputTokens"] == calls[2]["input_tokens"]
    await assert_totals_are_the_ledgers(stack, thread)
    await assert_messages_carry_their_calls(stack, thread)


# --- costs --------------------------------------------------------------------------


def report_cost(monkeypatch: pytest.MonkeyPatch, *costs: str | None) -> None:
    """Make the model charge its next calls these costs; ``None`` is a model that does not say."""
    left = iter(costs)

    def usage(body: Mapping[str, Any], script: Any) -> dict[str, Any]:
        counts = usage_of(body, script) | {"cost": next(left)}
        return {name: value for name, value in counts.items() if value is not None}

    monkeypatch.setattr(demo_model, "usage_of", usage)


async def test_costs_are_kept_to_the_last_digit(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    report_cost(monkeypatch, "0.000811", "0.1", "0.000000000002")
    thread = thread_of(await stack.stream_run(THREE_CALLS))

    assert (await thread_row(stack, thread))["cost"] == Decimal("0.100811000002")
    assert (await stack.history(thread))["usage"]["cost"] == "0.100811000002"
    metadata = [
        message["metadata"]
        for message in (await stack.history(thread))["messages"]
        if message["role"] == "assistant"
    ]
    assert [Decimal(item["cost"]) for item in metadata] == [Decimal("0.1"), Decimal("0.000000000002")]
    await assert_totals_are_the_ledgers(stack, thread)
    await assert_messages_carry_their_calls(stack, thread)


async def test_an_unknown_cost_is_unknown_and_not_free(
    open_stack: OpenStack, with_intent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_cost(monkeypatch, None, None, None, "0.25", None, "0.5")
    async with open_stack(profile_path=with_intent, model={"name": "a-model-without-a-price"}) as own:
        thread = thread_of(await own.stream_run(THREE_CALLS))

        calls = await ledger(own, thread)
        assert {(call["cost"], call["cost_source"]) for call in calls} == {(None, "unknown")}
        told = (await own.history(thread))["usage"]
        assert (told.get("cost"), told["costComplete"]) == (None, False)
        await assert_totals_are_the_ledgers(own, thread)
        await assert_messages_carry_their_calls(own, thread)

        # A sum with an unknown part says so.
        await own.stream_run(THREE_CALLS, thread=thread)
        told = (await own.history(thread))["usage"]
        assert (told["cost"], told["costComplete"]) == ("0.75", False)
        await assert_totals_are_the_ledgers(own, thread)
        await assert_messages_carry_their_calls(own, thread)


async def test_a_price_table_gives_what_the_provider_does_not_say(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report_cost(monkeypatch, None, None)
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"demo": {"input": "2", "output": "10"}}}))
    async with open_stack(model={"prices_path": prices}) as own:
        thread = thread_of(await own.stream_run("hello"))

        for call in await ledger(own, thread):
            spent = 2 * Decimal(call["input_tokens"]) + 10 * Decimal(call["output_tokens"])
            assert (call["cost"], call["cost_source"]) == (spent / 1_000_000, "price-table")
        await assert_totals_are_the_ledgers(own, thread)
        await assert_messages_carry_their_calls(own, thread)


# --- calls that did not end well ------------------------------------------------------


async def test_a_cancelled_call_is_in_the_ledger_with_what_it_said(stack: Stack) -> None:
    body = stack.run_body("slowly")
    thread = body["threadId"]
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        await stack.cancel(thread, body["runId"])
        await stream.to_end()

    intent, call = await ledger(stack, thread)
    assert intent["outcome"] == "completed"
    assert (call["outcome"], call["estimated"], call["finish_reason"]) == ("cancelled", True, None)
    shown = "".join(event.get("delta", "") for event in stream.events)
    assert call["output_tokens"] >= len(shown) // 4 > 0
    assert call["input_tokens"] > 0
    assert call["ttft_ms"] is not None
    assert 0 < call["latency_ms"] < 10_000
    assert (await message_rows(stack, thread))[-1]["incomplete"] is True
    await assert_totals_are_the_ledgers(stack, thread)
    await assert_messages_carry_their_calls(stack, thread)


async def test_a_call_cancelled_before_its_first_byte_is_in_the_ledger_too(stack: Stack) -> None:
    body = stack.run_body("fail hang")
    thread = body["threadId"]
    before = len(stack.demo.asked("fail hang"))

    async def asked() -> bool:
        return len(stack.demo.asked("fail hang")) == before + 2

    async with stack.open_run(body=body) as stream:
        await eventually(asked)
        await stack.cancel(thread, body["runId"])
        await stream.to_end()

    _, call = await ledger(stack, thread)
    assert (call["outcome"], call["estimated"], call["ttft_ms"]) == ("cancelled", True, None)
    assert call["output_tokens"] == 0
    assert call["message_id"] not in {row["message_id"] for row in await message_rows(stack, thread)}
    await assert_totals_are_the_ledgers(stack, thread)


@pytest.mark.parametrize("wish", ["fail mid", "fail chunk", "fail error"])
async def test_a_call_that_broke_off_is_in_the_ledger_with_what_it_said(stack: Stack, wish: str) -> None:
    reply = await stack.stream_run(wish)
    thread = thread_of(reply)

    _, call = await ledger(stack, thread)
    assert (call["outcome"], call["estimated"], call["finish_reason"]) == ("failed", True, None)
    assert call["output_tokens"] == -(-len(reply.text.encode()) // 4)
    assert reply.end["usage"][0]["outputTokens"] == sums(await ledger(stack, thread))["output_tokens"]
    assert (await message_rows(stack, thread))[-1]["incomplete"] is True
    await assert_totals_are_the_ledgers(stack, thread)
    await assert_messages_carry_their_calls(stack, thread)


async def test_a_refused_call_costs_nothing_and_is_not_in_the_ledger(stack: Stack) -> None:
    reply = await stack.stream_run("fail")

    assert [call["stage"] for call in await ledger(stack, thread_of(reply))] == ["intent"]
    await assert_totals_are_the_ledgers(stack, thread_of(reply))


async def test_each_try_of_a_call_that_may_have_cost_something_is_in_the_ledger(
    open_stack: OpenStack,
) -> None:
    # No call of the run is to succeed: a busy machine may be slower.
    tries = {"max_retries": 1, "first_token_timeout_seconds": 2}
    async with open_stack(model=tries) as own:
        reply = await own.stream_run("fail hang")

        assert reply.end["code"] == "model-timeout"
        calls = await ledger(own, thread_of(reply))
        assert [(call["stage"], call["outcome"]) for call in calls] == [
            ("execution", "failed"),
            ("execution", "failed"),
        ]
        assert len({call["call_id"] for call in calls}) == 2
        await assert_totals_are_the_ledgers(own, thread_of(reply))


async def test_many_runs_at_once_mix_up_nothing(stack: Stack) -> None:
    threads = [stack.new_id("crowd") for _ in range(10)]
    texts = [f"think about {thread}, then calculate {place}*7" for place, thread in enumerate(threads)]

    await asyncio.gather(
        *(stack.stream_run(text, thread=thread) for text, thread in zip(texts, threads, strict=True))
    )

    for text, thread in zip(texts, threads, strict=True):
        calls = await ledger(stack, thread)
        assert [tuple(call[name] for name in SUMS) for call in calls] == [
            tokens(usage) for usage in reported(stack, text)
        ]
        await assert_totals_are_the_ledgers(stack, thread)
        await assert_messages_carry_their_calls(stack, thread)


# --- the schema -----------------------------------------------------------------------

_OBJECTS = """
SELECT 'relation ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
UNION SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION SELECT 'extension ' || extname FROM pg_extension
UNION SELECT 'schema ' || nspname FROM pg_namespace
"""


async def test_going_up_and_down_again_leaves_nothing_even_with_data(
    blank_database_url: str, open_stack: OpenStack
) -> None:
    async def objects() -> set[str]:
        connection = await asyncpg.connect(blank_database_url)
        try:
            return {row[0] for row in await connection.fetch(_OBJECTS)}
        finally:
            await connection.close()

    untouched = await objects()
    await migrations.upgrade(blank_database_url)
    async with open_stack(database_url=blank_database_url) as own:
        reply = await own.stream_run(THREE_CALLS)
        assert reply.end["outcome"] == {"type": "success"}

    await migrations.downgrade(blank_database_url, "base")
    left = await objects() - untouched
    # Alembic keeps its own, empty table.
    assert {item for item in left if "alembic_version" not in item} == set()
    await migrations.upgrade(blank_database_url)
    assert await migrations.current(blank_database_url) == schema().revision


async def test_ledger_and_message_name_the_model_that_answered(
    open_stack: OpenStack, demo: DemoModel, tmp_path: Path
) -> None:
    profile = tmp_path / "agent.toml"
    spare = f'fallback = {{ name = "spare", base_url = "{demo.url}", provider = "second" }}'
    stages = "".join(f"[models.{stage}]\n{spare}\n" for stage in ("intent", "execution"))
    profile.write_text(f'name = "Ada"\ndescription = "Helps."\n[stages]\nintent = "model"\n{stages}')
    nowhere = {"base_url": "http://127.0.0.1:9/v1", "name": "away"}
    async with open_stack(profile_path=profile, model=nowhere) as own:
        reply = await own.stream_run("hello")

        assert reply.end["outcome"] == {"type": "success"}
        assert [(usage["provider"], usage["model"]) for usage in reply.end["usage"]] == [("second", "spare")]
        thread = thread_of(reply)
        assert [(call["provider"], call["model"]) for call in await ledger(own, thread)] == [
            ("second", "spare")
        ] * 2
        assert (await own.history(thread))["messages"][-1]["metadata"]["model"] == "spare"
        await assert_totals_are_the_ledgers(own, thread)
