"""Runs a service under load while its parts are killed, stopped and cut off at random, and checks every promise.

``python -m tests.faults.chaos --seeds 3 --seconds 60`` prints a row a seed; the
same seed makes the same wishes and the same faults. Exits with 1 after a violation.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tests.faults.checker import Violation, check
from tests.faults.evidence import Evidence, at_rest, collect
from tests.faults.launcher import AGENTS, Ground, Node, Plot, Role, eventually, http_client, open_ground
from tests.faults.proxy import Direction
from tests.faults.recorder import Following, GaveUpError, Owner, Recorder
from tests.support.limits import HUNG_SECONDS

LEASE_SECONDS = 3.0
CLIENTS = 12
OWNERS = (Owner("tenant-1", "ada"), Owner("tenant-1", "bob"), Owner("tenant-2", "ada"))


@dataclass(frozen=True)
class Report:
    """What one seed did."""

    seed: int
    evidence: Evidence
    violations: list[Violation]
    seconds: list[float]
    """How long each client waited for its run's end."""
    fenced: int

    def row(self) -> list[str]:
        """The report as cells under :data:`HEADER`."""
        ends = Counter(run["error_code"] or run["status"] for run in self.evidence.runs)
        faults = Counter(fault["kind"] for fault in self.evidence.faults)
        waits = sorted(self.seconds)
        return [
            str(self.seed),
            str(len(self.evidence.runs)),
            ", ".join(f"{name} {count}" for name, count in sorted(ends.items())),
            ", ".join(f"{name} {count}" for name, count in sorted(faults.items())),
            str(self.fenced),
            str(ends["worker-lost"]),
            str(sum(run["attempt"] > 1 for run in self.evidence.runs)),
            str(len(self.violations)),
            f"{median(waits):.1f} / {quantiles(waits, n=100)[-1]:.1f} s" if len(waits) > 1 else "-",
        ]


HEADER = ["seed", "runs", "ends", "faults", "fenced", "lost", "retried", "violations", "client p50 / p99"]


