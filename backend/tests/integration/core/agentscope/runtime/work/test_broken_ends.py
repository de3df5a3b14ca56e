"""A fault of ours in the last statements of a run: its readers hear of it at once, and the thread goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.failing_engine import OURS
from tests.support.stack import OpenStack, Stack, assert_valid

from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import AppendBatch, AppendResult
from core.agentscope.events.ending import end_and_promote
from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.owned_run import Claim
from core.agentscope.events.run_end import NOT_STORED
from core.agentscope.runtime.work import run_ending


async def assert_broken(stack: Stack) -> None:
    """Check that a run ends with an internal error at its first attempt, and that the next run of its thread succeeds."""
    thread = stack.new_id("broken")
    with capture_logs() as lines:
        run = await stack.stream_run("hello", thread=thread)
    (row,) = await stack.ended(thread)

    assert (run.end["type"], run.end["code"]) == ("RUN_ERROR", "internal-error")
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "internal-error", 1)
    assert [line["exc_info"] for line in lines if line["log_level"] == "error"]
    again = await stack.stream_run("hello again", thread=thread)
    assert again.end["outcome"] == {"type": "success"}
    assert_valid([*run.events, *again.events])


async def test_a_run_whose_end_no_database_takes_ends_with_an_internal_error(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = end_and_promote
    faults = [OURS[0]]

    async def broken_once(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return await real(*arguments)

    # Every end goes the careful way.
    monkeypatch.setattr(run_ending, "may_be_usual", lambda _end: False)
    monkeypatch.setattr(run_ending, "end_and_promote", broken_once)
    async with open_stack() as stack:
        await assert_broken(stack)


async def test_a_run_whose_events_no_database_takes_ends_with_an_internal_error(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PostgresAppendStore.append
    faults = [OURS[0]]

    async def broken_once(
        self: PostgresAppendStore, batches: Sequence[AppendBatch]
    ) -> dict[Claim, AppendResult]:
        if faults and any("TEXT_MESSAGE_CONTENT" in batch.types for batch in batches):
            raise faults.pop()
        return await real(self, batches)

    monkeypatch.setattr(PostgresAppendStore, "append", broken_once)
    async with open_stack() as stack:
        await assert_broken(stack)


async def test_a_value_that_postgres_refuses_ends_its_own_run_and_the_thread_goes_on(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PostgresAppendStore.append

    async def with_nul(
        self: PostgresAppendStore, batches: Sequence[AppendBatch]
    ) -> dict[Claim, AppendResult]:
        for batch in batches:
            if "TEXT_MESSAGE_CONTENT" in batch.types and batch.session_id == marked:
                batch.payloads[-1] = "\x00"
        return await real(self, batches)

    monkeypatch.setattr(PostgresAppendStore, "append", with_nul)
    marked = 0
    async with open_stack() as stack:
        thread, others = stack.new_id("refused"), [stack.new_id("beside") for _ in range(4)]
        await stack.stream_run("hello", thread=thread)
        marked = (await stack.log(thread))[0]["session_id"]
        with capture_logs():
            broken, *fine = await asyncio.gather(
                stack.stream_run("hello", thread=thread),
                *(stack.stream_run("hello", thread=other) for other in others),
            )
        marked = 0

        assert (broken.end["type"], broken.end["code"]) == ("RUN_ERROR", "output-not-storable")
        assert [reply.end["outcome"] for reply in fine] == [{"type": "success"}] * len(fine)
        again = await stack.stream_run("hello again", thread=thread)
        assert again.end["outcome"] == {"type": "success"}
        assert_valid(again.events)


async def test_a_message_that_postgres_refuses_is_replaced_by_a_note_and_the_thread_goes_on(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HistoryFold.snapshot

    def with_nul(self: HistoryFold) -> list[dict[str, Any]]:
        return [message | {"content": "\x00"} if marked else message for message in real(self)]

    monkeypatch.setattr(HistoryFold, "snapshot", with_nul)
    async with open_stack() as stack:
        thread = stack.new_id("refused-message")
        marked = True
        with capture_logs():
            broken = await stack.stream_run("hello", thread=thread)
        marked = False
        history = await stack.history(thread)
        again = await stack.stream_run("hello again", thread=thread)

    assert (broken.end["type"], broken.end["code"]) == ("RUN_ERROR", "output-not-storable")
    assert [message["content"] for message in history["messages"]] == ["hello", NOT_STORED]
    assert again.end["outcome"] == {"type": "success"}


async def test_a_snapshot_too_large_for_an_event_is_left_out_and_output_without_end_ends_its_run(
    open_stack: OpenStack,
) -> None:
    async with open_stack(worker={"max_event_bytes": 1 << 16}) as stack:
        thread = stack.new_id("long")
        always = {"messagesSnapshot": "always"}
        long = "hello " + "\u20ac" * 9000
        replies = [
            await stack.stream_run(long, thread=thread, forwardedProps=always, state={"notes": "x" * size})
            for size in (10, 10, 100_000)
        ]
        assert [reply.end.get("outcome") for reply in replies] == [{"type": "success"}] * 3
        last = replies[-1]
        assert last.of("MESSAGES_SNAPSHOT") == last.of("STATE_SNAPSHOT") == []
        told = {event["name"]: event["value"] for event in last.of("CUSTOM")}
        assert sorted(told) == ["agentroute.messages-snapshot-omitted", "agentroute.state-snapshot-omitted"]
        assert all(value["bytes"] > value["maxBytes"] for value in told.values())

        await stack.stop_worker(stack.workers[0])
        worker = await stack.start_worker(worker={"max_run_bytes": 1 << 16, "max_event_bytes": 1 << 17})
        never = {"messagesSnapshot": "never"}
        broken = await stack.stream_run(
            "hello", thread=thread, forwardedProps=never, state={"notes": "x" * 64_900}
        )
        history = await stack.history(thread)
        await stack.stop_worker(worker)
        await stack.start_worker()
        again = await stack.stream_run("hello again", thread=thread)

    assert (broken.end["type"], broken.end["code"]) == ("RUN_ERROR", "output-too-large")
    assert again.end["outcome"] == {"type": "success"}
    assert_valid(broken.events)
    assert history["messages"][-1]["content"] == broken.text
