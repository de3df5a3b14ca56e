"""One targeted fault for each mutant: where the sound service keeps its promise and the broken one cannot."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from tests.faults.checker import Violation, check
from tests.faults.evidence import collect, unended
from tests.faults.launcher import AGENTS, Ground, Node, Plot, eventually, http_client
from tests.faults.model import Wish
from tests.faults.recorder import Following, GaveUpError, Owner, Recorder
from tests.support.limits import NEVER_SECONDS

HOLD = 10
"""Words that are shown before the model waits."""


class Scene:
    """A service with one mutant (or none) and one client."""

    def __init__(self, plot: Plot, client: httpx.AsyncClient, mutant: str) -> None:
        self.plot = plot
        self.recorder = Recorder(plot, client)
        self.mutant = mutant
        self.run: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(0))
        self.gate = ""

    async def begin(self, *, words: int = 30, pace: float = 0.005, hold: int = HOLD) -> Following:
        """Start a run and return once the model waits in the middle of its answer and clients saw that much."""
        name = self.plot.ground.next_name("gate")
        wish = self.recorder.wish(words=words, pace=pace, hold=hold, gate=name)
        self.gate = name
        seen = self.recorder.following(wish.run_id, f"thread-{wish.run_id}", Owner())
        self.run = asyncio.create_task(self._run(wish, seen))
        await self.plot.ground.gates.reached(name)
        await seen.until(lambda seen: f"w{hold}-" in seen.text)
        return seen

    def go_on(self) -> None:
        """Let the model go on."""
        self.plot.ground.gates.open(self.gate)

    async def last_seq(self) -> int:
        return (await self.plot.fetch("SELECT last_seq FROM agent_run ORDER BY id DESC LIMIT 1"))[0][0]

    async def _run(self, wish: Wish, seen: Following) -> None:
        # A broken service may leave its client waiting; what it saw until then counts.
        with contextlib.suppress(GaveUpError):
            await self.recorder.run(wish, following=seen, stream=False)


async def zombie(scene: Scene) -> None:
    """A worker is held past its lease, and comes back after the reaper has ended its run."""
    await scene.plot.start("api")
    first = await scene.plot.start("worker", mutant=scene.mutant)
    seen = await scene.begin()
    first.send(signal.SIGSTOP)
    await scene.plot.expire_leases()
    await scene.plot.start("worker")
    await seen.shows("RUN_ERROR")
    ended = await scene.last_seq()
    scene.go_on()
    first.send(signal.SIGCONT)

    async def came_back() -> bool:
        return first.logged("run_lost") is not None or await scene.last_seq() > ended

    await eventually(came_back)


async def crash_in_the_end(scene: Scene) -> None:
    """A worker dies inside the transaction that ends a run."""
    await scene.plot.start("api")
    first = await scene.plot.start("worker", mutant=scene.mutant, crash_point="end-before-commit")
    await scene.begin()
    scene.go_on()
    await first.wait()
    await scene.plot.expire_leases()
    await scene.plot.start("worker")


async def crash_before_commit(scene: Scene) -> None:
    """Postgres falls silent for a worker that has more to say, and then the worker dies."""
    await scene.plot.start("api")
    first = await scene.plot.start("worker", mutant=scene.mutant)
    seen = await scene.begin(pace=0.02)
    shown = len(seen.events)

    async def nothing_under_way() -> bool:
        return await scene.last_seq() == shown

    await eventually(nothing_under_way)
    first.postgres.hold()
    scene.go_on()
    if scene.mutant:
        await seen.until(lambda seen: len(seen.events) > shown)
    await first.kill()
    await scene.plot.expire_leases()
    await scene.plot.start("worker")


async def lost_publish(scene: Scene) -> None:
    """Some events of a stream never reach Redis."""
    # The next doorbell shows the gap, before a patrol would fill it.
    await scene.plot.start("api", mutant=scene.mutant, env={"AGENT_STREAM__PATROL_SECONDS": "10"})
    worker = await scene.plot.start("worker")
    await scene.begin(words=60, pace=0.03)
    await worker.redis.refuse()
    scene.go_on()
    await eventually(lambda: worker.logged("publish_failed") is not None)
    await worker.redis.heal()


async def repeated_hint(scene: Scene) -> None:
    """The hint of a run that is being executed is delivered again."""
    await scene.plot.start("api")
    await scene.plot.start("worker", mutant=scene.mutant)
    await scene.begin()
    async with scene.plot.redis() as redis:
        hints = f"{scene.plot.key_prefix}:hints"
        entries: list[Any] = await redis.xrange(hints) or []
        await redis.xadd(hints, entries[-1][1])

        async def delivered() -> bool:
            groups = await redis.xinfo_groups(hints)
            return groups[0]["entries-read"] == len(entries) + 1 and groups[0]["pending"] == 0

        await eventually(delivered)
    if scene.mutant:

        async def claimed_again() -> bool:
            return (await scene.plot.fetch("SELECT attempt FROM agent_run"))[0][0] > 1

        await eventually(claimed_again)
    scene.go_on()


async def intruder(scene: Scene) -> None:
    """Others try to read and to stop a run that streams."""
    await scene.plot.start("api", mutant=scene.mutant)
    await scene.plot.start("worker")
    seen = await scene.begin()
    await scene.recorder.intrude(seen, Owner("tenant-1", "eve"))
    await scene.recorder.intrude(seen, Owner("tenant-2", "ada"))
    scene.go_on()


async def lost_answer(scene: Scene) -> None:
    """An append is committed and the connection breaks before its answer."""
    await scene.plot.start("api")
    worker = await scene.plot.start("worker", mutant=scene.mutant)
    await scene.begin()
    before = await scene.last_seq()
    worker.postgres.hold("down")
    scene.go_on()

    async def committed() -> bool:
        return await scene.last_seq() > before

    await eventually(committed)
    worker.postgres.cut()
    worker.postgres.release()


async def killed_worker(scene: Scene) -> None:
    """A worker dies in the middle of an answer."""
    await scene.plot.start("api")
    first = await scene.plot.start("worker")
    await scene.begin()
    scene.go_on()
    await first.kill()
    await scene.plot.expire_leases()
    await scene.plot.start("worker", mutant=scene.mutant)


async def slow_commits(scene: Scene) -> None:
    """A tool would be faster than the commit of its call, with each agent."""
    await scene.plot.start("api")
    worker = await scene.plot.start("worker", mutant=scene.mutant)
    worker.postgres.delay_seconds = 0.1
    async with asyncio.TaskGroup() as runs:
        for agent in AGENTS:
            runs.create_task(scene.recorder.run(scene.recorder.wish(words=3, tool="effect"), agent=agent))


@dataclass(frozen=True)
class Proof:
    """What a mutant is shown with, and the promises of which it must break one."""

    scenario: Callable[[Scene], Awaitable[None]]
    breaks: frozenset[str]
    runs: int = 1
    """In how many runs at least."""


PROOFS: dict[str, Proof] = {
    "no-fence": Proof(zombie, frozenset({"I4", "I6"})),
    "split-end": Proof(crash_in_the_end, frozenset({"I2", "I3", "I4", "I8", "I9"})),
    "publish-first": Proof(crash_before_commit, frozenset({"I13"})),
    "no-gap-rule": Proof(lost_publish, frozenset({"I13"})),
    "claim-any": Proof(repeated_hint, frozenset({"I6"})),
    "any-tenant": Proof(intruder, frozenset({"I14"})),
    "blind-retry": Proof(lost_answer, frozenset({"I10"})),
    "requeue-any": Proof(killed_worker, frozenset({"I6"})),
    "no-gate": Proof(slow_commits, frozenset({"I12"}), runs=len(AGENTS)),
}


async def play(ground: Ground, proof: Proof, mutant: str) -> list[Violation]:
    """Play a scenario with a mutant, or with none, and return what the checker finds."""
    pace = {"AGENT_WORKER__LEASE_SECONDS": str(NEVER_SECONDS), "FAULTS_REAPER_SECONDS": "0.2"}
    async with ground.plot(pace) as plot, http_client() as client:
        scene = Scene(plot, client, mutant)
        found: list[Violation] = []

        async def settled() -> bool:
            """All has ended or, as a broken service may leave its run for ever, the log itself is broken."""
            nonlocal found
            at_rest = scene.run.done() and not await unended(plot)
            if at_rest or mutant:
                found = await _judge(scene)
            return at_rest or bool(proof.breaks & _BROKEN_LOG & {violation.invariant for violation in found})

        try:
            await proof.scenario(scene)
            with contextlib.suppress(TimeoutError):
                await eventually(settled, pause_seconds=0.1)
        finally:
            scene.run.cancel()
        assert mutant or not await unended(plot)
        return found


_BROKEN_LOG = frozenset({"I3"})
"""What no statement of a sound service leaves behind, not even for a moment."""


async def _judge(scene: Scene) -> list[Violation]:
    evidence = scene.recorder.evidence.copy()
    node = _stopped(scene.plot)
    evidence.faults.append(
        {
            "kind": "zombie" if node else "scenario",
            "node": "",
            "pid": node.pid if node else 0,
            "since": 0.0,
            "until": float("inf"),
        }
    )
    return check(await collect(scene.plot, evidence))


def _stopped(plot: Plot) -> Node | None:
    return next((node for node in plot.nodes if node.was_stopped), None)