class Chaos:
    """One seed on a service of its own."""

    def __init__(self, plot: Plot, recorder: Recorder, seed: int, seconds: float) -> None:
        self._plot = plot
        self._recorder = recorder
        self._choices = random.Random(f"faults-{seed}")
        self._wishes = random.Random(f"wishes-{seed}")
        self._loop = asyncio.get_running_loop()
        self._faults_until = self._loop.time() + seconds
        self.waits: list[float] = []
        self.complaints: list[Violation] = []

    async def run(self) -> None:
        """Start the service, make trouble for a while, and wait until all is quiet."""
        await asyncio.gather(
            *(self._plot.start(role) for role in ("api", "api", "worker", "worker", "worker"))
        )
        clients = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        try:
            await self._make_trouble()
            await self._end_trouble()
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()

    # --- clients

    async def _client(self, number: int) -> None:
        owner = OWNERS[number % len(OWNERS)]
        while self._loop.time() < self._faults_until - 2:
            thread_id = f"thread-{number}-{self._wishes.getrandbits(48):x}"
            for _ in range(self._wishes.choice((1, 1, 2))):
                try:
                    await self._one(thread_id, owner, AGENTS[number // len(OWNERS) % len(AGENTS)])
                except GaveUpError as exc:
                    self.complaints.append(Violation("I2", thread_id, str(exc)))
                    break

    async def _one(self, thread_id: str, owner: Owner, agent: str) -> None:
        choose = self._wishes
        kind = choose.choices(
            ("plain", "tool", "approval", "cancel", "twice", "second", "429", "cut"),
            (40, 20, 6, 8, 8, 8, 5, 5),
        )[0]
        wish = self._recorder.wish(
            words=choose.randint(5, 60),
            pace=choose.choice((0.01, 0.03)),
            tool={"tool": "effect", "approval": "approved_effect"}.get(kind, ""),
            fail=kind if kind in ("429", "cut") else "",
        )
        seen = self._recorder.following(wish.run_id, thread_id, owner)
        run = asyncio.create_task(
            self._recorder.run(wish, thread_id=thread_id, owner=owner, following=seen, agent=agent)
        )
        try:
            await asyncio.wait({run}, timeout=choose.random() * 0.5)
            body = self._recorder.body(wish, thread_id, agent)
            if kind == "cancel" and seen.events:
                await self._recorder.cancel(seen)
            elif kind == "twice":
                await self._recorder.post(owner, body, kind="repeat")
                if seen.events:
                    await self._recorder.post(owner, body | {"state": {"other": True}}, kind="mismatch")
            elif kind == "second" and seen.events:
                other = self._recorder.wish(words=3)
                if (
                    await self._recorder.post(owner, self._recorder.body(other, thread_id), kind="second")
                    == 202
                ):
                    # The first had just ended: this one has the thread now.
                    await self._recorder.follow(self._recorder.following(other.run_id, thread_id, owner))
            if choose.random() < 0.15:
                intruder = choose.choice([other for other in OWNERS if other != owner])
                await self._recorder.intrude(seen, intruder)
            await run
        finally:
            run.cancel()
        self.waits.append(seen.seconds)
        if kind == "approval":
            await self._approve(seen)

    async def _approve(self, seen: Following) -> None:
        """Answer an interrupt, twice at once: one answer counts."""
        end = seen.end or {}
        interrupts = end.get("outcome", {}).get("interrupts", [])
        if not interrupts:
            return

        async def answer() -> None:
            wish = self._recorder.wish()
            body = self._recorder.body(wish, seen.thread_id) | {
                "messages": [],
                "parentRunId": seen.run_id,
                "resume": [
                    {"interruptId": item["id"], "status": "resolved", "payload": {"approved": True}}
                    for item in interrupts
                ],
            }
            try:
                await self._recorder.run(
                    wish, thread_id=seen.thread_id, owner=seen.owner, body=body, path="/resume", kind="resume"
                )
            except GaveUpError as exc:
                if "refused with 409" not in str(exc):
                    raise

        await asyncio.gather(answer(), answer())

    # --- faults

    async def _make_trouble(self) -> None:
        faults: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (5, self._kill_worker),
            (3, self._freeze_worker),
            (2, self._crash_worker),
            (2, self._roll_worker),
            (2, self._kill_api),
            (2, self._roll_api),
            (3, self._kill_redis),
            (2, self._restart_postgres),
            (2, self._cut_worker_from_postgres),
            (2, self._cut_node_from_redis),
            (1, self._slow_postgres),
        ]
        await asyncio.sleep(1.0)
        while (left := self._faults_until - self._loop.time()) > 0:
            [fault] = self._choices.choices([fault for _, fault in faults], [weight for weight, _ in faults])
            await fault()
            await asyncio.sleep(min(left, self._choices.uniform(0.5, 2.5)))

    async def _end_trouble(self) -> None:
        for node in self._plot.nodes:
            if node.running:
                node.send(signal.SIGCONT)
                await node.postgres.heal()
                await node.redis.heal()

    @asynccontextmanager
    async def _fault(self, kind: str, node: Node | None = None) -> AsyncIterator[None]:
        line = {
            "kind": kind,
            "node": node.name if node else "",
            "pid": node.pid if node else 0,
            "since": time.time(),
            "until": time.time() + 60.0,
        }
        self._recorder.evidence.faults.append(line)
        yield
        line["until"] = time.time() + (
            LEASE_SECONDS if kind.startswith("worker") or kind == "zombie" else 0.0
        )

    def _pick(self, role: Role) -> Node:
        nodes = self._plot.workers if role == "worker" else self._plot.apis
        return self._choices.choice(nodes)

    async def _kill_worker(self) -> None:
        node = self._pick("worker")
        async with self._fault("worker kill", node):
            await node.kill()
            await self._plot.start("worker")

    async def _crash_worker(self) -> None:
        """Replace a worker by one that dies at some point of its work, and that one by a sound one."""
        node = self._pick("worker")
        point = self._choices.choice(
            ("claim-committed", "append-sent:5", "append-committed:9", "published:7", "tool-before", "tool-after",
             "end-before-commit", "end-committed", "reaper-committed")
        )  # fmt: skip
        async with self._fault("worker crash", node):
            await self._plot.start("worker", crash_point=point)
            await node.kill()
            await asyncio.sleep(self._choices.uniform(0.5, 2.0))
            await self._plot.start("worker")

    async def _freeze_worker(self) -> None:
        """Hold a worker past its lease: when it comes back, its runs are no longer its own."""
        node = self._pick("worker")
        async with self._fault("zombie", node):
            node.send(signal.SIGSTOP)
            await asyncio.sleep(LEASE_SECONDS + self._choices.uniform(0.5, 2.0))
            node.send(signal.SIGCONT)

    async def _roll_worker(self) -> None:
        node = self._pick("worker")
        async with self._fault("worker roll", node):
            await self._plot.start("worker")
            await node.terminate()

    async def _kill_api(self) -> None:
        node = self._pick("api")
        async with self._fault("api kill", node):
            await node.kill()
            await self._plot.start("api")

    async def _roll_api(self) -> None:
        node = self._pick("api")
        async with self._fault("api roll", node):
            await self._plot.start("api")
            await node.terminate()

    async def _kill_redis(self) -> None:
        """SIGKILL Valkey and lose everything it had."""
        async with self._fault("redis"):
            await lose_redis(self._plot.ground, self._choices.uniform(0.0, 1.5))

    async def _restart_postgres(self) -> None:
        async with self._fault("postgres"):
            await restart_postgres(self._plot.ground)

    async def _cut_worker_from_postgres(self) -> None:
        node = self._pick("worker")
        async with self._fault("worker cut off", node):
            directions: list[tuple[Direction, ...]] = [(), ("up",), ("down",)]
            node.postgres.hold(*self._choices.choice(directions))
            await asyncio.sleep(self._choices.uniform(0.5, LEASE_SECONDS + 1.5))
            if self._choices.random() < 0.5:
                node.postgres.cut()
            node.postgres.release()

    async def _cut_node_from_redis(self) -> None:
        node = self._choices.choice([*self._plot.workers, *self._plot.apis])
        async with self._fault("redis cut off", node):
            if self._choices.random() < 0.5:
                await node.redis.refuse()
            else:
                node.redis.hold()
            await asyncio.sleep(self._choices.uniform(0.5, 2.0))
            await node.redis.heal()

    async def _slow_postgres(self) -> None:
        async with self._fault("slow postgres"):
            nodes = [node for node in self._plot.nodes if node.running]
            for node in nodes:
                node.postgres.delay_seconds = 0.1
            await asyncio.sleep(2.0)
            for node in nodes:
                node.postgres.delay_seconds = 0.0


async def lose_redis(ground: Ground, away_seconds: float = 0.0) -> None:
    """SIGKILL Valkey, drop what it had, and start it again after a while."""
    ground.valkey.kill()
    shutil.rmtree(ground.valkey.data_dir / "appendonlydir", ignore_errors=True)
    await asyncio.sleep(away_seconds)
    await asyncio.to_thread(ground.valkey.start)


async def restart_postgres(ground: Ground, away_seconds: float = 0.0) -> None:
    """Stop Postgres at once, as ``pg_ctl -m immediate`` does, and start it again: it recovers from its log."""
    assert ground.postgres.pid is not None
    os.kill(ground.postgres.pid, signal.SIGQUIT)
    await eventually(lambda: not ground.postgres.running)
    await asyncio.sleep(away_seconds)
    await asyncio.to_thread(ground.postgres.start)


async def run_seed(
    ground: Ground,
    seed: int,
    seconds: float,
    *,
    env: Mapping[str, str] | None = None,
    at_end: Callable[[Plot], Awaitable[None]] | None = None,
) -> Report:
    """Run one seed and check it.

    Args:
        ground: What the service stands on.
        seed: Of all that is by chance.
        seconds: How long faults go on.
        env: More variables of all processes.
        at_end: Called when all is quiet, and before the service goes.
    """
    variables = {"AGENT_WORKER__LEASE_SECONDS": str(LEASE_SECONDS), **(env or {})}
    async with ground.plot(variables) as plot, http_client() as client:
        recorder = Recorder(plot, client, seed=seed)
        chaos = Chaos(plot, recorder, seed, seconds)
        await chaos.run()
        for run in await at_rest(plot, HUNG_SECONDS):
            chaos.complaints.append(Violation("I2", run["run_id"], f"is {run['status']} at rest"))
        if at_end is not None:
            await at_end(plot)
        evidence = await collect(plot, recorder.evidence)
        fenced = sum(
            line.get("message") == "run_lost"
            for node in plot.nodes
            if node.role == "worker"
            for line in node.log()
        )
        evidence.save(plot.directory / "evidence")
        return Report(seed, evidence, [*chaos.complaints, *check(evidence)], chaos.waits, fenced)


def table(reports: list[Report]) -> str:
    """Return a Markdown table of seeds."""
    rows = [HEADER, ["---"] * len(HEADER), *(report.row() for report in reports)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


async def _main(seeds: list[int], seconds: float, directory: Path) -> int:
    reports: list[Report] = []
    async with open_ground(directory) as ground:
        for seed in seeds:
            report = await run_seed(ground, seed, seconds)
            reports.append(report)
            print(table([report]) if len(reports) == 1 else f"| {' | '.join(report.row())} |", flush=True)
            for violation in report.violations[:20]:
                print(f"  {violation}", flush=True)
    return int(any(report.violations for report in reports))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="tests.faults.chaos", description="Breaks a service and checks its promises."
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults go on, a seed")
    parser.add_argument("--keep", type=Path, help="logs and evidence stay in this directory")
    options = parser.parse_args()
    # The model's callers are killed in the middle of its answers.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    seeds = list(range(options.first_seed, options.first_seed + options.seeds))
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        directory: Path = (options.keep or Path(temporary)).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        sys.exit(asyncio.run(_main(seeds, options.seconds, directory)))


if __name__ == "__main__":
    main()
