"""Metrics and health of real processes: what Prometheus and a supervisor see while runs succeed, fail and are lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.faults.launcher import Ground, Node, Plot, eventually, http_client
from tests.faults.recorder import Owner, Recorder
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

from agentroute.metrics.loop_watch import EXIT_CODE

METRICS = {"AGENT_METRICS__PORT": "0"}
OWNER = Owner("tenant-of-ada", "ada-of-tenant")

Samples = dict[tuple[str, ...], float]
"""By the name of a sample, and the values of its labels, in the order of their names."""


class Operator:
    """Asks the metrics port of processes."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, node: Node, path: str) -> httpx.Response:
        return await self._client.get(f"http://127.0.0.1:{await port_of(node)}{path}", timeout=HUNG_SECONDS)

    async def samples(self, node: Node) -> Samples:
        return read(await self.ask(node, "/metrics"))


async def port_of(node: Node) -> int:
    line = await eventually(lambda: node.logged("metrics_listening"))
    assert line is not None
    return line["port"]


def read(page: httpx.Response) -> Samples:
    assert page.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


async def opened(plot: Plot, **env: str) -> tuple[Node, Node]:
    return await plot.start("api", env=METRICS | env), await plot.start("worker", env=METRICS | env)


async def test_what_a_service_does_is_counted_and_names_nobody(ground: Ground) -> None:
    async with ground.plot() as plot, http_client() as client:
        api, worker = await opened(plot)
        operator, recorder = Operator(client), Recorder(plot, client)

        wish = recorder.wish(words=5)
        assert (await recorder.run(wish, owner=OWNER, stream=True)).end is not None
        failing = recorder.wish(words=5, fail="cut")
        assert (await recorder.run(failing, owner=OWNER, stream=True)).end is not None
        refused = await client.post(f"{api.url}/api/v1/agent/runs", json={})
        assert refused.status_code == 401

        shown = await operator.ask(worker, "/metrics")
        of_worker = read(shown)
        assert of_worker["agentroute_runs_ended_total", "", "succeeded"] == 1
        assert of_worker["agentroute_runs_ended_total", "model-stream-error", "failed"] == 1
        assert of_worker["agentroute_model_errors_total", "model-stream-error"] >= 1
        assert of_worker["agentroute_run_first_event_seconds_count",] == 2
        assert of_worker["agentroute_run_first_token_seconds_count",] == 2
        assert of_worker["agentroute_append_seconds_count",] >= 2
        [ledger] = await plot.fetch(
            "SELECT count(*) AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output FROM agent_model_call"
        )
        calls = sum(value for key, value in of_worker.items() if key[0] == "agentroute_model_calls_total")
        assert calls == ledger["calls"]
        assert of_worker["agentroute_model_tokens_total", "input"] == ledger["input"]
        assert of_worker["agentroute_model_tokens_total", "output"] == ledger["output"]
        # Those of the last flush come with the end of a run, in its own transaction.
        [log] = await plot.fetch("SELECT count(*) AS events FROM agent_run_event")
        assert 0 < of_worker["agentroute_appended_events_total",] <= log["events"]
        assert of_worker["agentroute_worker_slots",] == 50

        of_api = await operator.samples(api)
        assert of_api["agentroute_problems_total", "unauthenticated", "401"] == 1
        assert of_api["agentroute_gate_wait_seconds_count", "usual"] == 2
        assert of_api["agentroute_pool_wait_seconds_count",] > 0
        assert of_api["agentroute_store_up",] == 1
        assert of_api["agentroute_runs", "queued"] == 0
        assert ("agentroute_store_up",) not in of_worker

        names = {wish.run_id, f"thread-{wish.run_id}", OWNER.tenant, OWNER.user}
        for page in (shown, await operator.ask(api, "/metrics")):
            assert not [name for name in names if name in page.text]


async def test_a_queue_grows_old_and_streams_are_open(ground: Ground) -> None:
    async with ground.plot() as plot, http_client() as client:
        api = await plot.start("api", env=METRICS)
        operator, recorder = Operator(client), Recorder(plot, client)
        wish = recorder.wish(words=2)
        seen = recorder.following(wish.run_id, f"thread-{wish.run_id}", OWNER)
        run = asyncio.create_task(
            recorder.run(wish, thread_id=seen.thread_id, owner=OWNER, following=seen, stream=True)
        )

        async def queued() -> bool:
            found = await operator.samples(api)
            return found["agentroute_runs", "queued"] == found["agentroute_open_streams",] == 1

        # The figures of the database are at most five seconds old.
        await eventually(queued)
        found = await operator.samples(api)
        assert found["agentroute_queue_oldest_seconds",] > 0

        await plot.start("worker")
        await run


