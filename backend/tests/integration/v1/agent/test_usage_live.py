"""``GET /usage`` from the outside: what the ledger says, for its owner alone, also after a thread is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.stack import OpenStack, Row, Stack

from core.agentscope.events.queries.usage_report import UsageReader
from core.agentscope.schemas.usage import UsagePeriod
from core.database import create_engine
from core.identity import Principal

SUMS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cachedInputTokens": "cached_input_tokens",
    "reasoningTokens": "reasoning_tokens",
    "modelMs": "latency_ms",
}
TWO_CALLS = "hello"
"""The intent and the answer."""


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, with_intent: Path) -> AsyncIterator[Stack]:
    """With the intent stage: each run makes two calls."""
    async with open_stack(profile_path=with_intent) as stack:
        yield stack


@pytest.fixture
async def user(stack: Stack) -> str:
    """A user who has used nothing."""
    return stack.new_id("spender")


async def usage(stack: Stack, user: str, **params: str) -> dict[str, Any]:
    reply = await stack.request("GET", "/usage", user=user, params=params)
    assert reply.status == 200, reply.body
    return reply.json


async def lines(stack: Stack, user: str) -> list[Row]:
    return await stack.fetch("SELECT * FROM agent_model_call WHERE user_id = $1 ORDER BY id", user)


async def execute(stack: Stack, sql: str, *values: Any) -> None:
    connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
    try:
        await connection.execute(sql, *values)
    finally:
        await connection.close()


def assert_sums(told: dict[str, Any], rows: list[Row]) -> None:
    assert {name: told[name] for name in SUMS} == {
        name: sum(row[column] for row in rows) for name, column in SUMS.items()
    }
    known = [row["cost"] for row in rows if row["cost"] is not None]
    assert told["calls"] == len(rows)
    assert told["unknownCostCalls"] == len(rows) - len(known)
    assert (told["cost"] is None) if not known else Decimal(told["cost"]) == sum(known)


async def test_a_user_without_calls_has_used_nothing(stack: Stack, user: str) -> None:
    found = await usage(stack, user)

    nothing = dict.fromkeys(SUMS, 0) | {
        "calls": 0,
        "estimatedCalls": 0,
        "cacheWriteTokens": 0,
        "cost": None,
        "unknownCostCalls": 0,
        "latencyMs": None,
        "ttftMs": None,
    }
    assert found["totals"] == nothing
    assert (found["rows"], found["truncated"], found["groupBy"]) == ([], False, "day")
    assert found["transcriptions"] == {
        "totals": {"calls": 0, "audioMs": 0, "cost": None, "unknownCostCalls": 0},
        "rows": [],
    }
    start, end = datetime.fromisoformat(found["from"]), datetime.fromisoformat(found["to"])
    assert end - start == timedelta(days=30)


async def test_totals_and_rows_are_the_ledgers_whatever_they_are_grouped_by(stack: Stack, user: str) -> None:
    threads = [stack.new_id("used") for _ in range(2)]
    for thread in (*threads, threads[0]):
        await stack.stream_run(TWO_CALLS, user=user, thread=thread)
    calls = await lines(stack, user)
    await execute(
        stack,
        "UPDATE agent_model_call SET cost = NULL, estimated = true, latency_ms = 90 WHERE id = $1",
        calls[0]["id"],
    )
    await execute(
        stack,
        """UPDATE agent_model_call SET model = 'other', cost = 0.000000000002,
        created_at = created_at - interval '3 days' WHERE id = $1""",
        calls[-1]["id"],
    )
    calls = await lines(stack, user)

    by_day = await usage(stack, user)
    assert len(calls) == 6
    assert_sums(by_day["totals"], calls)
    assert by_day["totals"]["estimatedCalls"] == 1
    assert by_day["totals"]["cost"] == "0.000000000002"
    latencies = sorted(call["latency_ms"] for call in calls)
    assert by_day["totals"]["latencyMs"] == {"p50": latencies[2], "p95": latencies[5]}
    assert [row["day"] for row in by_day["rows"]] == sorted(
        {call["created_at"].astimezone(UTC).date().isoformat() for call in calls}
    )
    assert_sums(by_day["rows"][0], calls[-1:])
    assert_sums(by_day["rows"][1], calls[:-1])

    by_model = await usage(stack, user, groupBy="model")
    assert [(row["provider"], row["model"]) for row in by_model["rows"]] == [
        ("127.0.0.1", "other"),
        ("127.0.0.1", "demo"),
    ]
    assert_sums(by_model["rows"][0], calls[-1:])
    assert by_model["totals"] == by_day["totals"]

    by_thread = await usage(stack, user, groupBy="thread")
    assert [row["threadId"] for row in by_thread["rows"]] == threads
    assert by_thread["rows"][1]["title"] == TWO_CALLS
    assert_sums(by_thread["rows"][1], calls[2:4])
    assert by_thread["totals"] == by_day["totals"]


async def test_a_period_takes_in_its_beginning_and_leaves_out_its_end(stack: Stack, user: str) -> None:
    await stack.stream_run(TWO_CALLS, user=user)
    first, second = (call["created_at"].astimezone(UTC) for call in await lines(stack, user))
    today = second.date()

    for params, calls in (
        ({"from": first.isoformat(), "to": second.isoformat()}, 1),
        ({"from": second.isoformat()}, 1),
        ({"from": first.date().isoformat(), "to": today.isoformat()}, 2),
        ({"to": (first.date() - timedelta(days=1)).isoformat()}, 0),
    ):
        assert (await usage(stack, user, **params))["totals"]["calls"] == calls, params


async def test_nobody_sees_anothers_usage(stack: Stack, user: str) -> None:
    thread = stack.new_id("private")
    await stack.stream_run(TWO_CALLS, user=user, thread=thread)

    for group_by in ("day", "model", "thread"):
        found = await usage(stack, stack.new_id("stranger"), groupBy=group_by)
        assert (found["totals"]["calls"], found["rows"]) == (0, [])


async def test_what_a_deleted_thread_used_still_counts(stack: Stack, user: str) -> None:
    for thread in ("gone-1", "gone-2", "kept"):
        await stack.stream_run(TWO_CALLS, user=user, thread=thread)
    before = await usage(stack, user)
    for thread in ("gone-1", "gone-2"):
        assert (await stack.request("DELETE", f"/threads/{thread}", user=user)).status == 204

    by_thread = await usage(stack, user, groupBy="thread")
    assert by_thread["totals"] == before["totals"]
    assert {row["threadId"]: row["calls"] for row in by_thread["rows"]} == {None: 4, "kept": 2}


async def test_a_call_that_ends_after_its_thread_was_deleted_counts(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        async with stack.open_run("slowly", thread="live") as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            assert (await stack.request("DELETE", "/threads/live")).status == 204
            await stream.to_end()
        # Waits until the worker has let go of the run, and with it booked what was cut.
        for worker in list(stack.workers):
            await stack.stop_worker(worker)

        calls = await lines(stack, "ada")
        assert [(call["run_pk"], call["stage"], call["outcome"]) for call in calls] == [
            (None, "execution", "cancelled"),
        ]
        assert_sums((await usage(stack, "ada"))["totals"], calls)


async def test_transcriptions_are_counted_apart(stack: Stack, user: str) -> None:
    for model, cost in (("whisper-1", Decimal("0.006")), ("whisper-1", None), ("other", Decimal("0.1"))):
        await execute(
            stack,
            """INSERT INTO agent_transcription
            (tenant_id, user_id, provider, model, audio_kind, audio_bytes, audio_ms, cost, outcome)
            VALUES ('default', $1, 'here', $2, 'wav', 10, 1500, $3, 'succeeded')""",
            user,
            model,
            cost,
        )

    spoken = (await usage(stack, user, groupBy="model"))["transcriptions"]
    assert spoken["totals"] == {"calls": 3, "audioMs": 4500, "cost": "0.106", "unknownCostCalls": 1}
    assert [(row["model"], row["calls"], row["cost"]) for row in spoken["rows"]] == [
        ("other", 1, "0.1"),
        ("whisper-1", 2, "0.006"),
    ]
    assert len((await usage(stack, user))["transcriptions"]["rows"]) == 1
    assert (await usage(stack, user, groupBy="thread"))["transcriptions"]["rows"] == []


async def test_too_many_rows_are_cut_and_the_totals_are_not(stack: Stack, user: str) -> None:
    await asyncio.gather(*(stack.stream_run(TWO_CALLS, user=user) for _ in range(3)))
    engine = create_engine(stack.settings.database, application_name="test")
    period = UsagePeriod(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1))
    try:
        found = {
            rows: await UsageReader(engine, max_rows=rows).usage(Principal("default", user), period, "thread")
            for rows in (2, 3)
        }
    finally:
        await engine.dispose()

    assert {rows: (len(one.rows), one.truncated, one.totals.calls) for rows, one in found.items()} == {
        2: (2, True, 6),
        3: (3, False, 6),
    }


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"from": "yesterday"}, "/query/from"),
        ({"to": "2026-13-01"}, "/query/to"),
        ({"from": "2026-11-22", "to": "2026-11-20"}, "/query/from"),
        ({"from": "2020-01-01"}, "/query/from"),
        ({"groupBy": "user"}, "/query/groupBy"),
    ],
)
async def test_what_cannot_be_meant_is_a_problem(stack: Stack, params: dict[str, str], pointer: str) -> None:
    reply = await stack.request("GET", "/usage", params=params)

    (error,) = reply.problem(422, "invalid-request")["errors"]
    assert error["pointer"] == pointer
