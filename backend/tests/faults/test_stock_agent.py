"""An agent of AgentScope's own shape behind the service: with nothing but its factory's signature changed, all promises hold.

Its runs are streamed, approved, declined, cancelled, killed with their worker, and resumed on another worker.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.faults.checker import check
from tests.faults.evidence import Evidence, at_rest, collect
from tests.faults.launcher import Ground, Plot, http_client
from tests.faults.recorder import Following, Owner, Recorder
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

PROFILE = Path(__file__).parent / "stock" / "agent.toml"
ASKS = "Skill:ask_expert:pay_invoice"
"""It reads a skill, asks another agent, and wants to act."""


class Stock:
    """The service and its client."""

    def __init__(self, plot: Plot, recorder: Recorder) -> None:
        self.plot = plot
        self.recorder = recorder

    def begin(self, **wish: Any) -> tuple[Following, asyncio.Task[Following]]:
        """Start a run in a new thread."""
        made = self.recorder.wish(words=20, pace=0.005, **wish)
        seen = self.recorder.following(made.run_id, f"thread-{made.run_id}", Owner())
        return seen, asyncio.create_task(self.recorder.run(made, following=seen, stream=True))

    async def asked(self) -> Following:
        """Return a run that waits for an approval."""
        seen, run = self.begin(tool=ASKS)
        await run
        assert len(self.interrupts(seen)) == 1
        return seen

    async def answer(self, asked: Following, *, approved: bool) -> Following:
        """Answer the question of a run, and follow its continuation to the end."""
        wish = self.recorder.wish()
        body = self.recorder.body(wish, asked.thread_id) | {
            "messages": [],
            "parentRunId": asked.run_id,
            "resume": [
                {"interruptId": each["id"], "status": "resolved", "payload": {"approved": approved}}
                for each in self.interrupts(asked)
            ],
        }
        return await self.recorder.run(
            wish, thread_id=asked.thread_id, body=body, path="/resume", kind="resume"
        )

    @staticmethod
    def interrupts(seen: Following) -> list[dict[str, Any]]:
        return (seen.end or {}).get("outcome", {}).get("interrupts", [])

    async def replay(self, seen: Following) -> Following:
        """Read a run again from its beginning."""
        return await self.recorder.follow(self.recorder.following(seen.run_id, seen.thread_id, seen.owner))


def ending(seen: Following) -> str:
    end = seen.end or {}
    return end.get("code") or end.get("outcome", {}).get("type", "success")


def assert_ledger_exact(evidence: Evidence) -> None:
    """What the endpoint reported, call by call, is what is in the ledger; what it never reported is an estimate."""
    thread_of = {run["pk"]: run["thread_id"] for run in evidence.runs}
    wished_in = {run["run_id"]: run["thread_id"] for run in evidence.runs}
    booked = Counter(
        (thread_of[call["run_pk"]], call["input_tokens"], call["output_tokens"])
        for call in evidence.calls
        if not call["estimated"]
    )
    reported = Counter(
        (wished_in[line["run_id"]], line["tokens_in"], line["tokens_out"])
        for line in evidence.llm
        if line["completed"]
    )
    assert booked == reported
    assert len(evidence.calls) == len(evidence.llm)


@pytest.mark.slow
async def test_an_unchanged_agent_of_agentscope_keeps_all_promises(ground: Ground) -> None:
    env = {
        "AGENT_PROFILE_PATH": str(PROFILE),
        # It brings its model.
        "AGENT_MODEL__BASE_URL": "",
        "OPENAI_BASE_URL": ground.model_url,
        "OPENAI_API_KEY": "stock",
        "AGENT_WORKER__LEASE_SECONDS": str(NEVER_SECONDS),
        "FAULTS_REAPER_SECONDS": "0.2",
    }
    async with ground.plot(env) as plot, http_client() as client:
        stock = Stock(plot, Recorder(plot, client))
        await plot.start("api")
        first = await plot.start("worker")

        streamed, run = stock.begin(tool="Skill:ask_expert")
        await run
        stopped, stopping = stock.begin(hold=5, gate="stock-stopped")
        lost, losing = stock.begin(hold=5, gate="stock-lost")
        to_approve, to_decline = await asyncio.gather(stock.asked(), stock.asked())
        await ground.gates.reached("stock-stopped")
        await ground.gates.reached("stock-lost")
        assert await stock.recorder.cancel(stopped) == 202
        await stopping
        await stopped.until(lambda seen: seen.end is not None)
        await first.kill()
        await plot.expire_leases()
        await plot.start("worker")
        await losing

        approved, declined = await asyncio.gather(
            stock.answer(to_approve, approved=True), stock.answer(to_decline, approved=False)
        )
        onward = await stock.recorder.run(
            stock.recorder.wish(words=5, tool="ask_expert"), thread_id=lost.thread_id
        )
        for gate in ("stock-stopped", "stock-lost"):
            ground.gates.open(gate)

        seen = [streamed, stopped, lost, to_approve, to_decline, approved, declined, onward]
        assert [ending(each) for each in seen] == [
            "success", "cancelled", "worker-lost", "interrupt", "interrupt", "success", "success", "success",
        ]  # fmt: skip
        replays = await asyncio.gather(*(stock.replay(each) for each in seen))
        assert [each.events for each in replays] == [each.events for each in seen]
        assert await at_rest(plot, HUNG_SECONDS) == []
        stock.recorder.evidence.faults.append(
            {"kind": "worker kill", "node": "", "pid": 0, "since": 0.0, "until": float("inf")}
        )
        evidence = await collect(plot, stock.recorder.evidence)

    assert [str(violation) for violation in check(evidence)] == []
    assert [line["run_id"] for line in evidence.tool] == [approved.run_id]
    assert_ledger_exact(evidence)
    # Of a run with a question and two tools: with the knowledge, the expert without it, and the end without it.
    asked = [line for line in evidence.llm if line["run_id"] == streamed.run_id]
    assert [line["knows"] for line in asked] == [True, False, False]
    assert {line["model"] for line in asked} == {"stock-main"}