@pytest.mark.slow
async def test_a_lost_worker_and_its_zombie_are_counted(ground: Ground) -> None:
    async with ground.plot(AGENT_WORKER__LEASE_SECONDS=str(NEVER_SECONDS)) as plot, http_client() as client:
        await plot.start("api")
        held = await plot.start("worker", env=METRICS)
        operator, recorder = Operator(client), Recorder(plot, client)
        wish = recorder.wish(words=20, hold=5, gate=f"gate-{plot.name}")
        seen = recorder.following(wish.run_id, f"thread-{wish.run_id}", OWNER)
        run = asyncio.create_task(
            recorder.run(wish, thread_id=seen.thread_id, owner=OWNER, following=seen, stream=True)
        )
        await seen.shows("TEXT_MESSAGE_CONTENT")
        held.send(signal.SIGSTOP)
        other = await plot.start("worker", env=METRICS | {"AGENT_WORKER__LEASE_SECONDS": "1"})
        await plot.expire_leases()
        await run
        assert seen.end is not None
        assert seen.end["code"] == "worker-lost"

        found = await operator.samples(other)
        assert found["agentroute_leases_expired_total", "ended"] == 1
        assert found["agentroute_ledger_lost_calls_total",] == 1

        ground.gates.open(wish.gate)
        held.send(signal.SIGCONT)

        async def fenced() -> bool:
            after = await operator.samples(held)
            return after.get(("agentroute_fenced_total", "append"), 0) == 1

        await eventually(fenced)


async def test_health_of_a_worker_follows_its_servers(ground: Ground) -> None:
    async with ground.plot() as plot, http_client() as client:
        worker = await plot.start("worker", env=METRICS)
        operator = Operator(client)
        assert (await operator.ask(worker, "/healthz")).json() == {"status": "ok"}
        ready = await operator.ask(worker, "/readyz")
        assert (ready.status_code, ready.json()) == (
            200,
            {
                "status": "ready",
                "checks": {"postgres": "ok", "migrations": "ok", "redis": "ok", "event_loop": "ok"},
            },
        )

        await worker.postgres.close()

        async def away() -> bool:
            return (await operator.ask(worker, "/readyz")).status_code == 503

        await eventually(away)
        told = (await operator.ask(worker, "/readyz")).json()
        assert (told["status"], told["checks"]["postgres"]) == ("not-ready", "unreachable")
        # A restart repairs no database.
        assert (await operator.ask(worker, "/healthz")).status_code == 200


async def test_the_address_of_another_process_is_refused_in_a_line(ground: Ground) -> None:
    async with ground.plot() as plot:
        first = await plot.start("worker", env=METRICS)
        port = await port_of(first)
        for role in ("worker", "api"):
            second = await plot.start(role, env={"AGENT_METRICS__PORT": str(port)}, ready=False)
            assert await second.wait() == 1
            told = second.log_path.read_text()
            assert f"error: Cannot listen on 127.0.0.1:{port} for metrics:" in told
            assert "--metrics-port, or AGENT_METRICS__PORT" in told


async def test_a_worker_whose_event_loop_hangs_ends_and_another_one_takes_over(
    ground: Ground, tmp_path: Path
) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(
        """name = "Blocks"
description = "Has a tool that hangs."
[[tools]]
import = "tests.faults.effects:block"
permission = "allow"
"""
    )
    async with (
        ground.plot(AGENT_PROFILE_PATH=str(profile), AGENT_LIMITS__RUN_SECONDS=str(NEVER_SECONDS)) as plot,
        http_client() as client,
    ):
        await plot.start("api")
        worker = await plot.start("worker", env=METRICS | {"AGENT_WORKER__STALL_SECONDS": "3"})
        operator, recorder = Operator(client), Recorder(plot, client)
        wish = recorder.wish(words=2, tool="block")
        run = asyncio.create_task(recorder.run(wish, owner=OWNER, stream=True))

        # Answers, although the loop does not.
        await eventually(plot.tool_lines)
        assert (await operator.ask(worker, "/metrics")).status_code == 200
        assert await worker.wait() == EXIT_CODE
        told = worker.logged("event_loop_blocked")
        assert told is not None
        assert "block" in told["stack"]

        await plot.start("worker", env={"AGENT_WORKER__LEASE_SECONDS": "1"})
        await plot.expire_leases()
        seen = await run
        assert seen.end is not None
