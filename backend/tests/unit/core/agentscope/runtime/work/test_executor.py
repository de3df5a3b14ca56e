"""The runs of one worker: each attempt is one of its own, and users share the slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.runtime.stop_signal import StopReason, StopSignal
from core.agentscope.runtime.work import executor as executor_module
from core.agentscope.runtime.work.executor import AT_ONCE, RunExecutor
from core.agentscope.runtime.work.leases import ClaimedRun
from core.config import Settings
from core.identity import Principal

HOG, OTHER = Principal("t", "hog"), Principal("t", "other")


class Queue:
    """Runs in a queue, and the scopes that execute them until they are told to end."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, owners: dict[int, Principal], **settings: Any
    ) -> None:
        self.owners = owners
        self.attempts: dict[int, int] = {}
        self.running: dict[tuple[int, int], asyncio.Future[None]] = {}
        self.reasons: dict[tuple[int, int], StopReason | None] = {}
        self.begun: dict[int, Callable[[], None]] = {}
        """What a run calls when its first model call may be sent."""
        sections = Settings.model_validate({"worker": {"concurrency": 4, "user_share": 0.75}} | settings)
        services: Any = SimpleNamespace(settings=sections, titles=self)
        leases: Any = self
        monkeypatch.setattr(executor_module, "RunScope", self.scope)
        self.executor = RunExecutor(leases, services)

    async def find_queued(self, run_pk: int) -> Principal | None:
        return self.owners.get(run_pk)

    async def claim(self, run_pk: int) -> ClaimedRun:
        attempt = self.attempts[run_pk] = self.attempts.get(run_pk, 0) + 1
        owned = OwnedRun(run_pk, 1, 1, attempt, 0)
        return ClaimedRun(owned, self.owners[run_pk], "thread", f"run-{run_pk}", "{}", None, 60.0)

    async def stop(self) -> None:
        pass

    def scope(self, run: ClaimedRun, stop: StopSignal, _services: Any, begun: Callable[[], None]) -> Any:
        self.begun[run.owned.run_pk] = begun
        return SimpleNamespace(execute=lambda: self.execute(run.owned.claim, stop))

    async def execute(self, claim: tuple[int, int], stop: StopSignal) -> None:
        done = self.running[claim] = asyncio.get_running_loop().create_future()
        stop.on_set(lambda: done.done() or done.set_result(None))
        await done
        self.reasons[claim] = stop.reason
        del self.running[claim]

    async def start(self, *run_pks: int) -> None:
        for run_pk in run_pks:
            self.executor.start(run_pk)
        await self.settle()

    async def settle(self) -> None:
        # Whatever is to happen takes a few turns of the loop, and no time.
        for _ in range(20):
            await asyncio.sleep(0)

    def end(self, run_pk: int) -> None:
        self.running[(run_pk, self.attempts[run_pk])].set_result(None)


@pytest.mark.parametrize("first_to_end", [1, 2])
async def test_two_attempts_of_a_run_in_one_process_are_stopped_both(
    monkeypatch: pytest.MonkeyPatch, first_to_end: int
) -> None:
    queue = Queue(monkeypatch, {1: HOG})
    await queue.start(1, 1)
    assert list(queue.running) == [(1, 1), (1, 2)]

    queue.running[(1, first_to_end)].set_result(None)
    await queue.settle()
    # The other one is still found, by a cancel as by a drain.
    queue.executor.cancel(1)
    await queue.settle()

    assert queue.reasons == {(1, first_to_end): None, (1, 3 - first_to_end): "user"}
    await queue.start(1, 1)
    await queue.executor.drain(0)
    assert [queue.reasons[(1, attempt)] for attempt in (3, 4)] == ["shutdown"] * 2


async def test_many_runs_of_one_user_leave_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(monkeypatch, dict.fromkeys(range(1, 8), HOG) | {99: OTHER})
    await queue.start(*range(1, 5))
    await queue.start(5)
    assert {run_pk for run_pk, _ in queue.running} == {1, 2, 3}

    await queue.start(99)
    assert (99, 1) in queue.running

    # What found no slot is started as soon as there is one, without another hint.
    queue.end(99)
    queue.end(1)
    await queue.settle()
    assert {run_pk for run_pk, _ in queue.running} == {2, 3, 4}
    await queue.executor.drain(0)
    assert set(queue.attempts) == {1, 2, 3, 4, 99}


