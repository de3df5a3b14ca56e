"""Pieces of a result are shown while they come, a few times a second, from whatever generator they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.shown_pieces import CHARACTERS, SECONDS, ShownPieces
from core.agentscope.tools.spec import ToolContext, ToolOutcome


class Reports:
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def report(self, message: str, progress: float | None, total: float | None) -> None:
        self.texts.append(message)


async def test_what_comes_between_two_reports_is_in_the_next_one() -> None:
    reports, now = Reports(), 0.0

    async def show(text: str) -> None:
        await reports.report(text, None, None)

    shown = ShownPieces(show, lambda: now)
    for piece in ("a", "b", "c", {"d": 1}, "e" * 9999):
        await shown.take(piece)
        now += SECONDS / 2

    assert reports.texts == ["a", "bc", "e" * CHARACTERS]


def plain(asked: Callable[[], None]) -> Any:
    def count() -> Iterator[str]:
        """Count."""
        yield "one "
        asked()
        yield "two"

    return count


def later(asked: Callable[[], None]) -> Any:
    async def count() -> AsyncIterator[str]:
        """Count."""
        yield "one "
        asked()
        yield "two"

    return count


@pytest.mark.parametrize("kind", [plain, later])
async def test_a_generator_s_pieces_are_shown_before_its_result(context: ToolContext, kind: Any) -> None:
    reports = Reports()

    made = tool(permission="allow")(kind(lambda: None))
    outcome = await made.call({}, replace(context, progress_report=reports))

    assert outcome == ToolOutcome("success", "one two")
    assert reports.texts == ["one "]


async def test_a_result_that_comes_at_once_is_not_shown_before(context: ToolContext) -> None:
    reports = Reports()

    @tool(permission="allow")
    def say() -> str:
        """Say."""
        return "all"

    await say.call({}, replace(context, progress_report=reports))

    assert reports.texts == []
