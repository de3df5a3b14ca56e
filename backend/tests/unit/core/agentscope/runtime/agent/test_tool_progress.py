"""Progress of tools: few events, none after the result."""

from __future__ import annotations

import math

from tests.support.stage_run import CONTEXT, PAY, Run

from core.agentscope.runtime.agent.tool_progress import MAX_CHARACTERS, MAX_REPORTS, MIN_SECONDS, CallProgress
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ToolProgress, ToolResult
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import ToolContext


class Shown:
    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[InternalRuntimeEvent] = []
        self.progress = CallProgress("c-1", self.emit, lambda: self.now)

    async def emit(self, event: InternalRuntimeEvent) -> None:
        self.events.append(event)


async def test_reports_that_come_too_soon_are_dropped_and_the_next_is_shown() -> None:
    shown = Shown()

    for step in range(10):
        await shown.progress.report(f"step {step}", step, 10)
        shown.now += MIN_SECONDS / 4

    assert [event.message for event in shown.events if isinstance(event, ToolProgress)] == [
        "step 0",
        "step 4",
        "step 8",
    ]


async def test_a_call_makes_a_limited_number_of_reports_and_none_after_its_end() -> None:
    shown = Shown()
    for _ in range(MAX_REPORTS + 5):
        shown.now += 1
        await shown.progress.report("x" * 9999, math.nan, math.inf)
    ended = Shown()
    ended.progress.close()
    await ended.progress.report("late", None, None)

    assert len(shown.events) == MAX_REPORTS
    assert shown.events[0] == ToolProgress(tool_call_id="c-1", message="x" * MAX_CHARACTERS)
    assert ended.events == []


async def test_a_tool_without_a_run_may_report_too() -> None:
    @tool(permission="allow")
    async def count(context: ToolContext) -> str:
        """Count."""
        await context.progress("one", progress=1, total=2)
        return "done"

    assert (await count.call({}, CONTEXT)).content == "done"


async def test_a_run_shows_the_progress_of_its_tools_before_their_result() -> None:
    run = Run([PAY], ["Paid."], progress="half way")

    await run.orchestrator.run()

    kinds = [event for event in run.events if isinstance(event, ToolProgress | ToolResult)]
    assert [type(event) for event in kinds] == [ToolProgress, ToolResult]
    assert isinstance(kinds[0], ToolProgress)
    assert (kinds[0].message, kinds[0].tool_call_id) == ("half way", kinds[1].tool_call_id)
