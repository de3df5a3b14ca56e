"""Traces at a real OpenTelemetry collector, a process of its own: the tree of a conversation with a tool and an approval."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.faults.launcher import Ground, eventually, http_client
from tests.faults.recorder import Owner, Recorder
from tests.support.otel_collector import Collector, PrintedSpan, collector_program, otel_collector

from core.tracing import conventions as name

OWNER = Owner("tenant-of-ada", "ada-of-tenant")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INNER = {"chat", "execute_tool", "append"}


@pytest.fixture(scope="module")
def program() -> Path:
    return collector_program()


def traced(collector: Collector, **more: str) -> dict[str, str]:
    return {
        "AGENT_TRACES__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        **more,
    }


async def converse(ground: Ground, environment: dict[str, str]) -> tuple[str, list[str]]:
    """A run with a tool, one that asks for approval, and its answer; returns the thread, and what was said in it."""
    async with ground.plot(environment) as plot, http_client() as client:
        client.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
        await plot.start("api")
        await plot.start("worker")
        recorder = Recorder(plot, client)
        first, second = recorder.wish(words=4, tool="effect"), recorder.wish(words=4, tool="approved_effect")
        thread_id = f"thread-{first.run_id}"
        told = [await recorder.run(first, thread_id=thread_id, owner=OWNER, stream=True)]
        asked = await recorder.run(second, thread_id=thread_id, owner=OWNER, stream=True)
        [interrupt] = (asked.end or {})["outcome"]["interrupts"]
        third = recorder.wish()
        body = recorder.body(third, thread_id) | {
            "messages": [],
            "parentRunId": second.run_id,
            "resume": [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}],
        }
        told.append(
            await recorder.run(
                third, thread_id=thread_id, owner=OWNER, body=body, path="/resume", kind="resume", stream=True
            )
        )
        # What has not been sent is sent when the processes end in order.
        for node in plot.nodes:
            await node.terminate()
            assert node.exit_code == 0
    return thread_id, [seen.text for seen in told]


async def arrived(collector: Collector) -> list[PrintedSpan]:
    """Return what the collector has printed, once it has passed on the same, of all three runs."""

    def same() -> bool:
        printed = collector.printed()
        number = Counter(span.operation for span in printed)
        is_all = all(number[operation] == 3 for operation in ("accept", "queue", "invoke_agent", "append"))
        return is_all and {span.span_id for span in printed} == {
            span.span_id for span in collector.forwarded.spans
        }

    await eventually(same)
    return collector.printed()


async def test_a_conversation_is_one_tree_in_a_collector(
    ground: Ground, program: Path, tmp_path: Path
) -> None:
    with otel_collector(program, tmp_path) as collector:
        thread_id, told = await converse(ground, traced(collector))
        spans = await arrived(collector)

    assert {span.trace_id for span in spans} == {TRACE}
    assert len({span.span_id for span in spans}) == len(spans)
    accepted = [span for span in spans if span.operation == "accept"]
    assert [span.parent_id for span in accepted] == [PARENT] * 3
    kinds = Counter[str]()
    for accept in accepted:
        under = [span for span in spans if span.parent_id == accept.span_id]
        assert sorted(span.operation for span in under) == ["invoke_agent", "queue"]
        [agent] = (span for span in under if span.operation == "invoke_agent")
        inner = [span.operation for span in spans if span.parent_id == agent.span_id]
        assert {"chat", "append"} <= set(inner) <= INNER
        kinds += Counter(inner)
    # Nothing hangs elsewhere, or deeper.
    assert len(spans) == 3 * 3 + kinds.total()
    # The approved call is executed by the run that was told of the approval.
    assert kinds["execute_tool"] == 2
    assert kinds["append"] == 3
    services = {"accept": "agentroute-api"}
    for span in spans:
        assert span.resource["service.name"] == services.get(span.operation, "agentroute-worker")
        assert not span.failed
        if span.operation in ("accept", "queue", "invoke_agent"):
            assert span.attributes[name.SESSION] == thread_id
            assert len(span.attributes[name.USER_HASH]) >= 12

    # Nobody said that contents or ids of users may be recorded, on either side of the collector.
    for secret in (OWNER.user, OWNER.tenant, *filter(None, told), "words=4", "done:", name.INPUT_MESSAGES):
        assert secret not in collector.text
        assert secret.encode() not in collector.forwarded.raw


async def test_a_collector_gets_contents_with_leave(ground: Ground, program: Path, tmp_path: Path) -> None:
    with otel_collector(program, tmp_path) as collector:
        await converse(ground, traced(collector, AGENT_TRACES__CONTENTS="true"))
        spans = await arrived(collector)

    chats = [span for span in spans if span.operation == "chat"]
    assert any("words=4" in span.attributes[name.INPUT_MESSAGES] for span in chats)
    tools = [span for span in spans if span.operation == "execute_tool"]
    assert all(span.attributes[name.TOOL_RESULT].startswith("done:") for span in tools)
