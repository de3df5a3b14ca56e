"""``GET /history`` while a run is live, and of threads with large messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from tests.support.manual_worker import Scene
from tests.support.stack import client_view

from core.agentscope.events.history_fold import fold
from core.agentscope.events.log_fold import LogFold, LoggedEvent
from core.agentscope.events.queries import history
from core.agentscope.schemas.agent_runtime import AgUiWireEvent


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequences that were folded, in order."""
    found: list[int] = []
    extend = LogFold.extend

    def noted(self: LogFold, page: Sequence[LoggedEvent]) -> None:
        found.extend(event.seq for event in page)
        extend(self, page)

    monkeypatch.setattr(LogFold, "extend", noted)
    return found


async def test_many_readers_of_a_live_run_share_one_fold_and_get_what_a_client_holds(
    scene: Scene, folded: list[int]
) -> None:
    thread = scene.stack.new_id("live")
    run = await scene.claimed(thread)
    for round_ in range(4):
        await run.say(*(f"{round_}-{word} " for word in range(700)), message_id=f"m-{round_ // 2}")
        answers = await asyncio.gather(*(scene.stack.history(thread) for _ in range(8)))
        expected = await client_view(scene.stack, thread)
        assert [answer["messages"] for answer in answers] == [expected] * 8
        assert {answer["cursor"] for answer in answers} == {f"1-{run.last_seq}"}

    assert folded == list(range(1, run.last_seq + 1)), "every event was folded once"
    await run.finish()
    assert (await scene.stack.history(thread))["messages"] == await client_view(scene.stack, thread)


async def test_history_belongs_to_its_cursor_while_the_run_goes_on(scene: Scene) -> None:
    thread = scene.stack.new_id("moving")
    run = await scene.claimed(thread)

    async def talk() -> None:
        for number in range(60):
            await run.say(f"{number} ", message_id=f"m-{number // 20}")
        await run.finish()

    talking = asyncio.create_task(talk())
    answers: list[Any] = []
    while not talking.done():
        answers += await asyncio.gather(*(scene.stack.history(thread) for _ in range(3)))
    await talking

    log = [AgUiWireEvent.from_json(row["payload"]) for row in await scene.stack.log(thread)]
    for answer in answers:
        seq = int(answer["cursor"].partition("-")[2])
        assert answer["messages"][1:] == fold(log[:seq])
    assert len({answer["cursor"] for answer in answers}) > 1


async def test_the_next_run_of_a_thread_has_a_fold_of_its_own(scene: Scene) -> None:
    thread = scene.stack.new_id("next")
    for number in range(3):
        run = await scene.claimed(thread)
        await run.say(f"answer {number}", message_id=f"m-{number}")
        assert (await scene.stack.history(thread))["messages"] == await client_view(scene.stack, thread)
        await run.finish()


async def test_a_page_has_a_limit_in_bytes_and_pages_together_have_every_message(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PAGE_BYTES", 1000)
    sizes = [10, 400, 400, 400, 5000, 10, 10, 10, 990, 10]
    imported = [
        {"id": f"i-{n}", "role": "user" if n % 2 == 0 else "assistant", "content": "x" * size}
        for n, size in enumerate(sizes)
    ]
    thread = scene.stack.new_id("large")
    body = scene.stack.run_body("last", thread=thread)
    body["messages"] = [*imported, *body["messages"]]
    assert (await scene.stack.post_run(body=body)).status == 202

    pages: list[list[dict[str, Any]]] = []
    before: dict[str, Any] = {}
    while True:
        page = await scene.stack.history(thread, limit=4, **before)
        pages.append(page["messages"])
        assert page["hasMore"] == (page["nextBefore"] is not None)
        if not page["hasMore"]:
            break
        before = {"before": page["nextBefore"]}

    assert [message for page in reversed(pages) for message in page] == body["messages"]
    assert all(0 < len(page) <= 4 for page in pages)
    # The message that reaches the limit is a page's last, its oldest.
    assert all(len(orjson.dumps(page[1:])) < 1300 for page in pages)
    assert [len(page) for page in pages] == [3, 4, 3, 1]
