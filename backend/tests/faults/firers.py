"""Workers that only fire schedules, several at once, each killed again and again: at a crash point, or anywhere.

    python -m tests.faults.firers DATABASE_URL FIRERS SEED LEASE_SECONDS

A process that has imported everything and forks, until its standard input is closed: it says when it begins, and then how often
its children died. The runs that they have accepted are executed by nobody.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from typing import Any, NoReturn

from sqlalchemy.orm import configure_mappers
from tests.support.silent_hints import Unheard, Unseen

from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.rated import RatedAcceptance
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.schedules import ScheduleForm, command_of
from core.config import DatabaseSettings, LimitSettings, RateSettings, WorkerSettings
from core.crash_points import EXIT_CODE, POINTS, VARIABLE
from core.database import create_engine
from core.gate import PoolGates
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.schedules.fire_store import FireStore
from core.schedules.firer import ScheduleFirer
from core.webhooks.run_webhook import RunWebhook

_POINTS = sorted(
    point for point in POINTS if point.startswith(("schedule-", "accept-inserted", "accept-committed"))
)
_PASSINGS = (1, 15)
_ACCEPTS = (1, 40)
"""After so many accepted runs, a child is killed wherever it is then: by its progress, not by a time."""
NO_LIMITS = LimitSettings(
    max_queued_runs=10**6, max_queue_age_seconds=10**9, max_runs_per_user=10**6, queue_seconds=10**9
)


class Noting(RatedAcceptance):
    """Tells the parent of each run that is accepted."""

    told_at: int = -1

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun:
        accepted = await super().accept(
            principal, command, idempotency_key=idempotency_key, request_hash=request_hash
        )
        os.write(self.told_at, os.getpid().to_bytes(4))
        return accepted


async def fire(url: str, lease_seconds: float, told_at: int) -> NoReturn:
    """Fire what is due, for ever."""
    database = DatabaseSettings.model_validate({"url": url, "pool_size": 6, "pool_timeout_seconds": 60})
    engine = create_engine(database, application_name="agentroute-firer")
    hidden: Any = None
    rates = RateLimits(RateSettings(user_runs_per_minute=0))
    gateway = AgentRunGateway(
        engine,
        Unheard(hidden, hidden, hidden),
        Unseen(),
        PoolGates.of(database),
        limits=NO_LIMITS,
        worker=WorkerSettings(),
    )
    store = FireStore(engine, authorized_days=0, lease_seconds=lease_seconds)
    acceptance = Noting(gateway, rates)
    acceptance.told_at = told_at
    firer = ScheduleFirer(Turns(engine), store, acceptance, retention_days=10**5)
    while True:
        await firer.look()
        await asyncio.sleep(0.01)


def _warm_up() -> None:
    """Do once what every child would do first."""
    configure_mappers()
    form = ScheduleForm.model_validate({"trigger": {"type": "interval", "everySeconds": 60}, "message": "m"})
    command_of(form, "x").wire()
    gc.collect()
    gc.freeze()


def _fork(url: str, lease_seconds: float, told_at: int, wish: str) -> int:
    if pid := os.fork():
        return pid
    try:
        os.environ[VARIABLE] = wish
        # It read the variable when this process imported it.
        importlib.reload(importlib.import_module("core.crash_points"))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        asyncio.run(fire(url, lease_seconds, told_at))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(70)


def main(url: str, firers: int, seed: int, lease_seconds: float) -> None:
    """Keep so many firers alive, and kill them, until standard input is closed."""
    _warm_up()
    print("ready", flush=True)
    chosen = random.Random(seed)
    told, told_at = os.pipe()
    left: dict[int, int] = {}
    """Of each child that lives, how many runs it may still have accepted."""
    deaths: Counter[str] = Counter()
    while True:
        while len(left) < firers:
            wish = f"{chosen.choice(_POINTS)}:{chosen.randint(*_PASSINGS)}" if chosen.random() < 0.7 else ""
            left[_fork(url, lease_seconds, told_at, wish)] = chosen.randint(*_ACCEPTS)
        ready, _, _ = select.select([0, told], [], [], 0.01)
        if 0 in ready and not os.read(0, 1):
            break
        if told in ready:
            # Whole numbers: each is written at once, and a pipe divides none so short.
            data = os.read(told, 4000)
            for place in range(0, len(data), 4):
                pid = int.from_bytes(data[place : place + 4])
                if pid in left:
                    left[pid] -= 1
        time.sleep(chosen.uniform(0, 0.01))
        for pid in [pid for pid, runs in left.items() if runs <= 0]:
            os.kill(pid, signal.SIGKILL)
        for pid in list(left):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del left[pid]
                code = os.waitstatus_to_exitcode(status)
                deaths["crash point" if code == EXIT_CODE else "killed" if code < 0 else "failed"] += 1
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps(deaths))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