async def test_local_mode_has_one_user_and_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(monkeypatch, dict.fromkeys(range(1, 5), HOG), identity={"mode": "local"})
    # Nor is the user of a run looked for.
    monkeypatch.delattr(Queue, "find_queued")
    await queue.start(*range(1, 5))
    assert len(queue.running) == 4
    await queue.executor.drain(0)


async def test_a_run_of_a_user_whose_share_is_used_up_is_left_to_another_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = Queue(monkeypatch, dict.fromkeys(range(1, 6), HOG) | {99: OTHER})
    await queue.start(1, 2, 3)

    assert queue.executor.start(4, HOG) is None
    assert queue.executor.start(99, OTHER) is not None
    await queue.executor.drain(0)


async def test_a_full_worker_remembers_the_run_of_a_user_who_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owners = dict.fromkeys(range(1, 4), HOG) | {99: OTHER}
    queue = Queue(monkeypatch, owners, worker={"concurrency": 1, "user_share": 0.75})
    await queue.start(1)
    # As the reaper does, which names each user's oldest run first.
    for run_pk in (2, 99, 3):
        assert queue.executor.start(run_pk, owners[run_pk]) is None

    order = []
    for run_pk in (1, 99, 2, 3):
        assert (run_pk, 1) in queue.running
        queue.end(run_pk)
        await queue.settle()
        order.append(run_pk)
    assert order == [1, 99, 2, 3]
    await queue.executor.drain(0)


async def test_a_full_worker_takes_hints_again_when_a_run_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(monkeypatch, {run_pk: Principal("t", str(run_pk)) for run_pk in range(1, 5)})
    await queue.start(1, 2, 3)
    assert await queue.executor.room() == 1
    await queue.start(4)
    waiting = asyncio.create_task(queue.executor.room())
    await queue.settle()
    assert not waiting.done()

    queue.end(2)
    assert await waiting == 1

    drained = asyncio.create_task(queue.executor.drain(0))
    left = asyncio.create_task(queue.executor.room())
    await drained
    assert not left.done(), "a worker that drains has no room"
    left.cancel()


async def test_a_run_that_ignores_its_end_is_known_to_hang_and_a_drain_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = Queue(monkeypatch, {1: HOG, 2: OTHER})
    deaf = asyncio.Event()

    async def ignores_the_stop(claim: tuple[int, int], _stop: StopSignal) -> None:
        queue.running[claim] = asyncio.get_running_loop().create_future()
        await deaf.wait()

    now = 0.0
    monkeypatch.setattr(executor_module, "time", SimpleNamespace(monotonic=lambda: now))
    with monkeypatch.context() as patch:
        patch.setattr(queue, "execute", ignores_the_stop)
        await queue.start(1)
    # Claimed for 60 s more.
    now = 60.0 + executor_module.HANG_SECONDS - 1
    assert queue.executor.hung() == []
    now += 1
    assert queue.executor.hung() == [1]
    await queue.start(2)

    await queue.executor.drain(0)

    assert queue.reasons == {(2, 1): "shutdown"}
    assert queue.executor.running == 1
    deaf.set()
    await queue.settle()
    assert (queue.executor.running, queue.executor.hung()) == (0, [])


async def test_few_runs_begin_at_once_and_each_that_has_begun_lets_the_next_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pks = range(1, AT_ONCE + 4)
    queue = Queue(monkeypatch, dict.fromkeys(pks, HOG), worker={"concurrency": 20})
    await queue.start(*pks)
    assert list(queue.attempts) == [*range(1, AT_ONCE + 1)]

    queue.begun[2]()
    queue.begun[2]()
    await queue.settle()
    assert list(queue.attempts) == [*range(1, AT_ONCE + 2)]

    # The end of a run that never asked a model, too.
    queue.end(1)
    await queue.settle()
    assert list(queue.attempts) == [*range(1, AT_ONCE + 3)]
