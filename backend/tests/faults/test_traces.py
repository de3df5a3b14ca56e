"""Spans of real processes at an OTLP endpoint: one trace from the request to the last commit, and sums that agree."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.faults.chaos import run_seed
from tests.faults.launcher import Ground, Plot, eventually, http_client
from tests.faults.recorder import Owner, Recorder
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.otlp_receiver import Receiver, SeenSpan, otlp_receiver

from core.tracing import conventions as name

OWNER = Owner("tenant-of-ada", "ada-of-tenant")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SEEDS = int(os.environ.get("TRACES_CHAOS_SEEDS", "1"))
"""``TRACES_CHAOS_SEEDS=20 script/test tests/faults/test_traces.py`` plays twenty."""
SECONDS = float(os.environ.get("TRACES_CHAOS_SECONDS", "15"))


def traced(receiver: Receiver, **more: str) -> dict[str, str]:
    return {
        "AGENT_TRACES__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        # The exporter of a process that is killed loses what it has not sent yet.
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        **more,
    }


async def run(plot: Plot, client: httpx.AsyncClient, recorder: Recorder, **wish: Any) -> str:
    """Execute a run whose request names a trace; returns its id."""
    asked = recorder.wish(**wish)
    answer = await client.post(
        f"{plot.apis[0].url}/api/v1/agent/runs",
        json=recorder.body(asked, f"thread-{asked.run_id}"),
        headers={
            "Authorization": f"Bearer {plot.token(OWNER.tenant, OWNER.user)}",
            "Accept": "text/event-stream",
            "traceparent": f"00-{TRACE}-{PARENT}-01",
        },
        timeout=HUNG_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    return asked.run_id


async def arrived(receiver: Receiver, *operations: str) -> None:
    await eventually(lambda: all(receiver.named(operation) for operation in operations))


async def test_a_run_is_one_trace_from_its_request_to_its_commits(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        async with ground.plot(traced(receiver)) as plot, http_client() as client:
            await plot.start("api")
            await plot.start("worker")
            recorder = Recorder(plot, client)
            run_id = await run(plot, client, recorder, words=4, tool="effect")
            await arrived(receiver, "accept", "queue", "invoke_agent", "chat", "execute_tool", "append")
            ledger = await plot.fetch(
                "SELECT call_id, model, input_tokens, output_tokens, cost FROM agent_model_call"
            )
            await eventually(lambda: len(receiver.named("chat")) == len(ledger))

        assert {span.trace_id for span in receiver.spans} == {TRACE}
        [accept], [queue], [agent] = (receiver.named(each) for each in ("accept", "queue", "invoke_agent"))
        assert accept.parent_id == PARENT
        assert queue.parent_id == agent.parent_id == accept.span_id
        inner = [*receiver.named("chat"), *receiver.named("execute_tool"), *receiver.named("append")]
        assert {span.parent_id for span in inner} == {agent.span_id}
        assert accept.service == "agentroute-api"
        assert {span.service for span in (queue, agent, *inner)} == {"agentroute-worker"}
        assert {span.schema for span in receiver.spans} == {name.SCHEMA_URL}
        for span in receiver.spans:
            assert span.began <= span.ended
            assert not span.failed

        assert agent.name == "invoke_agent Faults"
        assert agent.attributes[name.AGENT_NAME] == "Faults"
        assert agent.attributes[name.STATUS] == "succeeded"
        assert agent.attributes[name.RUN] == run_id
        assert agent.attributes[name.SESSION] == agent.attributes[name.CONVERSATION] == f"thread-{run_id}"
        [tool] = receiver.named("execute_tool")
        assert (tool.name, tool.attributes[name.TOOL_NAME]) == ("execute_tool effect", "effect")
        assert_equal_sums(receiver.named("chat"), [dict(row) for row in ledger])
        assert all(
            span.name == f"chat {span.attributes[name.REQUEST_MODEL]}" for span in receiver.named("chat")
        )
        [append] = receiver.named("append")
        assert append.attributes[name.EVENTS] >= append.attributes[name.COMMITS] >= 1

        # Nobody said that contents or ids of users may be recorded.
        for secret in (OWNER.user, OWNER.tenant, f"w1-{run_id[-8:]}", "words=4", "done:"):
            assert secret.encode() not in receiver.raw


def assert_equal_sums(spans: list[SeenSpan], ledger: list[dict[str, Any]]) -> None:
    """Check that spans of model calls are the ledger: each call once, with its tokens and its cost, and so their sums."""

    def of_span(span: SeenSpan) -> tuple[Any, ...]:
        cost = span.attributes.get(name.COST)
        return (
            span.attributes[name.CALL],
            span.attributes[name.INPUT_TOKENS],
            span.attributes[name.OUTPUT_TOKENS],
            None if cost is None else Decimal(cost),
        )

    def of_line(line: dict[str, Any]) -> tuple[Any, ...]:
        return line["call_id"], line["input_tokens"], line["output_tokens"], line["cost"]

    shown, booked = Counter(map(of_span, spans)), Counter(map(of_line, ledger))
    assert shown == booked
    for place in (1, 2):
        assert sum(each[place] * count for each, count in shown.items()) == sum(
            line[place] for line in map(of_line, ledger)
        )
    assert sum(each[3] or 0 for each in shown.elements()) == sum(line["cost"] or 0 for line in ledger)


async def test_contents_and_ids_of_users_are_recorded_with_leave(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        leave = {"AGENT_TRACES__CONTENTS": "true", "AGENT_TRACES__USER_IDS": "true"}
        async with ground.plot(traced(receiver, **leave)) as plot, http_client() as client:
            await plot.start("api")
            await plot.start("worker")
            run_id = await run(plot, client, Recorder(plot, client), words=4, tool="effect")
            await arrived(receiver, "invoke_agent", "execute_tool", "chat")

        [agent], [tool] = receiver.named("invoke_agent"), receiver.named("execute_tool")
        [*_, last] = sorted(
            (span for span in receiver.named("chat") if span.attributes[name.STAGE] != "title"),
            key=lambda span: span.began,
        )
        # The model was told the tool's result, and answered.
        told = json.loads(last.attributes[name.INPUT_MESSAGES])
        assert "words=4" in told[0]["parts"][0]["content"]
        assert any(part["type"] == "tool_call_response" for message in told for part in message["parts"])
        [answer] = json.loads(last.attributes[name.OUTPUT_MESSAGES])
        assert f"w1-{run_id[-8:]}" in answer["parts"][0]["content"]
        assert answer["finish_reason"] == "stop"
        assert json.loads(last.attributes[name.SYSTEM_INSTRUCTIONS])[0]["type"] == "text"
        assert agent.attributes[name.USER] == OWNER.user
        assert "words=4" in agent.attributes[name.INPUT_MESSAGES]
        assert f"w1-{run_id[-8:]}" in agent.attributes[name.OUTPUT_MESSAGES]
        assert run_id in tool.attributes[name.TOOL_ARGUMENTS]
        assert tool.attributes[name.TOOL_RESULT].startswith("done:")


async def test_a_failure_is_said_by_its_code(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        async with ground.plot(traced(receiver)) as plot, http_client() as client:
            await plot.start("api")
            await plot.start("worker")
            await run(plot, client, Recorder(plot, client), words=4, fail="cut")
            await arrived(receiver, "invoke_agent", "chat")

        [agent] = receiver.named("invoke_agent")
        assert agent.failed
        assert agent.attributes[name.ERROR_TYPE] == "model-stream-error"
        assert any(span.failed for span in receiver.named("chat"))


async def test_a_trace_is_passed_on_by_an_api_process_that_records_none(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        async with ground.plot() as plot, http_client() as client:
            await plot.start("api")
            await plot.start("worker", env=traced(receiver))
            await run(plot, client, Recorder(plot, client), words=2)
            await arrived(receiver, "invoke_agent")
        [agent] = receiver.named("invoke_agent")
        assert (agent.trace_id, agent.parent_id) == (TRACE, PARENT)
        assert receiver.named("accept") == []


async def test_an_endpoint_that_is_away_costs_a_run_nothing_and_a_stop_little(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        env = traced(receiver)
    # Nobody listens there any more.
    async with ground.plot(env) as plot, http_client() as client:
        api = await plot.start("api")
        worker = await plot.start("worker")
        await run(plot, client, Recorder(plot, client), words=2)
        for node in (worker, api):
            await node.terminate()
            assert node.exit_code == 0


async def test_the_calls_of_a_lost_worker_are_told_by_whoever_repairs_its_run(ground: Ground) -> None:
    with otlp_receiver() as receiver:
        # The worker sends nothing before it is killed.
        mute = traced(receiver, OTEL_BSP_SCHEDULE_DELAY=str(NEVER_SECONDS * 1000))
        async with ground.plot() as plot, http_client() as client:
            await plot.start("api", env=traced(receiver))
            lost = await plot.start("worker", env=mute)
            recorder = Recorder(plot, client)
            wish = recorder.wish(words=9, hold=3, gate="never", tool="effect")
            seen = recorder.following(wish.run_id, f"thread-{wish.run_id}", OWNER)
            running = asyncio.create_task(recorder.run(wish, owner=OWNER, following=seen, stream=True))
            await seen.shows("TEXT_MESSAGE_CONTENT")
            await lost.kill()
            await plot.start("worker", env=traced(receiver))
            await plot.expire_leases()
            await running
            assert (seen.end or {})["code"] == "worker-lost"
            rows = await plot.fetch(
                "SELECT call_id, input_tokens, output_tokens, cost, outcome FROM agent_model_call"
            )
            ledger = [dict(row) for row in rows]
            await eventually(lambda: len(receiver.named("chat")) == len(ledger))

        chats = receiver.named("chat")
        assert_equal_sums(chats, ledger)
        [accept] = receiver.named("accept")
        assert {(span.trace_id, span.parent_id) for span in chats} == {(accept.trace_id, accept.span_id)}
        assert all(span.attributes[name.SETTLED] for span in chats)
        # The call of the tool was booked as it was; the answer's is the estimate that the ledger keeps.
        assert Counter(line["outcome"] for line in ledger)["lost"] == 1
        assert len(ledger) >= 2
        [unknown] = [span for span in chats if span.attributes[name.OUTCOME] == "lost"]
        assert unknown.failed
        assert unknown.attributes[name.ERROR_TYPE] == "lost"
        assert unknown.attributes[name.ESTIMATED]


def latest(spans: list[SeenSpan]) -> SeenSpan:
    """Return what counts of the spans of one call: what its worker said, before what was read in the ledger later."""
    return min(spans, key=lambda span: bool(span.attributes.get(name.SETTLED)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_spans_of_model_calls_equal_the_ledger_through_chaos(ground: Ground, seed: int) -> None:
    """Of all calls but those that a killed worker had booked, and not sent, in runs that it had ended before."""
    ledger: list[dict[str, Any]] = []

    async def book(plot: Plot) -> None:
        killed = {
            node.pid for node in plot.nodes if node.role == "worker" and node.exit_code not in (None, 0)
        }
        rows = await plot.fetch(
            """SELECT c.call_id, c.input_tokens, c.output_tokens, c.cost, c.outcome, r.worker_id, r.attempt
            FROM agent_model_call AS c JOIN agent_run AS r ON r.id = c.run_pk"""
        )
        for row in rows:
            pid = int((row["worker_id"] or "-0-").split("-")[-2])
            ledger.append(dict(row) | {"of_killed": pid in killed or row["attempt"] > 1 or not pid})
        sent = {line["call_id"] for line in ledger if not line["of_killed"] and line["outcome"] != "lost"}

        def all_sent() -> bool:
            return sent <= {span.attributes[name.CALL] for span in receiver.named("chat")}

        await eventually(all_sent)

    with otlp_receiver() as receiver:
        report = await run_seed(ground, seed=seed, seconds=SECONDS, env=traced(receiver), at_end=book)

    assert report.violations == []
    lines = {line["call_id"]: line for line in ledger}
    told: dict[str, list[SeenSpan]] = {}
    for span in receiver.named("chat"):
        told.setdefault(span.attributes[name.CALL], []).append(span)
    assert all(len({span.span_id for span in each}) == 1 for each in told.values()), "a call has one span id"
    by_worker = [span for span in receiver.named("chat") if name.SETTLED not in span.attributes]
    assert len({span.span_id for span in by_worker}) == len(by_worker), "a worker tells of a call once"
    assert told.keys() <= lines.keys(), "every span is a line of the ledger"
    missing = [line for call_id, line in lines.items() if call_id not in told]
    assert [line for line in missing if not line["of_killed"] and line["outcome"] != "lost"] == []
    spans = {call_id: latest(each) for call_id, each in told.items()}
    # A call whose worker was held while its line was settled by another may keep the estimate in the ledger.
    kept = [
        call_id
        for call_id, span in spans.items()
        if lines[call_id]["outcome"] == "lost" and name.SETTLED not in span.attributes
    ]
    agreed = [call_id for call_id in spans if call_id not in kept]
    assert len(agreed) > 10
    assert_equal_sums([spans[call_id] for call_id in agreed], [lines[call_id] for call_id in agreed])
    print_sums(seed, lines, spans, agreed)


def print_sums(
    seed: int, lines: dict[str, dict[str, Any]], spans: dict[str, SeenSpan], agreed: list[str]
) -> None:
    """Print a row of the table in bench/README.md."""

    def tokens(call_ids: Iterable[str]) -> int:
        return sum(lines[each]["input_tokens"] + lines[each]["output_tokens"] for each in call_ids)

    settled = sum(name.SETTLED in spans[each].attributes for each in agreed)
    lost = sum(lines[each]["outcome"] == "lost" for each in agreed)
    shown = sum(
        spans[each].attributes[name.INPUT_TOKENS] + spans[each].attributes[name.OUTPUT_TOKENS]
        for each in agreed
    )
    cells = (seed, len(lines), len(agreed), settled, lost, len(lines) - len(spans), len(spans) - len(agreed))
    print(f"\n| {' | '.join(map(str, cells))} | {tokens(agreed)} / {shown} | {tokens(lines)} |")
