"""Operators look at runs of their tenant, stop them, and have them queued again: by HTTP, and on the command line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import SECRET, OpenStack, Stack
from typer.testing import CliRunner, Result

from agentroute import command_database, run_program
from agentroute.cli import app
from core.agentscope.events.queries import run_diagnoses
from core.agentscope.events.queries.run_diagnoses import RunDiagnoses, RunFilter
from core.agentscope.events.queries.run_facts import read_facts
from core.agentscope.events.why.facts import Limits
from core.database import create_engine

RUNS = "/api/v1/admin/runs"


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    # No worker, and hints that are not sent again: runs stay where a test puts them.
    async with open_stack(workers=0, worker={"hint_after_seconds": 3600.0}) as opened:
        yield opened


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


class Desk:
    """One who may do everything in a tenant."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient) -> None:
        self.stack = stack
        self.client = client

    async def start(self, thread: str, run: str, **props: str) -> int:
        """Start a run, and return its row."""
        body = self.stack.run_body("hello", thread=thread, run=run) | {"forwardedProps": props}
        assert (await self.client.post("/api/v1/agent/runs", json=body)).status_code == 202
        [row] = await self.stack.fetch("SELECT max(id) AS id FROM agent_run WHERE run_id = $1", run)
        return row["id"]

    async def list(self, **params: Any) -> dict[str, Any]:
        answer = await self.client.get(RUNS, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def names(self, **params: Any) -> list[str]:
        return [run["runId"] for run in (await self.list(**params))["runs"]]

    async def refusal(self, row: int, action: str) -> tuple[int, str, str]:
        answer = await self.client.post(f"{RUNS}/{row}/{action}")
        return answer.status_code, answer.json()["code"], answer.json()["detail"]


async def desk_of(stack: Stack, clients: AsyncExitStack, tenant: str) -> Desk:
    now = int(time.time())
    claims = {"sub": "ops", "tenant": tenant, "iat": now, "exp": now + 3600, "scope": "run read admin"}
    client = httpx.AsyncClient(
        base_url=stack.apis[0].url,
        headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"},
        timeout=HUNG_SECONDS,
        trust_env=False,
    )
    return Desk(stack, await clients.enter_async_context(client))


async def claimed(
    stack: Stack, row: int, *, shown: int = 1, lease_seconds: int = -1, attempt: int = 1
) -> None:
    """Leave a run as a worker leaves it that is killed."""
    await stack.fetch(
        """UPDATE agent_run SET status = 'running', attempt = $2, worker_id = 'dead-host-1', started_at = now(),
            deadline_at = now() + interval '1 hour', last_seq = $3, lease_until = now() + $4 * interval '1 second'
        WHERE id = $1""",
        row,
        attempt,
        shown,
        lease_seconds,
    )


async def test_a_list_shows_what_is_asked_for_page_by_page(
    stack: Stack, clients: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clients, "lists")
    rows = [await desk.start(f"t-{n}", f"r-{n}") for n in range(4)]
    await desk.start("t-0", "r-behind", onBusy="enqueue")
    await claimed(stack, rows[1])
    await stack.fetch(
        "UPDATE agent_run SET created_at = created_at - interval '1 hour' WHERE id = $1", rows[2]
    )

    found = await desk.list()
    assert [(run["runId"], run["cause"]) for run in found["runs"]] == [
        ("r-behind", "behind-run"),
        ("r-3", "no-worker"),
        ("r-2", "no-worker"),
        ("r-1", "lost-unnoticed"),
        ("r-0", "no-worker"),
    ]
    assert found["nextBefore"] is None
    assert {run["tenantId"] for run in found["runs"]} == {"lists"}
    assert await desk.names(cause="no-worker") == ["r-3", "r-2", "r-0"]
    assert await desk.names(status="waiting") == ["r-behind"]
    assert await desk.names(status=["running", "waiting"]) == ["r-behind", "r-1"]
    assert await desk.names(olderThanSeconds=1800) == ["r-2"]
    assert await desk.names(minAttempts=1) == await desk.names(worker="dead-host-1") == ["r-1"]
    assert await desk.names(userId="ops", threadId="t-0") == ["r-behind", "r-0"]
    assert await desk.names(userId="nobody") == []
    assert await desk.names(status="failed") == []

    for wanted in ({}, {"cause": "no-worker"}):
        whole = await desk.names(**wanted)
        # Also where a page looks at fewer runs than there are.
        for looked_at in (2, 2000):
            monkeypatch.setattr(run_diagnoses, "LOOKED_AT", looked_at)
            paged: list[str] = []
            page: dict[str, Any] = {"nextBefore": ""}
            while (before := page["nextBefore"]) is not None:
                page = await desk.list(limit=2, **wanted, **({"before": before} if before else {}))
                paged += [run["runId"] for run in page["runs"]]
            assert paged == whole

    other = await desk_of(stack, clients, "others")
    assert await other.names() == []
    assert (await other.client.get(f"{RUNS}/{rows[0]}")).status_code == 404
    assert (await other.refusal(rows[0], "cancel"))[:2] == (404, "not-found")
    assert (await other.refusal(rows[0], "requeue"))[:2] == (404, "not-found")


@pytest.fixture
async def engine(stack: Stack) -> AsyncIterator[AsyncEngine]:
    made = create_engine(stack.settings.database, application_name="test")
    yield made
    await made.dispose()


async def test_runs_whose_clients_have_a_tool_to_use_are_found_by_two_statements(
    stack: Stack, clients: AsyncExitStack, engine: AsyncEngine
) -> None:
    desk = await desk_of(stack, clients, "tools")
    rows = [await desk.start(f"t-{n}", f"r-{n}") for n in range(4)]
    await stack.fetch(
        """UPDATE agent_run SET status = 'succeeded', ordinal = 1, started_at = now(), ended_at = now()
        WHERE id = ANY($1::bigint[])""",
        rows,
    )
    await stack.fetch(
        """INSERT INTO agent_state (session_id, run_pk, ordinal, agentscope_version, form, head, roots, client_calls)
        SELECT session_id, id, 1, '2', 1, '{}', '', CASE id WHEN $2 THEN '{}' ELSE '{a,b}'::text[] END
        FROM agent_run WHERE id = ANY($1::bigint[])""",
        rows[:3],
        rows[0],
    )
    await stack.fetch(
        """INSERT INTO agent_chat_message (session_id, ordinal, position, message_id, role, tool_call_id)
        SELECT session_id, 1, 10, 'answer', 'tool', 'a' FROM agent_run WHERE id = $1""",
        rows[1],
    )
    checkouts: list[object] = []
    event.listen(engine.sync_engine, "checkout", lambda *given: checkouts.append(given))

    found = await read_facts(engine, rows)

    assert [(facts.run_id, facts.client_tools) for facts in found] == [
        ("r-3", 0),
        ("r-2", 2),
        ("r-1", 1),
        ("r-0", 0),
    ]
    assert len(checkouts) == 2
    assert await desk.names(status="succeeded", cause="waiting-for-client-tool") == ["r-2", "r-1"]


async def test_a_list_looks_at_redis_once(
    stack: Stack, clients: AsyncExitStack, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clients, "looks")
    for n in range(3):
        await desk.start(f"t-{n}", f"r-{n}")
    looks = 0

    async def silent(*_: object) -> bool:
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(run_diagnoses, "DIAGNOSED", 1)
    reads = RunDiagnoses(engine, Limits.of(stack.settings), hints_away=silent)
    page = await reads.list_runs(RunFilter(tenant_id="looks", cause="no-worker"), limit=10)
    assert (len(page.runs), looks) == (3, 1)

    # A command shows several pages as one list.
    monkeypatch.setenv("AGENT_DATABASE__URL", stack.settings.database.url.get_secret_value())
    monkeypatch.setattr(command_database, "configure_logging", lambda _settings: None)
    monkeypatch.setattr(run_program, "_redis_away", silent)
    monkeypatch.setattr(run_program, "_PAGE", 1)
    listed = await asyncio.to_thread(CliRunner().invoke, app, ["runs", "list", "--tenant", "looks", "--json"])
    assert (len(json.loads(listed.stdout)), looks) == (3, 2)


async def test_a_run_is_shown_with_what_its_owner_sees_and_more(
    stack: Stack, clients: AsyncExitStack
) -> None:
    desk = await desk_of(stack, clients, "shown")
    row = await desk.start("t", "r")
    await claimed(stack, row, lease_seconds=60)

    shown = (await desk.client.get(f"{RUNS}/{row}")).json()
    own = await desk.client.get("/api/v1/agent/runs/r/why", params={"threadId": "t"})

    assert shown["operatorEvidence"]["workerId"] == shown["workerId"] == "dead-host-1"
    # Alive, but without anything that it does.
    assert shown["cause"] == shown["why"]["cause"] == own.json()["cause"] == "starting"
    assert own.json().keys() == shown["why"].keys()
    assert "dead-host-1" not in own.text
    assert (await desk.client.get("/api/v1/agent/runs/r/why", params={"threadId": "x"})).status_code == 404


async def test_a_queued_run_is_told_of_again_and_nothing_is_executed_twice(
    stack: Stack, clients: AsyncExitStack
) -> None:
    desk = await desk_of(stack, clients, "again")
    row = await desk.start("t", "queued")

    for _ in range(2):
        answer = await desk.client.post(f"{RUNS}/{row}/requeue")
        assert (answer.status_code, answer.json()["was"]) == (202, "queued")
    [due] = await stack.fetch("SELECT next_hint_at <= now() AS is_due FROM agent_run WHERE id = $1", row)
    assert due["is_due"]

    behind = await desk.start("t", "behind", onBusy="enqueue")
    assert "turn in its thread" in (await desk.refusal(behind, "requeue"))[2]

    pristine = await desk.start("t-2", "pristine")
    await claimed(stack, pristine, lease_seconds=60)
    assert "lives as far as anybody knows" in (await desk.refusal(pristine, "requeue"))[2]
    await claimed(stack, pristine, attempt=2)
    assert "tried 2 times" in (await desk.refusal(pristine, "requeue"))[2]
    await claimed(stack, pristine)
    assert (await desk.client.post(f"{RUNS}/{pristine}/requeue")).json()["was"] == "running"
    [after] = await stack.fetch("SELECT status, lease_until, attempt FROM agent_run WHERE id = $1", pristine)
    assert tuple(after.values()) == ("queued", None, 1)

    seen = await desk.start("t-3", "seen")
    await claimed(stack, seen, shown=2)
    assert "done twice" in (await desk.refusal(seen, "requeue"))[2]
    await claimed(stack, seen)
    await stack.fetch("UPDATE agent_run SET deadline_at = now() WHERE id = $1", seen)
    assert "time limit" in (await desk.refusal(seen, "requeue"))[2]

    assert (await desk.client.post(f"{RUNS}/{row}/cancel")).json()["status"] == "cancelled"
    code = (await desk.refusal(row, "requeue"))[:2]
    assert code == (409, "requeue-refused")
    assert "never executed again" in (await desk.refusal(row, "requeue"))[2]
    # The run behind it had its turn.
    assert (await desk.client.get(f"{RUNS}/{behind}")).json()["status"] == "queued"


async def test_fifty_requeues_of_a_lost_run_queue_it_once(stack: Stack, clients: AsyncExitStack) -> None:
    desk = await desk_of(stack, clients, "fifty")
    row = await desk.start("t", "r")
    await claimed(stack, row)

    answers = await asyncio.gather(*(desk.client.post(f"{RUNS}/{row}/requeue") for _ in range(50)))

    done = [answer.json()["was"] for answer in answers if answer.status_code == 202]
    assert done.count("running") == 1
    assert {answer.status_code for answer in answers} <= {202, 503}
    [after] = await stack.fetch("SELECT status, attempt FROM agent_run WHERE id = $1", row)
    assert tuple(after.values()) == ("queued", 1)


async def test_the_command_line_does_the_same_for_all_tenants(
    stack: Stack, clients: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await desk_of(stack, clients, "lines")
    row = await desk.start("t", "r")
    monkeypatch.setenv("AGENT_DATABASE__URL", stack.settings.database.url.get_secret_value())
    # It would take the logging of the test process along.
    monkeypatch.setattr(command_database, "configure_logging", lambda _settings: None)

    async def runs(*arguments: str) -> Result:
        with capture_logs():
            return await asyncio.to_thread(CliRunner().invoke, app, ["runs", *arguments])

    head, *listed = (await runs("list", "--tenant", "lines")).stdout.splitlines()
    assert head.split() == ["ID", "TENANT/USER", "THREAD", "RUN", "STATUS", "CAUSE", "AGE", "TRIES", "WORKER"]
    assert [line.split()[:6] for line in listed] == [[str(row), "lines/ops", "t", "r", "queued", "no-worker"]]
    [item] = json.loads((await runs("list", "--tenant", "lines", "--json")).stdout)
    assert (item["id"], item["cause"]) == (row, "no-worker")
    why = (await runs("why", str(row))).stdout
    assert f"Run {row} (r) is queued: no-worker" in why
    assert "Start `agentroute worker`" in why
    assert json.loads((await runs("why", str(row), "--json")).stdout)["cause"] == "no-worker"
    assert "queuedRuns" in (await runs("show", str(row))).stdout
    assert json.loads((await runs("show", str(row), "--json")).stdout)["operatorEvidence"]["workers"] == 0
    assert (await runs("requeue", str(row))).stdout == f"Workers are told of the run {row} again.\n"
    assert (await runs("cancel", str(row))).stdout == f"The run {row} is cancelled.\n"
    refused = await runs("requeue", str(row))
    assert (refused.exit_code, "never executed again" in refused.stderr) == (1, True)
    assert (await runs("why", str(2**62))).exit_code == 1
    assert (await runs("list", "--status", "stuck")).exit_code == 2
    assert (await runs("list", "--cause", "stuck")).exit_code == 2
    assert (await runs("list", "--thread", "t")).exit_code == 2
