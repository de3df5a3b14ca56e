"""The bounds of the bytes of big bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.virtual_clock import VIRTUAL_CLOCK, VirtualClockLoop

from core.body_admission import BodyAdmission
from core.errors import AgentBackendError, Overloaded, RateLimited

WAIT_SECONDS = 5.0


@pytest.fixture(params=[VIRTUAL_CLOCK], ids=["virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
def admission() -> BodyAdmission:
    return BodyAdmission(user_bytes=10, total_bytes=25, wait_seconds=WAIT_SECONDS)


class Holder:
    """A request that holds room until it is told to leave."""

    def __init__(self, admission: BodyAdmission, user: str, size: int) -> None:
        self.entered = False
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._hold(admission, user, size))

    async def _hold(self, admission: BodyAdmission, user: str, size: int) -> None:
        async with admission.room(user, size):
            self.entered = True
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


@pytest.fixture
def hold(admission: BodyAdmission) -> Callable[..., Holder]:
    return lambda user, size: Holder(admission, user, size)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_user_has_room_for_some_bytes_and_the_rest_waits_its_turn(
    hold: Callable[..., Holder], admission: BodyAdmission
) -> None:
    first, second, third = hold("ada", 6), hold("ada", 4), hold("ada", 4)
    await settle()
    assert [it.entered for it in (first, second, third)] == [True, True, False]

    await second.end()
    await settle()
    assert third.entered

    await first.end()
    await third.end()
    assert admission.held_bytes == 0


async def test_one_users_bodies_take_no_room_of_another(hold: Callable[..., Holder]) -> None:
    full, waits = hold("ada", 10), hold("ada", 10)
    other = hold("eve", 10)
    await settle()

    assert [it.entered for it in (full, waits, other)] == [True, False, True]
    for holder in (full, other, waits):
        await holder.end()


@pytest.mark.parametrize(
    ("held", "user", "expected"),
    [
        (["ada"], "ada", RateLimited),
        (["ada", "bob", "eve"], "dan", Overloaded),
    ],
    ids=["user", "process"],
)
async def test_who_waits_too_long_is_refused_and_told_when_to_come_back(
    held: list[str], user: str, expected: type[AgentBackendError], hold: Callable[..., Holder]
) -> None:
    holders = [hold(name, 8) for name in held]
    await settle()
    began = asyncio.get_running_loop().time()
    late = hold(user, 8)

    with pytest.raises(expected) as caught:
        await late.task

    assert asyncio.get_running_loop().time() - began == pytest.approx(WAIT_SECONDS)
    assert caught.value.retry_after_seconds
    assert caught.value.retry_after_seconds >= 1
    for holder in holders:
        await holder.end()


async def test_the_refused_do_not_all_come_back_at_once(hold: Callable[..., Holder]) -> None:
    holder = hold("ada", 10)
    found = await asyncio.gather(*(hold("ada", 10).task for _ in range(20)), return_exceptions=True)

    assert len({getattr(error, "retry_after_seconds", None) for error in found}) > 10
    await holder.end()


async def test_a_user_may_not_queue_without_end(hold: Callable[..., Holder]) -> None:
    holder = hold("ada", 10)
    await settle()
    began = asyncio.get_running_loop().time()
    crowd = [hold("ada", 10) for _ in range(100)]
    await settle()

    refused = [it for it in crowd if it.task.done()]
    assert len(refused) == 36
    assert all(isinstance(it.task.exception(), RateLimited) for it in refused)
    assert asyncio.get_running_loop().time() == began
    await holder.end()
    for it in crowd:
        it.leave.set()
    await asyncio.gather(*(it.task for it in crowd), return_exceptions=True)


async def test_when_all_is_full_users_take_turns_and_small_bodies_do_not_pass(
    hold: Callable[..., Holder],
) -> None:
    full = [hold("a", 10), hold("b", 10), hold("c", 5)]
    await settle()
    large, small = hold("d", 10), hold("e", 2)
    await settle()
    await full[2].end()
    await settle()
    assert not large.entered
    assert not small.entered

    await full[0].end()
    await settle()
    assert large.entered
    assert small.entered
    for it in (full[1], large, small):
        await it.end()


async def test_a_client_that_leaves_gives_its_place_back(
    hold: Callable[..., Holder], admission: BodyAdmission
) -> None:
    first, left, last = hold("ada", 10), hold("ada", 10), hold("ada", 10)
    await settle()
    left.task.cancel()
    await first.end()
    await settle()

    assert last.entered
    await last.end()
    assert admission.held_bytes == 0


moves = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(1, 10), st.sampled_from(["enter", "cancel", "leave", "wait"])
    ),
    max_size=40,
)


@given(moves)
def test_whatever_happens_the_bounds_hold_and_all_room_comes_back(steps: list[tuple[str, int, str]]) -> None:
    async def play() -> None:
        admission = BodyAdmission(user_bytes=10, total_bytes=25, wait_seconds=WAIT_SECONDS)
        holders: list[Holder] = []
        for user, number, move in steps:
            if move == "enter":
                holders.append(Holder(admission, user, number))
            elif holders and move == "cancel":
                holders[number % len(holders)].task.cancel()
            elif holders and move == "leave":
                holders[number % len(holders)].leave.set()
            elif move == "wait":
                await asyncio.sleep(number)
            await asyncio.sleep(0)
            assert admission.held_bytes <= 25
        for holder in holders:
            holder.leave.set()
        await asyncio.gather(*(holder.task for holder in holders), return_exceptions=True)
        assert admission.held_bytes == 0

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(play())
