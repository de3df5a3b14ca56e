"""One worker looks for messages that are due, and those with the same lanes need not; unless a lane is full, or fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from core.webhooks.deliverer import LANE_PLACES, LOOK_SECONDS, WebhookDeliverer
from core.webhooks.outbox import Failure

CUT_OFF = Failure("not reached")


class Turns:
    """What the deliverer asked of the turns, and what it told."""

    def __init__(self) -> None:
        self.waits = 0.0
        self.told: list[str] = []
        self.asked: set[str] = set()

    def wait_seconds(self, name: str, seconds: float) -> float:
        assert seconds == LOOK_SECONDS
        self.asked.add(name)
        return self.waits

    async def take(self, name: str, seconds: float) -> bool:
        raise AssertionError(name, seconds)

    def did(self, name: str, seconds: float, *, alone: bool) -> None:
        assert seconds == LOOK_SECONDS
        if alone:
            self.told.append(name)


@dataclass
class Outbox:
    """Messages that are due, by their lane."""

    due: list[str]
    claims: int = 0

    async def claim(self, rooms: dict[str, int]) -> list[Any]:
        self.claims += 1
        claimed: list[Any] = []
        for lane, room in rooms.items():
            for _ in range(min(room, self.due.count(lane))):
                self.due.remove(lane)
                claimed.append(SimpleNamespace(lane=lane, message_id="m", run={"run_id": "r"}, failures=0))
        return claimed

    async def delivered(self, _message: Any) -> None: ...

    async def failed(self, _message: Any, _failure: Failure) -> None: ...


@dataclass
class Target:
    """An endpoint that answers when it is let."""

    failure: Failure | None = None
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *_message: Any) -> Failure | None:
        await self.opened.wait()
        return self.failure


def deliverer_of(due: list[str], target: Target, *lanes: str) -> tuple[WebhookDeliverer, Outbox, Turns]:
    outbox, turns = Outbox(due), Turns()
    targets = SimpleNamespace(lanes=list(lanes), target=lambda _: object(), body=lambda _: b"{}")
    made = WebhookDeliverer(
        cast("Any", outbox), cast("Any", targets), cast("Any", target), turns, retention_days=7
    )
    return made, outbox, turns


async def test_who_heard_that_another_looked_does_not_look_unless_a_full_lane_has_a_place_again() -> None:
    deliverer, outbox, turns = deliverer_of([], Target(), "crm")
    turns.waits = 0.5
    await deliverer.tend_in_turn()
    assert outbox.claims == 0
    await deliverer.tend_in_turn(at_once=True)
    assert outbox.claims == 1


async def test_without_lanes_nothing_is_asked_and_nothing_told() -> None:
    deliverer, outbox, turns = deliverer_of(["crm"], Target())
    await deliverer.tend_in_turn(at_once=True)
    assert (outbox.claims, turns.told) == (0, [])


async def test_a_full_lane_is_for_all_workers() -> None:
    target = Target()
    deliverer, _, turns = deliverer_of(["crm"] * (LANE_PLACES + 1), target, "crm", "log")
    await deliverer.tend_in_turn()
    assert turns.told == []
    target.opened.set()
    await deliverer.idle()
    await deliverer.tend_in_turn()
    await deliverer.idle()
    assert len(turns.told) == 1


async def test_a_worker_whose_messages_fail_does_not_keep_the_others_away() -> None:
    target = Target(CUT_OFF)
    target.opened.set()
    deliverer, _, turns = deliverer_of(["crm"], target, "crm")
    await deliverer.tend_in_turn()
    await deliverer.idle()
    turns.told.clear()
    await deliverer.tend_in_turn()
    assert turns.told == []
    await deliverer.tend_in_turn()
    assert len(turns.told) == 1


async def test_workers_with_other_lanes_do_not_speak_to_each_other() -> None:
    names = [deliverer_of([], Target(), *lanes) for lanes in (("a", "b"), ("b", "a"), ("a",))]
    for deliverer, _, _ in names:
        await deliverer.tend_in_turn()
    first, same, other = (turns.told for _, _, turns in names)
    assert first == same != other
