"""Whatever is broken, the service says so: each fault is injected, and the run's owner asks why.

Real processes and servers, as in all tests of this folder. What would take a time takes it on the test's clock: rows are
made older. Workers that are to die have a queue of hints of their own, so that each gets the run that is meant for it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from redis.asyncio import Redis
from tests.faults import stuck_tools
from tests.faults.chaos import lose_redis
from tests.faults.launcher import BACKEND, SECRET, Ground, Node, Plot, eventually, http_client
from tests.faults.model import Wish
from tests.faults.stuck import ABSORBED, ALSO, ANSWERS, CAUSES, ELSEWHERE
from tests.support.limits import NEVER_SECONDS
from tests.support.manual_worker import manual_reaper

from core.agentscope.runtime.hints import hint_message
from core.config import Settings

FAULTS = [f"F{number}" for number in range(1, 44)]
NEVER = {
    # Nothing is repaired before the test says so.
    "AGENT_WORKER__HINT_AFTER_SECONDS": str(NEVER_SECONDS),
    "AGENT_WORKER__REAP_SECONDS": str(NEVER_SECONDS),
    "AGENT_WORKER__LEASE_SECONDS": str(NEVER_SECONDS),
    "AGENT_LIMITS__RUN_SECONDS": str(2 * NEVER_SECONDS),
    "AGENT_LIMITS__QUEUE_SECONDS": str(2 * NEVER_SECONDS),
    "AGENT_WORKER__DRAIN_SECONDS": "0",
}
LEASE_SECONDS = 20.0
"""For the process that is asked: workers hold longer ones, so that no busy machine ends them."""
_OLD_ENOUGH = f"SELECT 1 WHERE now() - pg_postmaster_start_time() > interval '{LEASE_SECONDS + 2} s'"
DYING = {
    "F6": "claim-committed",
    "F8": "append-committed:2",
    "F9": "append-sent:2",
    "F10": "published:2",
    "F11": "end-before-commit",
    "F38": "claim-committed",
}
HELD = ("F12", "F40", "F42")
_OLDER = (
    """UPDATE agent_run SET created_at = created_at - $2::interval, started_at = started_at - $2::interval,
        queue_deadline_at = queue_deadline_at - $2::interval WHERE id = $1""",
    """UPDATE agent_run_event AS e SET created_at = e.created_at - $2::interval FROM agent_run AS r
        WHERE r.id = $1 AND (e.session_id, e.ordinal) = (r.session_id, r.ordinal)""",
    "UPDATE agent_model_call SET created_at = created_at - $2::interval WHERE run_pk = $1",
)


class Asked:
    """The runs of one test, by their faults, and what is said of them."""

    def __init__(self, plot: Plot, client: httpx.AsyncClient, redis: Redis, api: Node) -> None:
        self.plot = plot
        self.client = client
        self.redis = redis
        self.api = api
        self.told: dict[str, list[str]] = {}
        self.hints = f"{plot.key_prefix}:hints"

    async def post(
        self, name: str, api: Node | None = None, thread: str = "", words: int = 3, **wish: Any
    ) -> None:
        """Start the run of a fault; ``wish`` says what its model does."""
        message = Wish(name, words=words, **wish).message()
        body = {
            "threadId": thread or f"t-{name}",
            "runId": name,
            "protocolVersion": "1.0",
            "messages": [{"id": f"m-{name}", "role": "user", "content": message}],
            "forwardedProps": {"onBusy": "enqueue"},
        }
        answer = await self.request("POST", "/agent/runs", api=api, json=body)
        assert answer.status_code == 202, answer.text

    async def post_to_a_dying_process(self, name: str, api: Node) -> None:
        try:
            await self.post(name, api)
        except httpx.TransportError:
            await api.wait()

    async def request(
        self, method: str, path: str, *, api: Node | None = None, user: str = "ada", **options: Any
    ) -> httpx.Response:
        """Send a request of somebody who may do everything."""
        known = jwt.decode(self.plot.token("tenant-1", user), options={"verify_signature": False})
        token = jwt.encode(known | {"scope": "run read admin"}, SECRET, algorithm="HS256")
        address = f"{(api or self.api).url}/api/v1{path}"
        return await self.client.request(
            method, address, headers={"Authorization": f"Bearer {token}"}, **options
        )

    async def why(self, name: str, *, thread: str = "", user: str = "ada") -> dict[str, Any]:
        query = {"threadId": thread or f"t-{name}"}
        return (await self.request("GET", f"/agent/runs/{name}/why", user=user, params=query)).json()

    async def note(self, name: str, **options: str) -> str:
        """Ask why, and keep the cause, or the code of the refusal."""
        found = await self.why(name, **options)
        cause = found.get("cause") or found["code"]
        self.told.setdefault(name, []).append(cause)
        return cause

    async def becomes(self, name: str, cause: str, **options: str) -> None:
        """Wait until this is the cause, and keep it."""

        async def is_so() -> bool:
            found = await self.why(name, **options)
            return cause in (found.get("cause"), found.get("code"))

        try:
            await eventually(is_so)
        except TimeoutError:
            raise AssertionError(f"{name} is no {cause}: {await self.why(name, **options)}") from None
        await self.note(name, **options)

    async def row(self, name: str) -> int:
        [row] = await self.plot.fetch("SELECT id FROM agent_run WHERE run_id = $1", name)
        return row["id"]

    async def give(self, name: str, worker: str) -> None:
        """Send the hint of a run to the worker that has a queue of its own."""
        [row] = await self.plot.fetch("SELECT id, task_id FROM agent_run WHERE run_id = $1", name)
        await self.redis.xadd(f"{worker}:hints", {b"data": hint_message(row["id"], row["task_id"])})

    async def older(self, name: str, seconds: float) -> None:
        """Let a time pass for a run."""
        row = await self.row(name)
        for statement in _OLDER:
            await self.plot.fetch(statement, row, timedelta(seconds=seconds))

    async def end_lease(self, *names: str, left: float = -1) -> None:
        await self.plot.fetch(
            """UPDATE agent_run SET lease_until = clock_timestamp() + $2::float8 * interval '1 second'
            WHERE run_id = ANY($1) AND status = 'running'""",
            list(names),
            left,
        )

    async def repair(self) -> None:
        """Do what the next turn of the reaper does."""
        settings = Settings.model_validate(
            {
                "database": {"url": self.plot.database_url},
                "redis": {"url": self.plot.ground.valkey.url, "key_prefix": self.plot.key_prefix},
                "worker": {"lease_seconds": NEVER_SECONDS},
            }
        )
        async with manual_reaper(settings) as reaper:
            await reaper.reap()


@asynccontextmanager
async def opened(ground: Ground, folder: Path) -> AsyncIterator[tuple[Asked, dict[str, Node]]]:
    """A service with three API processes, two of which will die, and workers that wait for their runs."""
    folder.joinpath("built-in.toml").write_text(stuck_tools.profile())
    profile = {
        "AGENT_PROFILE_PATH": str(folder),
    }
    async with ground.plot(NEVER) as plot, http_client() as client:
        await plot.fetch("INSERT INTO agent_chore (name, next_at) VALUES ('reap', now() + interval '1 hour')")
        redis = plot.redis()

        def worker(name: str) -> Any:
            env = profile | {"AGENT_REDIS__KEY_PREFIX": f"{plot.key_prefix}-{name}"}
            return plot.start("worker", crash_point=DYING.get(name, ""), env=env)

        names = [*(name for name in DYING if name != "F38"), *HELD]
        started = await asyncio.gather(
            plot.start("api", env={"AGENT_WORKER__LEASE_SECONDS": str(LEASE_SECONDS)}),
            plot.start("api", crash_point="accept-inserted"),
            plot.start("api", crash_point="accept-committed"),
            *map(worker, names),
        )
        nodes = dict(zip(["api", "F1", "F2", *names], started, strict=True))
        try:
            yield Asked(plot, client, redis, nodes["api"]), nodes
        finally:
            await redis.aclose()


async def lose_hints(asked: Asked, nodes: dict[str, Node]) -> None:
    """Accept runs whose hints go nowhere, each for a reason of its own. No worker listens yet."""
    redis: Any = asked.redis
    hints = asked.hints
    await asked.post("F13")
    ground = asked.plot.ground
    losing = asyncio.create_task(lose_redis(ground, away_seconds=0.3))
    await eventually(lambda: not ground.valkey.running)
    await asked.post("F14")
    await losing
    await asked.post("F15")
    await redis.xdel(hints, *[entry for entry, _ in await redis.xrevrange(hints, count=1)])
    await redis.config_set("maxmemory", 1)
    await asked.post("F16")
    await redis.config_set("maxmemory", 0)
    await asked.post("F17")
    await redis.delete(hints)
    await asked.post("F19")
    await redis.flushall()
    await asked.post("F41")
    [(entry, fields)] = await redis.xrevrange(hints, count=1)
    await redis.xdel(hints, entry)
    await redis.xadd(hints, {b"data": fields[b"data"].replace(b"agent_run", b"another_task")})
    for name in ("F1", "F2"):
        await asked.post_to_a_dying_process(name, nodes[name])


async def lose_workers(asked: Asked, nodes: dict[str, Node]) -> None:
    """Give runs to workers that die or are held."""
    gates, prefix = asked.plot.ground.gates, asked.plot.key_prefix
    wishes: dict[str, dict[str, Any]] = {
        "F7": {"hold": 1, "gate": f"{prefix}-F7"},
        "F12": {"hold": 1, "gate": f"{prefix}-F12"},
        "F40": {"hold": 1, "gate": f"{prefix}-F40"},
        "F42": {"tool": "block"},
        # Long enough for several commits.
        **{name: {"words": 30, "pace": 0.03} for name in ("F8", "F9", "F10", "F11")},
    }
    for name in ("F6", "F8", "F9", "F10", "F11", "F12", "F7", "F40", "F42"):
        await asked.post(name, **wishes.get(name, {}))
        await asked.give(name, f"{prefix}-{'F12' if name == 'F7' else name}")
    # Nobody else is to hear of them.
    await asked.redis.delete(asked.hints)
    for name in ("F12", "F7", "F40"):
        await gates.reached(f"{prefix}-{name}")
    await eventually(lambda: any(line["run_id"] == "F42" for line in asked.plot.tool_lines()))
    nodes["F12"].send(signal.SIGSTOP)
    for name in ("F6", "F8", "F9", "F10", "F11"):
        await nodes[name].wait()
    await nodes["F40"].terminate()


async def name_lost_workers(asked: Asked, nodes: dict[str, Node]) -> None:
    """Ask why, before and after the leases end and the repairs come."""
    plot = asked.plot
    # A lease that was renewed before the database started would be another fault.
    await eventually(lambda: plot.fetch(_OLD_ENOUGH))
    await asked.becomes("F40", "worker-shutdown")
    await asked.end_lease("F12", left=LEASE_SECONDS / 2 - 1)
    await asked.note("F12")
    lost = ["F6", "F7", "F8", "F9", "F10", "F11", "F12"]
    await asked.end_lease(*lost)
    for name in lost:
        await asked.note(name)
    assert "will be tried again" in (await asked.why("F6"))["explanation"]
    assert "worker-lost" in (await asked.why("F7"))["explanation"]
    # The same fault, if nobody could repair for a while: then the database was away.
    await plot.fetch("UPDATE agent_chore SET next_at = next_at - interval '3 hours' WHERE name = 'reap'")
    asked.told["F21"] = [(await asked.why("F7"))["cause"]]
    await plot.fetch("UPDATE agent_chore SET next_at = next_at + interval '3 hours' WHERE name = 'reap'")
    await asked.older("F42", 80)
    await asked.note("F42")
    await nodes["F12"].kill()
    await asked.repair()
    for name in lost:
        await asked.note(name)


async def poison(asked: Asked) -> None:
    """A run that kills each of its workers: the run of F6 once more, by a worker that finds it by itself."""
    env = {"AGENT_REDIS__KEY_PREFIX": f"{asked.plot.key_prefix}-F38"}
    second = await asked.plot.start("worker", crash_point=DYING["F38"], env=env)
    await second.wait()
    await asked.end_lease("F6")
    await asked.repair()
    asked.told["F38"] = [(await asked.why("F6"))["cause"]]


async def lose_servers(asked: Asked) -> None:
    """Redis is away, then Postgres takes no writes, and is away."""
    api, plot = asked.api, asked.plot
    await api.redis.refuse()
    await asked.post("F4")
    await asked.becomes("F4", "redis-away")
    await plot.fetch("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        await plot.fetch("SELECT pg_reload_conf()")
        await asked.becomes("F4", "store-read-only")
    finally:
        await plot.fetch("ALTER SYSTEM RESET default_transaction_read_only")
        await plot.fetch("SELECT pg_reload_conf()")
    asked.told["F24"] = asked.told["F4"][-1:]
    await api.postgres.refuse()
    asked.told["F20"] = [(await asked.why("F4"))["code"]]
    await api.postgres.heal()
    await api.redis.heal()
    await asked.becomes("F4", "hint-lost")


async def go_on(asked: Asked) -> None:
    """What waited for a hint is queued again by the operator, and ends well."""
    for name in ("F2", "F4", "F13", "F14", "F15", "F16", "F17", "F19", "F41"):
        again = await asked.request("POST", f"/admin/runs/{await asked.row(name)}/requeue")
        assert again.status_code == 202, again.text
        if name == "F2":
            # A hint that comes twice.
            await asked.request("POST", f"/admin/runs/{await asked.row(name)}/requeue")
    for name in ("F2", "F3", "F13", "F14", "F15", "F16", "F17", "F19", "F41"):
        await asked.becomes(name, "succeeded")
    asked.told["F5"] = asked.told["F2"][-1:]
    found = await asked.why("F2")
    assert found["evidence"]["attempt"] == 1


async def live_runs(asked: Asked) -> None:
    """Runs of a worker that lives: at their models, at their tools, behind each other."""
    gate = f"{asked.plot.key_prefix}-live"
    wishes: dict[str, dict[str, Any]] = {
        "F26-first": {"thread": "t-F26", "hold": 1, "gate": gate},
        "F26": {},
        "F27": {"tool": "approved_effect"},
        "F32": {"fail": "busy"},
        "F32-mute": {"fail": "mute", "gate": gate},
        "F33": {"fail": "cut"},
        "F33-mute": {"hold": 1, "gate": gate},
        "F34": {"tool": "raising"},
        "F35": {"tool": "hang"},
        "F36": {"tool": "flood"},
        "F43": {"hold": 1, "gate": gate},
    }
    for name, wish in wishes.items():
        await asked.post(name, **wish)
    await asyncio.gather(*(asked.post("F25") for _ in range(20)))
    for name, cause in {
        "F26": "behind-run",
        "F27": "waiting-for-approval",
        "F32": "model-retrying",
        "F32-mute": "waiting-for-model",
        "F33": "model-stream-error",
        "F34": "succeeded",
        "F35": "waiting-for-tool",
        "F36": "succeeded",
        "F25": "succeeded",
    }.items():
        await asked.becomes(name, cause)
    asked.told["F37"] = asked.told["F36"]
    await asked.becomes("F33-mute", "streaming")
    await asked.older("F33-mute", 20)
    await asked.note("F33-mute")
    asked.told["F33"] += asked.told.pop("F33-mute")
    asked.told["F32"] += asked.told.pop("F32-mute")
    asked.told["F28"] = [(await asked.why("F27", user="eve"))["code"]]
    await asked.plot.fetch("UPDATE agent_interrupt SET expires_at = now() - interval '1 second'")
    await asked.note("F27")
    for _ in range(10):
        await asked.request("POST", "/agent/runs/F43/cancel", json={"threadId": "t-F43"})
    await asked.becomes("F43", "cancelled")
    asked.plot.ground.gates.open(gate)


@pytest.mark.slow
async def test_the_cause_that_is_named_is_the_one_that_was_injected(ground: Ground, tmp_path: Path) -> None:
    async with opened(ground, tmp_path) as (asked, nodes):
        await lose_hints(asked, nodes)
        await lose_workers(asked, nodes)
        await name_lost_workers(asked, nodes)
        await poison(asked)
        # Its Redis was not away: the hint is sent before it dies.
        await asked.post_to_a_dying_process("F3", await asked.plot.start("api", crash_point="accept-hinted"))
        await asked.plot.start("worker", env={"AGENT_PROFILE_PATH": str(tmp_path)})
        for name in ("F1", "F2", "F13", "F14", "F15", "F16", "F17", "F19", "F41"):
            if name != "F1":
                await asked.older(name, 5)
            await asked.note(name)
        await lose_servers(asked)
        await go_on(asked)
        await live_runs(asked)

        named = {
            fault
            for fault, cause in (CAUSES | ANSWERS | ABSORBED).items()
            if cause in asked.told.get(fault, ())
        }
        wrong = {fault: asked.told.get(fault) for fault in CAUSES | ANSWERS | ABSORBED if fault not in named}
        assert wrong == {}
        for fault, cause in ALSO.items():
            assert cause in asked.told[fault], (fault, asked.told[fault])
        # What is absorbed never looks like something else.
        for fault in ABSORBED:
            assert set(asked.told[fault]) <= {ABSORBED[fault]}, (fault, asked.told[fault])


def test_every_fault_is_in_the_table_once() -> None:
    listed = [*CAUSES, *ANSWERS, *ABSORBED, *ELSEWHERE]

    assert sorted(listed) == sorted(FAULTS)
    for why in ELSEWHERE.values():
        place = why.rpartition(": ")[2]
        assert not place.startswith("tests/") or (BACKEND / place).is_file(), place
    assert len(CAUSES | ANSWERS) / (len(FAULTS) - len(ABSORBED) - len(ELSEWHERE)) >= 0.95
