"""What the opening of a connect stream is made of, for a run with a long log: read in pages, as true as at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.connecting import messages_of, structure_of
from tests.support.limits import HUNG_SECONDS
from tests.support.manual_worker import Scene

from core.agentscope.events import log_fold
from core.agentscope.events.log_fold import LogFold, LoggedEvent
from core.agentscope.events.queries import opening
from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.queries.opening import OpeningReader
from core.agentscope.events.reopening import RunStructure
from core.agentscope.schemas.cursor import Cursor
from core.gate import Gate
from core.identity import Principal

PAGE = 20


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pages that were folded."""
    found: list[int] = []
    extend = LogFold.extend

    def noted(self: LogFold, page: Sequence[LoggedEvent]) -> None:
        found.append(len(page))
        extend(self, page)

    monkeypatch.setattr(LogFold, "extend", noted)
    for module in (log_fold, opening):
        monkeypatch.setattr(module, "PAGE_EVENTS", PAGE)
    return found


async def test_a_long_log_is_read_in_pages_up_to_the_cursor(scene: Scene, pages: list[int]) -> None:
    thread = scene.stack.new_id("long")
    run = await scene.claimed(thread)
    for number in range(30):
        # Each message has a start and an end; the last one stays open.
        await run.say(*(f"{number}-{word} " for word in range(4)), message_id=f"m-{number}")
    payloads = [row["payload"].encode() for row in await scene.stack.log(thread)]
    session_id = (await scene.stack.runs(thread))[0]["session_id"]
    source = OpeningReader(
        scene.worker.engine, HistoryReader(scene.worker.engine), Gate(1, HUNG_SECONDS)
    ).of_thread(Principal("t", "u"), thread, session_id)

    for seq in (1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE, len(payloads)):
        pages.clear()
        found: RunStructure = await source.structure(Cursor(1, seq))
        expected = structure_of(payloads[:seq])
        assert (found.first, found.last, found.open) == (expected.first, expected.last, expected.open)
        assert await source.messages(Cursor(1, seq)) == messages_of(payloads[:seq])
        assert sum(pages) == seq, "nothing beyond the cursor was folded"
        assert len(pages) == -(-seq // PAGE)
        assert max(pages) <= PAGE
    await run.finish()
