"""Budgets: fifty runs at once do not overspend, and what is reserved comes back whatever becomes of a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.manual_worker import ManualRun, ManualWorker, manual_reaper, manual_worker
from tests.support.stack import OpenStack, Reply, Row, Stack, client_view

from agentroute.demo import model as demo_model
from agentroute.demo.wire import usage_of
from core.agentscope.events.ledger import budget_store
from core.agentscope.events.ledger.budget_store import CallEstimate, DayLimits
from core.agentscope.events.ledger.ledger import record_call_now
from core.agentscope.schemas.internal_events import ModelUsage
from core.identity import Principal

ADA = Principal("default", "ada")
HEAD = 'name = "Ada"\ndescription = "Helps."\n[stages]\nintent = "model"\n'
TOOL = '[[tools]]\nname = "calculate"\npermission = "allow"\n'
ASKED = "think about it, then calculate 6*7"


async def budget(stack: Stack) -> Row:
    (row,) = await stack.fetch("SELECT * FROM user_budget")
    return row


async def left_reserved(stack: Stack) -> list[Row]:
    return await stack.fetch("SELECT * FROM user_budget_reservation")


async def ledger(stack: Stack) -> list[Row]:
    return await stack.fetch("SELECT * FROM agent_model_call ORDER BY id")


def tokens(calls: list[Row]) -> int:
    return sum(call["input_tokens"] + call["output_tokens"] for call in calls)


async def assert_settled(stack: Stack) -> None:
    """Compare the budget with the ledger; nothing is reserved any more."""
    calls, row = await ledger(stack), await budget(stack)
    assert row["used_tokens"] == tokens(calls)
    assert row["used_cost"] == sum(call["cost"] or 0 for call in calls)
    assert (row["reserved_tokens"], row["reserved_cost"]) == (0, 0)
    assert await left_reserved(stack) == []


def fate(reply: Reply) -> str:
    if reply.status == 429:
        assert 0 < int(reply.headers["retry-after"]) <= 86_400
        return reply.problem(429, "budget-exhausted")["code"]
    assert reply.status == 200, reply.body
    return reply.end.get("code", "finished")


async def fifty(stack: Stack) -> list[str]:
    return [
        fate(reply) for reply in await asyncio.gather(*(stack.stream_run("hello there") for _ in range(50)))
    ]


async def cost_of_one_run(open_stack: OpenStack, **sections: Any) -> list[Row]:
    async with open_stack(**sections) as stack:
        await stack.stream_run("hello there")
        return await ledger(stack)


async def tokens_of_two_calls(open_stack: OpenStack, profile: Path) -> int:
    """Return a limit that has room for the first two of the three calls that ``ASKED`` takes."""
    async with open_stack(profile_path=profile) as stack:
        await stack.stream_run(ASKED)
        intent, call, answer = await ledger(stack)
    return tokens([intent, call]) + answer["input_tokens"] // 2


async def test_fifty_runs_at_once_do_not_overspend_a_days_tokens(open_stack: OpenStack) -> None:
    one = tokens(await cost_of_one_run(open_stack))
    limit = 20 * one
    limits = {"user_tokens_per_day": limit, "reserved_output_tokens": 100}
    async with open_stack(limits=limits, worker={"concurrency": 50}) as stack:
        fates = await fifty(stack)

        assert set(fates) == {"finished", "budget-exhausted"}
        assert fates.count("finished") <= 20
        assert tokens(await ledger(stack)) <= limit
        await assert_settled(stack)
        # What is left is still to be had, by one run after the other.
        while fate(await stack.stream_run("hello there")) == "finished":
            fates.append("finished")
        assert limit - tokens(await ledger(stack)) < one + 200
        assert fates.count("finished") <= 20
        await assert_settled(stack)
        # Nobody else is concerned.
        assert fate(await stack.stream_run("hello there", user="eve")) == "finished"


async def test_fifty_runs_at_once_do_not_overspend_a_days_money(
    open_stack: OpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_cost(body: Mapping[str, Any], script: Any) -> dict[str, Any]:
        return {name: value for name, value in usage_of(body, script).items() if name != "cost"}

    monkeypatch.setattr(demo_model, "usage_of", without_cost)
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"demo": {"input": "3", "output": "15"}}}))
    model = {"prices_path": prices}
    one = sum(call["cost"] for call in await cost_of_one_run(open_stack, model=model))
    limit = 10 * one
    limits = {"user_cost_per_day": limit, "reserved_output_tokens": 100}
    async with open_stack(limits=limits, worker={"concurrency": 50}, model=model) as stack:
        fates = await fifty(stack)

        assert set(fates) == {"finished", "budget-exhausted"}
        assert sum(call["cost"] for call in await ledger(stack)) <= limit
        await assert_settled(stack)


async def test_a_user_whose_day_is_used_up_is_refused_before_the_first_byte(open_stack: OpenStack) -> None:
    async with open_stack(limits={"user_tokens_per_day": 10**6}) as stack:
        await stack.stream_run("hello", thread="spent")
        await stack.fetch("UPDATE user_budget SET used_tokens = 1000000")

        refused = await stack.post_run("hello again", thread="spent")
        problem = refused.problem(429, "budget-exhausted")
        assert "1000000 tokens" in problem["detail"]
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert len(await stack.runs("spent")) == 1

        # Yesterday's budget is not today's.
        await stack.fetch("UPDATE user_budget SET day = day - 1")
        assert fate(await stack.stream_run("hello again", thread="spent")) == "finished"


async def test_a_run_ends_at_its_own_limit_and_keeps_what_it_showed(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(HEAD + TOOL)
    limit = await tokens_of_two_calls(open_stack, profile)
    profile.write_text(f"{HEAD}{TOOL}[limits]\nmax_tokens = {limit}\n")
    async with open_stack(profile_path=profile, limits={"reserved_output_tokens": 30}) as stack:
        reply = await stack.stream_run(ASKED, thread="limited")

        assert reply.end["type"] == "RUN_ERROR"
        assert reply.end["code"] == "budget-exhausted"
        assert str(limit) in reply.end["message"]
        # The tool's call and result were shown; the answer was never asked for.
        assert [event["content"] for event in reply.of("TOOL_CALL_RESULT")] == ["42"]
        assert reply.types.count("STEP_STARTED") == reply.types.count("STEP_FINISHED") == 2
        assert len(await ledger(stack)) == 2
        messages = (await stack.history("limited"))["messages"]
        assert [message["role"] for message in messages][-1] == "tool"
        (run,) = await stack.runs("limited")
        assert (run["status"], run["error_code"]) == ("failed", "budget-exhausted")
        # No day has a limit, so nothing was written down for one.
        assert await stack.fetch("SELECT * FROM user_budget") == []


# --- a run that may ask for more ------------------------------------------------------


@pytest.fixture(scope="module")
async def asking(
    open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Stack, int]]:
    """A service whose runs ask when their tokens are spent, and how many those are: two of three calls."""
    profile = tmp_path_factory.mktemp("asking") / "agent.toml"
    profile.write_text(HEAD + TOOL)
    limit = await tokens_of_two_calls(open_stack, profile)
    profile.write_text(f'{HEAD}{TOOL}[limits]\nmax_tokens = {limit}\nwhen_exhausted = "ask"\n')
    async with open_stack(profile_path=profile, limits={"reserved_output_tokens": 30}) as stack:
        yield stack, limit


def answer_to(reply: Reply, **answer: Any) -> list[dict[str, Any]]:
    [interrupt] = reply.interrupts
    return [{"interruptId": interrupt["id"], "status": "resolved", "payload": answer}]


async def test_a_spent_run_asks_and_goes_on_with_as_much_again(asking: tuple[Stack, int]) -> None:
    stack, limit = asking
    body = stack.run_body(ASKED, thread="asks")
    asked = await stack.stream_run(body=body)

    [interrupt] = asked.interrupts
    assert (interrupt["reason"], "toolCallId" in interrupt) == ("budget_exhausted", False)
    assert str(limit) in interrupt["message"]
    assert (await stack.history("asks"))["pendingInterrupts"] == [interrupt]
    assert (await stack.run_status("asks", body["runId"]))["waitsFor"] == "approval"
    (await stack.post_run("and now?", thread="asks")).problem(409, "interrupt-open")
    refused = await stack.resume("asks", answer_to(asked, approved="yes"))
    assert refused.problem(422, "invalid-request")["errors"][0]["pointer"] == "/resume/0/payload/approved"

    # CopilotKit's way: under the same run id.
    resumed = await stack.resume("asks", answer_to(asked, approved=True), run=body["runId"])

    assert resumed.end["outcome"] == {"type": "success"}
    assert "42" in resumed.text
    # The tool ran in the first part, and not again.
    assert [reply.types.count("TOOL_CALL_RESULT") for reply in (asked, resumed)] == [1, 0]
    assert (await stack.history("asks"))["messages"] == await client_view(stack, "asks")
    again = await stack.resume("asks", answer_to(asked, approved=True))
    again.problem(409, "interrupt-resolved")
    assert [(run["segment"], run["status"]) for run in await stack.runs("asks")] == [
        (0, "interrupted"),
        (1, "succeeded"),
    ]


@pytest.mark.parametrize(
    "answer", [{"status": "resolved", "payload": {"approved": False}}, {"status": "cancelled"}]
)
async def test_a_run_whose_budget_is_not_raised_ends(
    asking: tuple[Stack, int], answer: dict[str, Any]
) -> None:
    stack, _ = asking
    thread = stack.new_id("refused")
    asked = await stack.stream_run(ASKED, thread=thread)
    [interrupt] = asked.interrupts
    before = len(await ledger(stack))

    resumed = await stack.resume(thread, [{"interruptId": interrupt["id"], **answer}])

    assert (resumed.end["type"], resumed.end["code"]) == ("RUN_ERROR", "budget-exhausted")
    assert len(await ledger(stack)) == before
    messages = (await stack.history(thread))["messages"]
    assert messages == await client_view(stack, thread)
    assert messages[-1]["content"] == "42"
    # What comes next is a run of its own, which knows the conversation.
    after = await stack.stream_run("hello", thread=thread)
    assert after.end["outcome"] == {"type": "success"}


async def test_a_message_in_place_of_the_answer_is_a_run_of_its_own(asking: tuple[Stack, int]) -> None:
    stack, _ = asking
    asked = await stack.stream_run(ASKED, thread="moves-on")
    assert asked.interrupts

    moved = await stack.stream_run("hello", thread="moves-on", forwardedProps={"onInterrupt": "cancel"})

    assert moved.end["outcome"] == {"type": "success"}
    assert (await stack.history("moves-on"))["pendingInterrupts"] == []


async def test_a_call_larger_than_the_whole_budget_is_not_asked_about(asking: tuple[Stack, int]) -> None:
    stack, limit = asking

    reply = await stack.stream_run("word " * 4 * limit, thread="large")

    assert (reply.end["type"], reply.end["code"]) == ("RUN_ERROR", "budget-exhausted")
    assert "whole budget" in reply.end["message"]


async def test_a_cancelled_call_is_settled_by_what_it_used(open_stack: OpenStack) -> None:
    async with open_stack(limits={"user_tokens_per_day": 10**6}) as stack:
        body = stack.run_body("slowly", thread="stopped")
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            (reservation,) = await left_reserved(stack)
            assert reservation["tokens"] > stack.settings.limits.reserved_output_tokens
            assert (await budget(stack))["reserved_tokens"] == reservation["tokens"]
            await stack.cancel("stopped", body["runId"])
            await stream.to_end()

        assert [call["outcome"] for call in await ledger(stack)] == ["cancelled"]
        await assert_settled(stack)


# --- lost processes -----------------------------------------------------------------


@asynccontextmanager
async def lost_run(
    open_stack: OpenStack, *shown: str
) -> AsyncIterator[tuple[Stack, ManualWorker, ManualRun]]:
    """A claimed run that has reserved 300 tokens for its call, and said something."""
    async with open_stack(workers=0) as stack, manual_worker(stack.settings) as worker:
        await stack.post_run("hello", thread="lost")
        run = await worker.claim((await stack.runs("lost"))[0]["id"])
        assert run is not None
        await run.start()
        if shown:
            await run.say(*shown)
        await reserve(worker, run, "call-1")
        yield stack, worker, run


async def reserve(worker: ManualWorker, run: ManualRun, call_id: str, *, seconds: float = 600) -> None:
    async with worker.engine.begin() as connection:
        assert await budget_store.reserve(
            connection,
            ADA,
            DayLimits(tokens=1000),
            run_pk=run.owned.run_pk,
            call_id=call_id,
            estimate=CallEstimate(300, Decimal("0.5")),
            seconds=seconds,
        )


async def expire_lease(stack: Stack) -> None:
    await stack.fetch("UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second'")


@pytest.mark.parametrize("shown", [(), ("some words",)], ids=["requeued", "ended"])
async def test_what_a_lost_run_reserved_comes_back_with_its_repair(
    open_stack: OpenStack, shown: tuple[str, ...]
) -> None:
    async with lost_run(open_stack, *shown) as (stack, _, _run), manual_reaper(stack.settings) as reaper:
        assert (await budget(stack))["reserved_tokens"] == 300
        await expire_lease(stack)

        await reaper.reap()

        assert (await stack.runs("lost"))[0]["status"] == ("failed" if shown else "queued")
        await assert_settled(stack)


async def test_a_call_that_ends_after_its_run_was_given_up_is_paid_once(open_stack: OpenStack) -> None:
    usage = ModelUsage(
        call_id="call-1", stage="execution", provider="p", model="m", input_tokens=70, cost=Decimal("0.25")
    )
    async with (
        lost_run(open_stack, "words") as (stack, worker, run),
        manual_reaper(stack.settings) as reaper,
    ):
        await expire_lease(stack)
        await reaper.reap()

        for _ in range(2):
            await record_call_now(worker.engine, run.owned, ADA, usage)

        assert (await budget(stack))["used_tokens"] == 70
        await assert_settled(stack)


async def test_a_reservation_that_nobody_settles_expires(open_stack: OpenStack) -> None:
    async with (
        lost_run(open_stack, "words") as (stack, worker, run),
        manual_reaper(stack.settings) as reaper,
    ):
        await run.finish()
        await assert_settled(stack)
        # A worker that does not know yet that its run has ended.
        await reserve(worker, run, "call-2", seconds=600)
        await reserve(worker, run, "call-3", seconds=600)
        await reaper.reap()
        assert (await budget(stack))["reserved_tokens"] == 600

        # One of a run's reservations: the other may be of a later attempt.
        await stack.fetch(
            "UPDATE user_budget_reservation SET expires_at = clock_timestamp() WHERE call_id = 'call-2'"
        )
        await reaper.reap()
        assert (await budget(stack))["reserved_tokens"] == 300

        await stack.fetch("UPDATE user_budget_reservation SET expires_at = clock_timestamp()")
        await reaper.reap()

        await assert_settled(stack)


async def test_what_does_not_fit_is_not_reserved(open_stack: OpenStack) -> None:
    async with lost_run(open_stack) as (stack, worker, run):

        async def fits(limits: DayLimits, estimate: CallEstimate) -> bool:
            async with worker.engine.begin() as connection:
                found = await budget_store.reserve(
                    connection,
                    ADA,
                    limits,
                    run_pk=run.owned.run_pk,
                    call_id="call-2",
                    estimate=estimate,
                    seconds=60,
                )
                await connection.rollback()
            return found

        # 300 tokens and half a dollar are reserved.
        assert await fits(DayLimits(tokens=1000), CallEstimate(700, None))
        assert not await fits(DayLimits(tokens=1000), CallEstimate(701, None))
        assert await fits(DayLimits(cost=Decimal(1)), CallEstimate(10**9, Decimal("0.5")))
        assert not await fits(DayLimits(cost=Decimal(1)), CallEstimate(1, Decimal("0.500000000001")))
        # A price that nobody knows: until the money is spent.
        assert await fits(DayLimits(cost=Decimal("0.51")), CallEstimate(1, None))
        assert not await fits(DayLimits(cost=Decimal("0.5")), CallEstimate(1, None))
        # What is known to be free always fits.
        assert await fits(DayLimits(cost=Decimal("0.5")), CallEstimate(1, Decimal(0)))
        assert len(await left_reserved(stack)) == 1
