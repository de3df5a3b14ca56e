"""Plays runs of mixed fates while workers are killed, and compares the ledger with what the model itself wrote down.

``python -m tests.faults.ledger --runs 1000`` prints a row for each user and model; exits with 1 when anything differs.

What has to be equal, call by call (the ledger's call id is sent along as ``X-Client-Request-Id``):

1. Every request that the model began to answer is in its user's ledger, under its model, exactly once.
2. A line that is not estimated has the very counts the model reported; so their sums are equal too.
3. A line is estimated when, and only when, the counts did not reach us: the answer was cut, the run cancelled or the
   worker killed before them. It holds an estimate of the request's tokens and of what was received until then.
4. A line the model knows nothing of is ``lost``: its worker was killed before the request arrived.
5. Runs and threads hold the sums of their lines.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.evidence import at_rest
from tests.faults.launcher import AGENTS, PROFILES, Ground, Plot, http_client, open_ground
from tests.faults.recorder import Following, GaveUpError, Owner, Recorder
from tests.support.limits import HUNG_SECONDS

OWNERS = (Owner("tenant-1", "ada"), Owner("tenant-1", "bob"), Owner("tenant-2", "ada"))
FATES = {"ok": 35, "tools": 20, "cancel": 15, "cut": 15, "429": 5, "hurry": 10}
"""Weights. ``hurry`` is a run that is cancelled at once, wherever it is then."""
AT_ONCE = 24
RUNS_A_KILL = 30

_LEDGER = """
SELECT s.tenant_id, s.user_id, c.model, c.call_id, c.input_tokens, c.output_tokens, c.estimated, c.outcome, r.run_id
FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk JOIN agent_chat_session AS s ON s.id = r.session_id
ORDER BY c.id
"""
_WRONG_SUMS = """
WITH of_run AS (
    SELECT r.id, r.session_id, coalesce(sum(c.input_tokens), 0) AS i, coalesce(sum(c.output_tokens), 0) AS o
    FROM agent_run AS r LEFT JOIN agent_model_call AS c ON c.run_pk = r.id GROUP BY r.id
), of_thread AS (SELECT session_id, sum(i) AS i, sum(o) AS o FROM of_run GROUP BY session_id)
SELECT 'run ' || r.run_id AS what FROM agent_run AS r JOIN of_run AS t ON t.id = r.id
WHERE (r.input_tokens, r.output_tokens) IS DISTINCT FROM (t.i, t.o)
UNION ALL
SELECT 'thread ' || s.thread_id FROM agent_chat_session AS s JOIN of_thread AS t ON t.session_id = s.id
WHERE (s.input_tokens, s.output_tokens) IS DISTINCT FROM (t.i, t.o)
"""

Line = dict[str, Any]
Account = tuple[str, str, str]
"""Tenant, user and model."""


@dataclass
class Balance:
    """What was played, and every difference between the two books."""

    fates: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    rows: list[list[str]] = field(default_factory=list)
    """Cells under :data:`HEADER`, one row for each account."""
    differences: list[str] = field(default_factory=list)
    exact: int = 0
    estimated: Counter[str] = field(default_factory=Counter)
    """Estimated lines by outcome."""
    never_arrived: int = 0


HEADER = ["user", "model", "exact calls", "tokens in", "tokens out", "model's own", "estimated calls"]


async def play(ground: Ground, runs: int, *, seed: int = 1) -> Balance:
    """Play runs on a service of their own, wait until all is quiet, and compare."""
    balance = Balance()
    async with ground.plot(AGENT_WORKER__LEASE_SECONDS="3") as plot, http_client() as client:
        profiles = plot.directory / "agents"
        shutil.copytree(PROFILES, profiles)
        with (profiles / f"{AGENTS[0]}.toml").open("a") as profile:
            profile.write('\n[models.intent]\nname = "faults-small"\n')
        env = {"AGENT_PROFILE_PATH": str(profiles)}
        await plot.start("api", env=env)
        for _ in range(2):
            await plot.start("worker", env=env)
        recorder = Recorder(plot, client, seed=seed)
        first_line = len(ground.model_lines)
        await _play(plot, recorder, env, runs, random.Random(seed), balance)
        for run in await at_rest(plot, HUNG_SECONDS):
            balance.differences.append(f"{run['run_id']} is {run['status']} at rest")
        ledger = [dict(row) for row in await plot.fetch(_LEDGER)]
        wrong = [f"{row['what']} does not hold the sum of its calls" for row in await plot.fetch(_WRONG_SUMS)]
        ends = await plot.fetch("SELECT run_id, coalesce(error_code, status) AS word FROM agent_run")
        balance.ends.update(row["word"] for row in ends)
        owners = {line["run_id"]: (line["tenant"], line["user"]) for line in recorder.evidence.accepted}
        model = [line for line in ground.model_lines[first_line:] if line["run_id"] in owners]
        name_calls(ledger, model)
        compare(ledger, model, owners, balance, {row["run_id"] for row in ends if row["word"] == "cancelled"})
        balance.differences += wrong
    return balance


def name_calls(ledger: list[Line], model: list[Line]) -> None:
    """Give the model's lines of a user's own agent the call ids that its requests do not carry.

    Within a run, a line with the counts that the model reported comes first. Of the rest, the order decides.
    """
    nameless: dict[str, list[Line]] = defaultdict(list)
    for line in model:
        if not line["call_id"]:
            nameless[line["run_id"]].append(line)
    for run_id, lines in nameless.items():
        booked = [row for row in ledger if row["run_id"] == run_id]
        for line in sorted(lines, key=lambda line: not line["completed"]):
            counts = (line["tokens_in"], line["tokens_out"])
            row = next(
                (
                    row
                    for row in booked
                    if not row["estimated"] and (row["input_tokens"], row["output_tokens"]) == counts
                ),
                None,
            ) or next((row for row in booked if row["estimated"]), None)
            if row is not None:
                booked.remove(row)
            line["call_id"] = row["call_id"] if row else f"an unknown call of {run_id}"


def compare(
    ledger: list[Line],
    model: list[Line],
    owners: dict[str, tuple[str, str]],
    balance: Balance,
    cancelled: Collection[str] = (),
) -> None:
    """Compare the two books call by call and note every difference.

    A cancel may come between the last word of an answer and its counts: such a call is complete, and its counts are
    estimated.
    """
    booked: dict[str, Line] = {}
    for line in ledger:
        if line["call_id"] in booked:
            balance.differences.append(f"{line['call_id']} is booked twice")
        booked[line["call_id"]] = line
    served: dict[str, Line] = {}
    for line in model:
        if line["call_id"] in served:
            balance.differences.append(f"{line['call_id']} was sent twice")
        served[line["call_id"]] = line

    for call_id, line in served.items():
        own = booked.get(call_id)
        if own is None:
            balance.differences.append(
                f"{call_id} of {line['run_id']} ({line['stage']}) is not in the ledger"
            )
        elif _account(own) != (*owners[line["run_id"]], line["model"]):
            balance.differences.append(f"{call_id} is booked under {_account(own)}")
        elif not own["estimated"]:
            reported = (line["tokens_in"], line["tokens_out"], line["completed"])
            if (own["input_tokens"], own["output_tokens"], True) != reported:
                balance.differences.append(f"{call_id} is booked with other counts than {reported}")
        elif own["outcome"] == "completed" and line["run_id"] not in cancelled:
            balance.differences.append(f"{call_id} completed, and its counts are estimated")
    for call_id, own in booked.items():
        if own["estimated"]:
            balance.estimated[own["outcome"]] += 1
        else:
            balance.exact += 1
        if call_id not in served:
            balance.never_arrived += 1
            if own["outcome"] not in ("lost", "cancelled"):
                balance.differences.append(f"{call_id} ({own['outcome']}) is booked and was never served")
    _sum_up(booked.values(), served, balance)


def _sum_up(booked: Iterable[Line], served: dict[str, Line], balance: Balance) -> None:
    accounts: dict[Account, list[Line]] = defaultdict(list)
    for line in booked:
        accounts[_account(line)].append(line)
    for account, lines in sorted(accounts.items()):
        exact = [line for line in lines if not line["estimated"]]
        own = (sum(line["input_tokens"] for line in exact), sum(line["output_tokens"] for line in exact))
        known = [served[line["call_id"]] for line in exact if line["call_id"] in served]
        theirs = (sum(line["tokens_in"] for line in known), sum(line["tokens_out"] for line in known))
        if own != theirs:
            balance.differences.append(f"{account}: the ledger has {own}, the model {theirs}")
        tenant, user, model = account
        balance.rows.append(
            [f"{tenant}/{user}", model, *map(str, (len(exact), *own)), f"{theirs[0]} / {theirs[1]}",
             str(len(lines) - len(exact))]
        )  # fmt: skip


def _account(line: Line) -> Account:
    return (line["tenant_id"], line["user_id"], line["model"])


async def _play(
    plot: Plot, recorder: Recorder, env: dict[str, str], runs: int, choose: random.Random, balance: Balance
) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    kills = set(range(RUNS_A_KILL // 2, runs, RUNS_A_KILL))
    async with asyncio.TaskGroup() as group:
        for place in range(runs):
            if place in kills:
                victim = plot.workers[0]
                # The successor first: what the dead one leaves must not wait for a start.
                await plot.start("worker", env=env)
                await victim.kill()
                balance.kills += 1
            [fate] = choose.choices(list(FATES), list(FATES.values()))
            balance.fates[fate] += 1
            await room.acquire()
            owner, agent = OWNERS[place % len(OWNERS)], AGENTS[place // len(OWNERS) % len(AGENTS)]
            task = group.create_task(_one(recorder, owner, agent, fate, choose, balance))
            task.add_done_callback(lambda _: room.release())


async def _one(
    recorder: Recorder, owner: Owner, agent: str, fate: str, choose: random.Random, balance: Balance
) -> None:
    wish = recorder.wish(
        words=choose.randint(5, 40),
        pace=choose.choice((0.002, 0.01)),
        tool="effect" if fate == "tools" else "",
        fail=fate if fate in ("429", "cut") else "",
    )
    seen = recorder.following(wish.run_id, f"thread-{wish.run_id}", owner)
    run = asyncio.create_task(
        recorder.run(
            wish, thread_id=seen.thread_id, owner=owner, following=seen, stream=True, seconds=90, agent=agent
        )
    )
    if fate in ("cancel", "hurry"):
        await _cancel(recorder, seen, run, "TEXT_MESSAGE_CONTENT" if fate == "cancel" else "RUN_STARTED")
    try:
        await run
    except GaveUpError as exc:
        balance.differences.append(str(exc))


async def _cancel(recorder: Recorder, seen: Following, run: asyncio.Task[Following], after: str) -> None:
    shown = asyncio.create_task(seen.shows(after, 60))
    await asyncio.wait({shown, run}, return_when=asyncio.FIRST_COMPLETED)
    shown.cancel()
    if not run.done():
        await recorder.cancel(seen)


def table(balance: Balance) -> str:
    """Return a Markdown table of the accounts."""
    rows = [HEADER, ["---"] * len(HEADER), *balance.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


async def _main(runs: int, seed: int, directory: Path) -> int:
    async with open_ground(directory) as ground:
        balance = await play(ground, runs, seed=seed)
    print(table(balance))
    for name, count in (("fates", balance.fates), ("ends", balance.ends), ("estimated", balance.estimated)):
        print(f"{name}: {', '.join(f'{word} {number}' for word, number in sorted(count.items()))}")
    print(
        f"workers killed: {balance.kills}; exact lines: {balance.exact}; never served: {balance.never_arrived}"
    )
    print(f"differences: {len(balance.differences)}")
    for difference in balance.differences[:20]:
        print(f"  {difference}")
    return int(bool(balance.differences))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="tests.faults.ledger", description="Compares the ledger with the model's own book."
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # The model's callers are killed in the middle of its answers.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        sys.exit(asyncio.run(_main(options.runs, options.seed, Path(temporary))))


if __name__ == "__main__":
    main()
