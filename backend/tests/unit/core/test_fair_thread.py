"""The thread that serves its users in turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from core.fair_thread import FairThread


@pytest.fixture
async def thread() -> AsyncIterator[FairThread]:
    thread = FairThread("test")
    yield thread
    thread.close()


async def waiting(
    thread: FairThread, gate: threading.Event, jobs: str, done: list[str]
) -> asyncio.Task[None]:
    """Start a job that waits for the gate, then a job for each user; return when all are in line."""

    async def job(user: str) -> None:
        done.append(await thread.run(user[0], lambda: user))

    async def all_of_them() -> None:
        first = asyncio.create_task(thread.run("first", gate.wait))
        await asyncio.sleep(0)
        users = [asyncio.create_task(job(user)) for user in jobs.split()]
        await asyncio.gather(first, *users)

    task = asyncio.create_task(all_of_them())
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_job_runs_in_another_thread_one_at_a_time(thread: FairThread) -> None:
    found = await asyncio.gather(*(thread.run("ada", threading.get_ident) for _ in range(3)))

    assert len(set(found)) == 1
    assert threading.get_ident() not in found


async def test_users_take_turns_and_the_jobs_of_one_user_stay_in_order(thread: FairThread) -> None:
    gate, done = threading.Event(), list[str]()
    jobs = await waiting(thread, gate, "a1 a2 a3 b1 c1 c2", done)
    gate.set()
    await jobs

    assert done == ["a1", "b1", "c1", "a2", "c2", "a3"]


async def test_an_error_belongs_to_its_caller_and_the_next_job_runs(thread: FairThread) -> None:
    def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await thread.run("ada", fails)
    assert await thread.run("ada", lambda: 1) == 1


async def test_a_caller_that_gives_up_leaves_the_line(thread: FairThread) -> None:
    gate = threading.Event()
    running = asyncio.create_task(thread.run("ada", gate.wait))
    await asyncio.sleep(0)
    left = asyncio.create_task(thread.run("eve", lambda: "never"))
    last = asyncio.create_task(thread.run("bob", lambda: "last"))
    await asyncio.sleep(0)
    left.cancel()
    gate.set()

    assert await last == "last"
    assert await running
    assert left.cancelled()


async def test_a_turn_that_comes_together_with_a_cancellation_is_passed_on(thread: FairThread) -> None:
    gate = threading.Event()
    running = asyncio.create_task(thread.run("ada", gate.wait))
    await asyncio.sleep(0)
    left = asyncio.create_task(thread.run("eve", lambda: "never"))
    last = asyncio.create_task(thread.run("bob", lambda: "last"))
    await asyncio.sleep(0)
    running.add_done_callback(lambda _: left.cancel())
    gate.set()

    assert await last == "last"
