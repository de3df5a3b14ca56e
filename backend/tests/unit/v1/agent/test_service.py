"""The agent's use cases, without HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.memory_ports import MemoryRuns
from tests.support.questions import a_question

from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import ResumeCommand, RunCommand
from core.agentscope.schemas.internal_events import RunFinished
from core.config import LimitSettings
from core.errors import IdempotencyMismatch, NotFound
from core.identity import Principal
from v1.agent.checked_command import CheckedCommand, read_command
from v1.agent.service import AgentService

ADA = Principal("default", "ada")
EVE = Principal("default", "eve")
HELLO = {"id": "m-1", "role": "user", "content": "hello"}


def command(**members: Any) -> CheckedCommand:
    return read_command(RunCommand, {"messages": [HELLO]} | members, LimitSettings())


@pytest.fixture
def runs() -> MemoryRuns:
    return MemoryRuns()


@pytest.fixture
def service(runs: MemoryRuns) -> AgentService:
    return AgentService(runtime=runs, events=runs)


async def test_accepting_says_where_to_follow(service: AgentService) -> None:
    answer = await service.enqueue_run(ADA, command(threadId="t:1", runId="r-1"))

    assert answer.wire() == {
        "taskId": "task-r-1",
        "threadId": "t:1",
        "runId": "r-1",
        "status": "queued",
        "eventsUrl": answer.events_url,
        "historyUrl": answer.history_url,
        "cursor": "1-0",
    }
    assert answer.events_url.startswith("/api/v1/agent/events?threadId=t")
    assert answer.events_url.endswith("&runId=r-1")


async def test_missing_ids_are_made(service: AgentService) -> None:
    first = await service.enqueue_run(ADA, command())
    second = await service.enqueue_run(ADA, command())

    assert first.thread_id.startswith("thread-")
    assert first.run_id.startswith("run-")
    assert len({first.thread_id, first.run_id, second.thread_id, second.run_id}) == 4


async def test_a_run_that_waits_has_no_cursor_yet(runs: MemoryRuns) -> None:
    class Waiting(MemoryRuns):
        followed: AcceptedRun | None = None

        async def accept(self, *arguments: Any, **keywords: Any) -> AcceptedRun:
            await super().accept(*arguments, **keywords)
            return AcceptedRun("task-1", "t-1", "r-1", "waiting", None, created=True, session_id=1)

        def follow_new(self, principal: Principal, run: AcceptedRun, **keywords: Any) -> Any:
            self.followed = run

    waiting = Waiting()
    service = AgentService(runtime=waiting, events=waiting)

    assert "cursor" not in (await service.enqueue_run(ADA, command(threadId="t-1", runId="r-1"))).wire()
    await service.stream_run(ADA, command(threadId="t-2", runId="r-2"))
    assert waiting.followed is not None
    assert waiting.followed.ordinal is None


async def test_the_run_id_makes_a_repeat_the_same_run(service: AgentService) -> None:
    body = command(threadId="t-1", runId="r-1")

    assert await service.enqueue_run(ADA, body) == await service.enqueue_run(ADA, body)


async def test_a_repeat_with_only_the_key_finds_the_ids_that_were_made(service: AgentService) -> None:
    first = await service.enqueue_run(ADA, command(), "key-1")
    second = await service.enqueue_run(ADA, command(), "key-1")

    assert first == second


@pytest.mark.parametrize(
    "same",
    [
        {"tools": [], "context": [], "state": None, "forwardedProps": {}},
        {"protocolVersion": None, "unknownMember": 1},
    ],
    ids=str,
)
async def test_the_body_is_compared_after_its_defaults(service: AgentService, same: dict[str, Any]) -> None:
    first = await service.enqueue_run(ADA, command(runId="r-1"))

    assert await service.enqueue_run(ADA, command(runId="r-1", **same)) == first


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [HELLO | {"content": "hi"}]},
        {"state": {"a": 1}},
        {"threadId": "t-9"},
        {"forwardedProps": {"x": 1}},
        {"tools": [{"name": "t"}]},
    ],
    ids=str,
)
async def test_the_same_key_with_another_body_is_refused(
    service: AgentService, other: dict[str, Any]
) -> None:
    await service.enqueue_run(ADA, command(), "key-1")

    with pytest.raises(IdempotencyMismatch):
        await service.enqueue_run(ADA, command(**other), "key-1")


async def test_keys_belong_to_their_user(service: AgentService) -> None:
    first = await service.enqueue_run(ADA, command(), "key-1")

    assert (
        await service.enqueue_run(EVE, command(messages=[HELLO | {"content": "hi"}]), "key-1")
    ).run_id != first.run_id


async def test_the_key_wins_over_the_run_id(service: AgentService) -> None:
    first = await service.enqueue_run(ADA, command(threadId="t-1"), "r-1")

    # Another request, although its run id was a key: it has a key of its own.
    other = await service.enqueue_run(ADA, command(threadId="t-2", runId="r-1"), "key-2")
    assert (first.thread_id, other.thread_id) == ("t-1", "t-2")


async def test_a_resume_goes_through_accept_as_it_is(service: AgentService, runs: MemoryRuns) -> None:
    await service.enqueue_run(ADA, command(threadId="t-1", runId="r-1"))
    runs.work(ADA, "t-1", a_question("i-1"), RunFinished(outcome="interrupt"))
    entry = {"interruptId": "i-1", "status": "resolved", "payload": {"approved": True}}
    resume = read_command(
        ResumeCommand, {"threadId": "t-1", "runId": "r-1", "resume": [entry]}, LimitSettings()
    )

    answer = await service.enqueue_run(ADA, resume)

    assert (answer.run_id, answer.cursor) == ("r-1", "2-0")


async def test_streaming_starts_at_the_first_event_also_for_a_repeat(
    service: AgentService, runs: MemoryRuns
) -> None:
    body = command(threadId="t-1", runId="r-1")
    await service.enqueue_run(ADA, body)
    runs.say(ADA, "t-1", {"type": "RUN_STARTED"})
    runs.end(ADA, "t-1")

    frames = await service.stream_run(ADA, body)
    assert frames is not None
    text = b"".join([frame async for frame in frames])

    assert text.startswith(b"retry: 2000\n\nid: 1-1\ndata: ")
    assert text.count(b"id: ") == 2


async def test_the_run_of_another_user_cannot_be_stopped(service: AgentService) -> None:
    await service.enqueue_run(ADA, command(threadId="t-1", runId="r-1"))

    with pytest.raises(NotFound):
        await service.cancel(EVE, "t-1", "r-1")
