"""What an operator reads in the logs: one line for each run that has ended, and requests with their thread and run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from structlog.testing import capture_logs
from tests.support.stack import OpenStack, Stack

from core.agentscope.events.run_summary import hash_user
from core.identity import Principal


def ended(lines: list[Any]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "run_ended"]


async def test_a_run_that_ended_has_one_line(stack: Stack) -> None:
    thread = stack.new_id("logged")
    with capture_logs() as lines:
        run = await stack.stream_run("what is 6*7", thread=thread)
    (row,) = await stack.ended(thread)

    (line,) = ended(lines)
    assert {name: line[name] for name in ("thread_id", "run_id", "status", "error_code", "attempt")} == {
        "thread_id": thread,
        "run_id": run.events[0]["runId"],
        "status": "succeeded",
        "error_code": None,
        "attempt": 1,
    }
    assert line["agent"] == "Assistant"
    assert (line["input_tokens"], line["output_tokens"]) == (row["input_tokens"], row["output_tokens"])
    assert line["input_tokens"] > 0
    assert row["cost"] is None if line["cost"] is None else Decimal(line["cost"]) == row["cost"]
    assert line["queue_ms"] <= line["ttft_ms"] <= line["total_ms"]
    assert line["user"] == hash_user(Principal(row["tenant_id"], row["user_id"]))


async def test_a_run_that_no_worker_began_has_a_line_as_well(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack:
        thread = stack.new_id("logged")
        accepted = await stack.post_run("hello", thread=thread)
        with capture_logs() as lines:
            await stack.cancel(thread, accepted.json["runId"])

    (line,) = ended(lines)
    assert (line["status"], line["attempt"], line["queue_ms"], line["ttft_ms"]) == (
        "cancelled",
        0,
        None,
        None,
    )
    assert (line["input_tokens"], line["cost"], line["agent"]) == (0, None, "Assistant")


def test_a_user_s_name_in_the_log_is_short_and_is_not_the_user_s_id() -> None:
    named = hash_user(Principal("shop", "ada@example.com"))

    assert len(named) == 12
    assert named == hash_user(Principal("shop", "ada@example.com"))
    assert named != hash_user(Principal("shop2", "ada@example.com"))
    # Two parts, not one text: the border between them counts.
    assert hash_user(Principal("a", "bc")) != hash_user(Principal("ab", "c"))
