"""A fault of ours in the last statements of a run: its readers hear of it at once, and the thread goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.failing_engine import OURS
from tests.support.stack import OpenStack, Stack, assert_valid

from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import AppendBatch, AppendResult
from core.agentscope.events.ending import end_and_promote
from core.agentscope.events.owned_run import Claim
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
