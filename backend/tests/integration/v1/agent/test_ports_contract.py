"""What the routes may rely on: the same tests for the ports in memory and the real ones on Postgres and Redis.

Unit tests of the routes use the memory ports; here they cannot drift from what
ships. Where a worker is needed, both are driven through ``Worker``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Protocol

import orjson
import pytest
from tests.support.agui_reducer import AguiClient
from tests.support.agui_verifier import verify
from tests.support.limits import HUNG_SECONDS
from tests.support.manual_worker import ManualRun, ManualWorker, manual_worker
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns
from tests.support.questions import a_question
from tests.support.scratch_databases import ScratchDatabases

from agentroute.container import open_api_container
from core.agentscope.events.connect import ConnectRequest
from core.agentscope.runtime.accept.refusals import MAX_WAITING
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    AcceptedTaskResponse,
    InternalRuntimeEvent,
    RunCommand,
    RunStatus,
)
from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.agentscope.schemas.internal_events import RunFailed, RunFinished, RunStarted, TextDelta
from core.agentscope.schemas.links import events_url
from core.config import Settings
from core.errors import (
    AgentBackendError,
    CursorAhead,
    IdempotencyMismatch,
    InterruptExpired,
    InterruptOpen,
    InterruptResolved,
    InterruptUncovered,
    InvalidRequest,
    NotFound,
    QueueFull,
    RunActive,
    RunAlreadyFinished,
)
from core.identity import Principal
from v1.agent.checked_command import read_command
from v1.agent.container import ApiContainer

_users = itertools.count(1)
T = "t-1"


class Worker(Protocol):
    """Executes the live run of a thread, as far as a test says."""

    async def work(self, principal: Principal, thread_id: str, *events: InternalRuntimeEvent) -> None:
        """Take the thread's live run, if it is queued, and let it say something, also its end."""
        ...


class MemoryWorker:
    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs

    async def work(self, principal: Principal, thread_id: str, *events: InternalRuntimeEvent) -> None:
        self._runs.work(principal, thread_id, *events)


class RealWorker:
    def __init__(self, worker: ManualWorker) -> None:
        self._worker = worker
        self._claimed: dict[int, ManualRun] = {}

    async def work(self, principal: Principal, thread_id: str, *events: InternalRuntimeEvent) -> None:
        run = await self._live(principal, thread_id)
        for event in events:
            if isinstance(event, RunFinished | RunFailed):
                await run.finish(event)
            else:
                await run.write(event)

    async def _live(self, principal: Principal, thread_id: str) -> ManualRun:
        run_pk = await self._worker.live_run(principal, thread_id)
        if run_pk not in self._claimed:
            run = await self._worker.claim(run_pk)
            assert run is not None
            self._claimed[run_pk] = run
        return self._claimed[run_pk]


class Client:
    """One user of one kind of ports."""

    def __init__(self, container: ApiContainer, worker: Worker) -> None:
        self.container = container
        self.principal = Principal("contract", f"user-{next(_users)}")
        self._worker = worker
        self._messages = itertools.count(1)

    def stranger(self) -> Client:
        """Return another user."""
        return Client(self.container, self._worker)

    async def run(
        self, run_id: str, *, text: str = "hello", key: str | None = None, thread: str = T, **members: Any
    ) -> AcceptedTaskResponse:
        """Start a run with a message that the thread does not have yet."""
        message = {"id": f"m-{next(self._messages)}", "role": "user", "content": text}
        body = {"threadId": thread, "runId": run_id, "protocolVersion": "1.0", "messages": [message]}
        return await self.send(body | members, key)

    async def send(self, body: dict[str, Any], key: str | None = None) -> AcceptedTaskResponse:
        service = self.container.service
        return await service.enqueue_run(self.principal, read_command(RunCommand, body, service.limits), key)

    async def answer(
        self, run_id: str, *entries: tuple[str, str, Any], **members: Any
    ) -> AcceptedTaskResponse:
        """Answer interrupts: an id, ``resolved`` or ``cancelled``, and a payload each."""
        resume = [
            {"interruptId": name, "status": status, "payload": value} for name, status, value in entries
        ]
        return await self.send({"threadId": T, "runId": run_id, "resume": resume} | members)

    async def cancel(self, run_id: str, *, withdraw: bool = True) -> RunStatus:
        gateway = self.container.service._runtime
        return await gateway.cancel(self.principal, T, run_id, withdraw=withdraw)

    async def works(self, *events: InternalRuntimeEvent, thread: str = T) -> None:
        await self._worker.work(self.principal, thread, *events)

    async def succeeds(self, thread: str = T) -> None:
        """Let the live run say one word and end."""
        await self.works(self.started(thread), said("hi"), RunFinished(), thread=thread)

    async def asks(self, *interrupt_ids: str, **options: Any) -> None:
        """Let the live run end with questions."""
        questions = [a_question(interrupt_id, **options) for interrupt_id in interrupt_ids]
        await self.works(self.started(), *questions, RunFinished(outcome="interrupt"))

    async def asks_again(self, interrupt_id: str) -> None:
        """Let a run that has begun end with a question."""
        await self.works(a_question(interrupt_id), RunFinished(outcome="interrupt"))

    def started(self, thread: str = T) -> RunStarted:
        return RunStarted(thread_id=thread, run_id="any")

    async def status(self, run_id: str) -> tuple[str, str | None]:
        run = await self.container.runs.get_run(self.principal, T, run_id)
        return run.status, run.waits_for

    async def history(self, limit: int = 50, before: str | None = None, thread: str = T) -> dict[str, Any]:
        found = await self.container.history.history(self.principal, thread, limit=limit, before=before)
        return found.wire()

    async def follow(
        self, run_id: str | None = None, cursor: str | None = None, *, thread: str = T
    ) -> AsyncIterator[bytes] | None:
        place = None if cursor is None else Cursor.parse(cursor)
        return await self.container.events.follow(self.principal, thread, run_id=run_id, cursor=place)

    async def events(self, run_id: str, cursor: str | None = None) -> list[tuple[str, str]]:
        """Follow a run that has ended to its end; returns ids and types."""
        frames = await self.follow(run_id, cursor)
        assert frames is not None
        async with asyncio.timeout(HUNG_SECONDS):
            return parsed([frame async for frame in frames])

    async def connect(self, after: str | None = None, *, thread: str = T) -> AsyncIterator[bytes] | None:
        place = None if after is None else ConnectCursor.parse(after)
        return await self.container.events.connect(self.principal, ConnectRequest(thread, after=place))

    async def connected(self, *events: InternalRuntimeEvent, after: str | None = None) -> Seen:
        """Connect, let the live run say something, also its end, and read to the end."""
        frames = await self.connect(after)
        assert frames is not None
        if events:
            await self.works(*events)
        async with asyncio.timeout(HUNG_SECONDS):
            return Seen([frame async for frame in frames])

    async def threads(self, query: str | None = None) -> list[str]:
        page = await self.container.threads.list_threads(self.principal, limit=50, before=None, query=query)
        return [thread.thread_id for thread in page.threads]


class Seen:
    """A connect stream, and what a client makes of it that began with nothing."""

    def __init__(self, frames: list[bytes]) -> None:
        self.blocks = [block for block in b"".join(frames).split(b"\n\n") if block.startswith(b"id: ")]
        self.ids = [block.split(b"\n")[0][4:].decode() for block in self.blocks]
        self.events = [orjson.loads(block.split(b"\ndata: ")[1]) for block in self.blocks]
        self.types = [event["type"] for event in self.events]
        self.client = AguiClient()
        for event in self.events:
            self.client.see(event)

    def check(self) -> None:
        """A stock client accepts the whole stream."""
        verify(self.events)


def said(word: str) -> TextDelta:
    return TextDelta(message_id=f"said-{word}", delta=word)


def parsed(frames: list[bytes]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for block in b"".join(frames).split(b"\n\n"):
        if block.startswith(b"id: "):
            name, data = block.split(b"\n")
            found.append((name[4:].decode(), orjson.loads(data[6:])["type"]))
    return found


SUCCEEDED = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]


@pytest.fixture(scope="module")
def contract_database(databases: ScratchDatabases) -> Iterator[str]:
    with databases.migrated() as url:
        yield url


@pytest.fixture(scope="module", params=["memory", "real"])
async def ports(
    request: pytest.FixtureRequest, contract_database: str, redis_server_url: str
) -> AsyncIterator[tuple[ApiContainer, Worker]]:
    """The ports and what drives their runs."""
    settings = Settings.model_validate(
        {
            "database": {"url": contract_database},
            "redis": {"url": redis_server_url, "key_prefix": "contract"},
            "identity": {"mode": "local"},
            "model": {"base_url": "http://127.0.0.1:1/v1", "name": "none"},
            "limits": {"max_runs_per_user": 100},
        }
    )
    if request.param == "memory":
        runs = MemoryRuns()
        yield memory_container(settings, runs), MemoryWorker(runs)
        return
    async with open_api_container(settings) as container, manual_worker(settings) as worker:
        yield container, RealWorker(worker)


@pytest.fixture
def ada(ports: tuple[ApiContainer, Worker]) -> Client:
    """A user without threads."""
    return Client(*ports)


async def test_a_request_that_was_accepted_is_found_again_and_nothing_is_written(ada: Client) -> None:
    body = {"threadId": T, "runId": "r-1", "messages": [{"id": "m", "role": "user", "content": "hello"}]}

    async def found(client: Client, body: dict[str, Any], key: str) -> AcceptedRun | None:
        read = read_command(RunCommand, body, client.container.service.limits)
        return await client.container.service._runtime.find_accepted(
            client.principal, read.command, idempotency_key=key, request_hash=read.request_hash
        )

    assert await found(ada, body, "r-1") is None
    accepted = await ada.send(body)
    repeat = await found(ada, body, "r-1")
    assert repeat is not None
    assert (repeat.task_id, repeat.run_id, repeat.created) == (accepted.task_id, "r-1", False)
    assert await found(ada.stranger(), body, "r-1") is None
    assert await found(ada, body, "another") is None
    with pytest.raises(IdempotencyMismatch):
        await found(ada, body | {"state": {"a": 1}}, "r-1")


# --- connect ---------------------------------------------------------------------

OPENING = ["RUN_STARTED", "MESSAGES_SNAPSHOT"]


async def test_who_connects_to_a_thread_without_runs_is_told_an_empty_one(ada: Client) -> None:
    await ada.run("r-1")
    for client in (ada.stranger(), Client(ada.container, ada._worker)):
        seen = await client.connected()
        seen.check()

        assert (seen.types, seen.ids) == ([*OPENING, "RUN_FINISHED"], ["0-0.2", "0-0.1", "0-0"])
        assert seen.client.messages == []
        assert await client.connect("0-0") is None


async def test_who_connects_to_a_queued_run_sees_it_start_once(ada: Client) -> None:
    await ada.run("r-1")

    seen = await ada.connected(ada.started(), said("hi"), RunFinished())
    seen.check()

    assert seen.types == [*OPENING, *SUCCEEDED[1:]]
    assert seen.ids == ["1-1.1", "1-1", "1-2", "1-3", "1-4", "1-5"]
    assert seen.events[0]["runId"] == "r-1"
    assert seen.client.messages == (await ada.history())["messages"]


async def test_a_run_that_is_still_queued_when_the_reader_comes_back(ada: Client) -> None:
    await ada.run("r-1")

    seen = await ada.connected(ada.started(), said("hi"), RunFinished(), after="1-1")

    assert seen.types == SUCCEEDED[1:]


async def test_who_connects_in_the_middle_comes_to_hold_what_history_says(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started(), said("hi"))

    seen = await ada.connected(TextDelta(message_id="said-hi", delta=" there"), RunFinished())
    seen.check()

    assert seen.types == [*OPENING, "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", *SUCCEEDED[2:]]
    assert seen.ids == ["1-3.3", "1-3.2", "1-3.1", "1-3", "1-4", "1-5", "1-6"]
    assert [event["delta"] for event in seen.events if "delta" in event] == ["hi", " there"]
    messages = (await ada.history())["messages"]
    assert (seen.client.messages, messages[-1]["content"]) == (messages, "hi there")
    for place, cut in enumerate(seen.ids[:-1], start=1):
        frames = await ada.connect(cut)
        assert frames is not None
        rest = Seen([frame async for frame in frames])
        again = AguiClient()
        for event in (*seen.events[:place], *rest.events):
            again.see(event)
        # The run has ended meanwhile. Who had no snapshot yet gets a new one, and then the end.
        expected = [*OPENING[1:], "RUN_FINISHED"] if place == 1 else seen.types[place:]
        assert (rest.types, again.messages) == (expected, messages), cut
    assert await ada.connect(seen.ids[-1]) is None


async def test_who_connects_after_the_end_is_told_how_it_was(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()
    await ada.run("r-2")
    await ada.works(ada.started(), said("ho"), RunFailed(code="model-unavailable", message="It is away."))

    failed = await ada.connected()
    failed.check()

    assert failed.types == [*OPENING, "RUN_ERROR"]
    assert failed.events[-1]["code"] == "model-unavailable"
    assert failed.client.messages == (await ada.history())["messages"]
    assert failed.ids[-1] == (await ada.history())["cursor"]

    await ada.run("r-3")
    await ada.cancel("r-3")
    cancelled = await ada.connected()
    cancelled.check()
    assert cancelled.events[-1]["outcome"] == {"type": "cancelled"}


async def test_who_connects_is_asked_what_is_open(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("int-1")
    asked = await ada.connected()
    asked.check()

    assert asked.events[-1]["runId"] == "r-1"
    assert asked.events[-1]["outcome"]["interrupts"] == (await ada.history())["pendingInterrupts"]

    # Another run waits for the answer; it is cancelled, so it is the last one to have ended.
    await ada.run("r-2", forwardedProps={"onInterrupt": "cancel"})
    await ada.works(ada.started())
    await ada.run("r-3", forwardedProps={"onBusy": "enqueue"})
    await ada.asks_again("int-2")
    await ada.cancel("r-3")
    behind = await ada.connected()
    behind.check()
    assert (await ada.status("r-3"))[0] == "cancelled"
    assert (behind.events[0]["runId"], behind.events[-1]["runId"]) == ("r-2", "r-2")
    assert [item["id"] for item in behind.events[-1]["outcome"]["interrupts"]] == ["int-2"]
    assert await ada.connect(behind.ids[-1]) is None

    await ada.cancel("r-2")
    withdrawn = await ada.connected()
    withdrawn.check()
    assert "interrupts" not in withdrawn.events[-1]["outcome"]


async def test_a_connect_cursor_that_does_not_exist_is_refused(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()

    for ahead in ("1-9", "2-1", "1-9.1", "2-1.1"):
        with pytest.raises(CursorAhead):
            await ada.connect(ahead)
    with pytest.raises(NotFound):
        await ada.stranger().connect("1-1")


# --- accept ----------------------------------------------------------------------


async def test_an_accepted_run_is_queued_and_starts_at_its_first_event(ada: Client) -> None:
    accepted = await ada.run("r-1")

    assert (accepted.thread_id, accepted.run_id, accepted.status) == (T, "r-1", "queued")
    assert (accepted.cursor, accepted.events_url) == ("1-0", events_url(T, "r-1"))
    assert await ada.status("r-1") == ("queued", "worker")


async def test_a_repeat_is_the_same_run_as_it_stands_now(ada: Client) -> None:
    body = {"threadId": T, "runId": "r-1", "messages": [{"id": "m-1", "role": "user", "content": "a"}]}
    first = await ada.send(body)
    await ada.succeeds()

    again = await ada.send(body)

    assert (again.task_id, again.run_id, again.cursor) == (first.task_id, "r-1", "1-0")
    assert again.status == "succeeded"


async def test_a_key_with_another_body_is_refused(ada: Client) -> None:
    await ada.run("r-1", key="key-1")

    with pytest.raises(IdempotencyMismatch):
        await ada.run("r-2", key="key-1")


async def test_a_run_id_is_used_once_in_its_thread(ada: Client) -> None:
    await ada.run("r-1", key="key-1")
    await ada.succeeds()

    with pytest.raises(IdempotencyMismatch):
        await ada.run("r-1", key="key-2")
    assert (await ada.run("r-1", key="key-3", thread="t-2")).status == "queued"


async def test_keys_and_threads_belong_to_their_user(ada: Client) -> None:
    first = await ada.run("r-1", key="key-1")
    eve = ada.stranger()

    other = await eve.run("r-9", key="key-1")

    assert (other.thread_id, other.run_id) == (T, "r-9")
    assert first.run_id == "r-1"


async def test_a_run_needs_a_message_that_the_thread_does_not_have(ada: Client) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ada.send({"threadId": T, "runId": "r-1", "messages": []})
    assert [error["pointer"] for error in refused.value.errors] == ["/messages"]
    with pytest.raises(NotFound):
        await ada.history()


async def test_a_result_of_a_call_that_nobody_made_is_refused(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()
    result = {"id": "m-9", "role": "tool", "toolCallId": "c-9", "content": "made up"}

    with pytest.raises(InvalidRequest) as refused:
        await ada.send({"threadId": T, "runId": "r-2", "messages": [result]})
    assert [error["pointer"] for error in refused.value.errors] == ["/messages/0/toolCallId"]


# --- a busy thread ---------------------------------------------------------------


@pytest.mark.parametrize("taken", [False, True], ids=["queued", "running"])
async def test_a_busy_thread_names_its_live_run(ada: Client, *, taken: bool) -> None:
    await ada.run("r-1")
    if taken:
        await ada.works(ada.started())

    with pytest.raises(RunActive) as refused:
        await ada.run("r-2")
    assert refused.value.members == {"runId": "r-1", "eventsUrl": events_url(T, "r-1")}


async def test_an_enqueued_run_waits_without_a_place_and_then_has_its_turn(ada: Client) -> None:
    await ada.run("r-1")
    waiting = await ada.run("r-2", text="later", forwardedProps={"onBusy": "enqueue"})
    assert (waiting.status, waiting.cursor) == ("waiting", None)
    assert await ada.status("r-2") == ("waiting", "earlier-run")
    assert [message["content"] for message in (await ada.history())["messages"]] == ["hello"]

    await ada.succeeds()

    assert await ada.status("r-2") == ("queued", "worker")
    history = await ada.history()
    assert [message["content"] for message in history["messages"]] == ["hello", "hi", "later"]
    assert (history["activeRun"]["runId"], history["cursor"]) == ("r-2", "2-0")


async def test_only_so_many_runs_wait(ada: Client) -> None:
    await ada.run("r-0")
    for number in range(1, MAX_WAITING + 1):
        await ada.run(f"r-{number}", forwardedProps={"onBusy": "enqueue"})

    with pytest.raises(QueueFull):
        await ada.run("r-9", forwardedProps={"onBusy": "enqueue"})
    # Room for one: a run that was cancelled does not count.
    assert await ada.cancel("r-1") == "waiting"
    assert (await ada.run("r-10", forwardedProps={"onBusy": "enqueue"})).status == "waiting"


async def test_a_superseding_run_stops_the_live_one_and_comes_first(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started())
    await ada.run("r-2", forwardedProps={"onBusy": "enqueue"})
    assert (await ada.run("r-3", forwardedProps={"onBusy": "supersede"})).status == "waiting"
    stopping = await ada.container.runs.get_run(ada.principal, T, "r-1")
    assert (stopping.status, stopping.cancel_requested) == ("running", True)

    await ada.works(RunFinished(outcome="cancelled"))

    assert await ada.status("r-1") == ("cancelled", None)
    assert await ada.status("r-3") == ("queued", "worker")
    assert await ada.status("r-2") == ("waiting", "earlier-run")


async def test_a_run_that_supersedes_a_queued_one_starts_in_its_place(ada: Client) -> None:
    await ada.run("r-1")

    await ada.run("r-2", forwardedProps={"onBusy": "supersede"})

    assert await ada.status("r-1") == ("cancelled", None)
    assert await ada.status("r-2") == ("queued", "worker")


# --- cancel ----------------------------------------------------------------------


async def test_a_queued_run_that_is_cancelled_has_its_two_events(ada: Client) -> None:
    await ada.run("r-1")

    assert [await ada.cancel("r-1") for _ in range(2)] == ["cancelled", "cancelled"]
    assert await ada.events("r-1") == [("1-1", "RUN_STARTED"), ("1-2", "RUN_FINISHED")]


async def test_a_client_of_before_1_0_gets_a_cancelled_run_as_an_error(ada: Client) -> None:
    await ada.run("r-1", protocolVersion=None)

    await ada.cancel("r-1")

    assert await ada.events("r-1") == [("1-1", "RUN_STARTED"), ("1-2", "RUN_ERROR")]


async def test_a_running_run_is_asked_to_stop(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started())

    assert [await ada.cancel("r-1") for _ in range(2)] == ["running", "running"]
    run = await ada.container.runs.get_run(ada.principal, T, "r-1")
    assert (run.status, run.cancel_requested) == ("running", True)


async def test_a_waiting_run_that_is_cancelled_ends_in_its_turn(ada: Client) -> None:
    await ada.run("r-1")
    await ada.run("r-2", forwardedProps={"onBusy": "enqueue"})
    assert await ada.cancel("r-2") == "waiting"

    await ada.succeeds()

    assert await ada.status("r-2") == ("cancelled", None)
    assert (await ada.history())["activeRun"] is None
    assert await ada.events("r-2") == [("2-1", "RUN_STARTED"), ("2-2", "RUN_FINISHED")]


async def test_a_run_that_waits_behind_a_question_ends_at_once(ada: Client) -> None:
    await ada.run("r-1")
    await ada.run("r-2", forwardedProps={"onBusy": "enqueue"})
    await ada.asks("i-1")
    assert await ada.status("r-2") == ("waiting", "approval")

    assert await ada.cancel("r-2") == "cancelled"
    assert len((await ada.history())["pendingInterrupts"]) == 1


@pytest.mark.parametrize(
    "end", [RunFinished(), RunFailed(code="model-failed", message="It broke.")], ids=["succeeded", "failed"]
)
async def test_a_run_that_has_ended_cannot_be_cancelled(ada: Client, end: RunFinished | RunFailed) -> None:
    await ada.run("r-1")
    await ada.works(ada.started(), end)

    with pytest.raises(RunAlreadyFinished):
        await ada.cancel("r-1")


async def test_a_cancel_withdraws_the_questions_of_a_run(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1")

    with pytest.raises(RunAlreadyFinished):
        await ada.cancel("r-1", withdraw=False)
    assert [await ada.cancel("r-1") for _ in range(2)] == ["cancelled", "cancelled"]
    assert await ada.status("r-1") == ("interrupted", None)
    assert (await ada.history())["pendingInterrupts"] == []
    with pytest.raises(InterruptResolved) as refused:
        await ada.answer("r-2", ("i-1", "resolved", 1))
    assert refused.value.members == {"interruptId": "i-1"}


# --- interrupts ------------------------------------------------------------------


async def test_a_question_is_shown_until_it_is_answered(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1")
    assert await ada.status("r-1") == ("interrupted", "approval")
    (shown,) = (await ada.history())["pendingInterrupts"]
    assert (shown["id"], shown["reason"], shown["message"]) == ("i-1", "budget_exhausted", "Go on?")

    accepted = await ada.answer("r-1", ("i-1", "resolved", {"more": True}))

    assert (accepted.run_id, accepted.cursor) == ("r-1", "2-0")
    assert (await ada.history())["pendingInterrupts"] == []
    assert await ada.status("r-1") == ("queued", "worker")


async def test_a_message_does_not_pass_by_an_open_question_unless_it_cancels_it(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1", "i-2")

    with pytest.raises(InterruptOpen) as refused:
        await ada.run("r-2")
    assert refused.value.members == {"interruptIds": ["i-1", "i-2"]}
    accepted = await ada.run("r-3", forwardedProps={"onInterrupt": "cancel"})
    assert accepted.status == "queued"
    assert (await ada.history())["pendingInterrupts"] == []


async def test_all_open_questions_are_answered_at_once(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1", "i-2")

    with pytest.raises(InterruptUncovered) as refused:
        await ada.answer("r-2", ("i-2", "resolved", 1))
    assert refused.value.members == {"interruptIds": ["i-1"]}
    with pytest.raises(InvalidRequest):
        await ada.answer("r-2", ("i-1", "resolved", 1), ("i-1", "cancelled", None))
    assert len((await ada.history())["pendingInterrupts"]) == 2


async def test_a_question_is_answered_once_and_the_second_is_told_by_whom(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1")
    await ada.answer("r-2", ("i-1", "cancelled", None))
    await ada.succeeds()

    with pytest.raises(InterruptResolved) as refused:
        await ada.answer("r-3", ("i-1", "resolved", 1))
    assert refused.value.members == {"interruptId": "i-1", "resolvedBy": "r-2"}


async def test_a_question_of_no_run_is_not_found(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1")

    with pytest.raises(NotFound):
        await ada.answer("r-2", ("i-9", "resolved", 1))


async def test_an_expired_question_can_only_be_cancelled(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1", expires_in=timedelta(seconds=-1))

    with pytest.raises(InterruptExpired) as refused:
        await ada.answer("r-2", ("i-1", "resolved", 1))
    assert refused.value.members == {"interruptId": "i-1"}
    assert (await ada.answer("r-3", ("i-1", "cancelled", None))).status == "queued"


async def test_an_answer_has_to_fit_the_schema(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1", schema={"type": "integer"})

    with pytest.raises(InvalidRequest):
        await ada.answer("r-2", ("i-1", "resolved", "three"))
    assert (await ada.answer("r-3", ("i-1", "resolved", 3))).status == "queued"


async def test_an_answer_waits_for_nobody(ada: Client) -> None:
    await ada.run("r-1")

    with pytest.raises(RunActive):
        await ada.answer("r-2", ("i-1", "resolved", 1), forwardedProps={"onBusy": "enqueue"})


# --- history and runs ------------------------------------------------------------


async def test_history_is_paged_from_the_newest_message(ada: Client) -> None:
    for number in (1, 2):
        await ada.run(f"r-{number}", text=f"question {number}")
        await ada.works(ada.started(), said(f"answer-{number}"), RunFinished())

    newest = await ada.history(limit=3)
    assert [message["content"] for message in newest["messages"]] == ["answer-1", "question 2", "answer-2"]
    assert (newest["hasMore"], newest["nextBefore"]) == (True, "said-answer-1")
    oldest = await ada.history(limit=3, before=newest["nextBefore"])
    assert [message["content"] for message in oldest["messages"]] == ["question 1"]
    assert (oldest["hasMore"], oldest["nextBefore"]) == (False, None)
    assert (newest["cursor"], newest["title"]) == ("2-5", "question 1")


async def test_a_page_before_no_message_is_refused(ada: Client) -> None:
    await ada.run("r-1")

    with pytest.raises(InvalidRequest) as refused:
        await ada.history(before="m-9")
    assert [error["pointer"] for error in refused.value.errors] == ["/query/before"]


async def test_history_has_what_a_live_run_has_said_so_far(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started(), said("hi"))

    history = await ada.history()

    assert [message["content"] for message in history["messages"]] == ["hello", "hi"]
    assert (history["activeRun"]["status"], history["cursor"]) == ("running", "1-3")
    assert len((await ada.history(before=history["messages"][0]["id"]))["messages"]) == 0


async def test_a_run_tells_its_status(ada: Client) -> None:
    await ada.run("r-1")
    queued = await ada.container.runs.get_run(ada.principal, T, "r-1")
    assert (queued.attempt, queued.started_at, queued.ended_at) == (0, None, None)

    await ada.works(ada.started(), RunFailed(code="model-failed", message="It broke."))

    failed = await ada.container.runs.get_run(ada.principal, T, "r-1")
    assert (failed.status, failed.error_code, failed.attempt) == ("failed", "model-failed", 1)
    assert failed.started_at is not None
    assert failed.ended_at is not None
    assert failed.events_url == events_url(T, "r-1")
    with pytest.raises(NotFound):
        await ada.status("r-9")


async def runs_of(ada: Client, limit: int = 50, before: str | None = None) -> tuple[list[str], str | None]:
    page = await ada.container.runs.list_runs(ada.principal, T, limit=limit, before=before)
    return [run.run_id for run in page.runs], page.next_before


async def test_runs_are_listed_from_the_newest_on(ada: Client) -> None:
    for number in (1, 2):
        await ada.run(f"r-{number}")
        await ada.succeeds()
    await ada.run("r-3")
    await ada.run("r-4", forwardedProps={"onBusy": "enqueue"})

    names, place = await runs_of(ada, 2)
    assert (names, await runs_of(ada, 2, place)) == (["r-4", "r-3"], (["r-2", "r-1"], None))
    page = await ada.container.runs.list_runs(ada.principal, T, limit=50, before=None)
    assert [(run.status, run.waits_for) for run in page.runs] == [
        ("waiting", "earlier-run"),
        ("queued", "worker"),
        ("succeeded", None),
        ("succeeded", None),
    ]
    alone = [await ada.container.runs.get_run(ada.principal, T, run.run_id) for run in page.runs]
    assert [run.wire() for run in page.runs] == [run.wire() for run in alone]
    with pytest.raises(InvalidRequest) as refused:
        await runs_of(ada, before="x")
    assert [error["pointer"] for error in refused.value.errors] == ["/query/before"]


async def test_a_run_that_was_resumed_is_listed_once_and_only_the_one_that_asks_waits(ada: Client) -> None:
    await ada.run("r-1")
    await ada.asks("i-1")
    await ada.answer("r-1", ("i-1", "resolved", 1))
    await ada.asks("i-2")
    await ada.answer("r-2", ("i-2", "resolved", 1))
    await ada.asks("i-3")

    page = await ada.container.runs.list_runs(ada.principal, T, limit=50, before=None)

    assert [(run.run_id, run.status, run.waits_for) for run in page.runs] == [
        ("r-2", "interrupted", "approval"),
        ("r-1", "interrupted", None),
    ]


# --- follow ----------------------------------------------------------------------


async def test_every_cursor_of_a_run_has_the_exact_suffix(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()
    whole = await ada.events("r-1")
    assert [kind for _, kind in whole] == SUCCEEDED

    for place, (cursor, _) in enumerate(whole[:-1], start=1):
        assert await ada.events("r-1", cursor) == whole[place:]
    assert await ada.events("r-1", "1-0") == whole
    assert await ada.follow("r-1", "1-5") is None


async def test_a_cursor_before_the_run_is_its_beginning(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()
    await ada.run("r-2", text="again")
    await ada.works(ada.started(), RunFinished())

    assert await ada.events("r-2", "1-2") == [("2-1", "RUN_STARTED"), ("2-2", "RUN_FINISHED")]
    assert await ada.follow("r-1", "2-1") is None


@pytest.mark.parametrize("cursor", ["1-9", "2-0", "9-1"])
@pytest.mark.parametrize("run_id", [None, "r-1"])
async def test_a_cursor_ahead_of_every_event_leads_to_the_history(
    ada: Client, run_id: str | None, cursor: str
) -> None:
    await ada.run("r-1")
    await ada.succeeds()

    with pytest.raises(CursorAhead) as refused:
        await ada.follow(run_id, cursor)
    assert refused.value.members["historyUrl"].endswith(f"/history?threadId={T}")


async def test_a_live_run_is_followed_to_its_end(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started())
    frames = await ada.follow("r-1", "1-0")
    assert frames is not None

    async with asyncio.timeout(HUNG_SECONDS):
        read = [await anext(frames)]
        await ada.works(said("hi"), RunFinished())
        read += [frame async for frame in frames]

    assert [kind for _, kind in parsed(read)] == SUCCEEDED


async def test_a_waiting_run_is_followed_from_its_turn_on(ada: Client) -> None:
    await ada.run("r-1")
    await ada.run("r-2", forwardedProps={"onBusy": "enqueue"})
    frames = await ada.follow("r-2")
    assert frames is not None

    async with asyncio.timeout(HUNG_SECONDS):
        read = [await anext(frames)]
        await ada.succeeds()
        await ada.works(ada.started(), RunFinished())
        read += [frame async for frame in frames]

    assert parsed(read) == [("2-1", "RUN_STARTED"), ("2-2", "RUN_FINISHED")]


async def test_a_thread_is_followed_over_its_runs(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started(), RunFinished())
    frames = await ada.follow(cursor="1-1")
    assert frames is not None
    read: list[bytes] = []
    async with asyncio.timeout(HUNG_SECONDS), aclosing(frames):  # pyright: ignore[reportArgumentType]  a generator
        await ada.run("r-2")
        await ada.works(ada.started(), RunFinished())
        async for frame in frames:
            read.append(frame)
            if len(parsed(read)) == 3:
                break

    assert parsed(read) == [("1-2", "RUN_FINISHED"), ("2-1", "RUN_STARTED"), ("2-2", "RUN_FINISHED")]


async def test_only_what_exists_can_be_followed(ada: Client) -> None:
    with pytest.raises(NotFound):
        await ada.follow()
    await ada.run("r-1")
    with pytest.raises(NotFound):
        await ada.follow("r-9")


# --- threads ---------------------------------------------------------------------


async def test_activity_brings_a_thread_to_the_front_and_a_title_does_not(ada: Client) -> None:
    for name in ("a", "b", "c"):
        await ada.run(f"r-{name}", thread=name)
    assert await ada.threads() == ["c", "b", "a"]

    await ada.succeeds("b")
    await ada.container.threads.rename_thread(ada.principal, "a", "Another")

    assert await ada.threads() == ["b", "c", "a"]
    first = await ada.container.threads.list_threads(ada.principal, limit=2, before=None, query=None)
    assert first.next_before is not None
    rest = await ada.container.threads.list_threads(
        ada.principal, limit=2, before=first.next_before, query=None
    )
    assert ([thread.thread_id for thread in rest.threads], rest.next_before) == (["a"], None)
    with pytest.raises(InvalidRequest):
        await ada.container.threads.list_threads(ada.principal, limit=2, before="x", query=None)


async def test_a_thread_is_shown_with_its_run_and_its_questions(ada: Client) -> None:
    await ada.run("r-1", text="what is 6*7")
    live = await ada.container.threads.get_thread(ada.principal, T)
    assert (live.title, live.message_count, live.pending_interrupts) == ("what is 6*7", 1, 0)
    assert live.active_run is not None
    assert (live.active_run.run_id, live.active_run.status) == ("r-1", "queued")

    await ada.asks("i-1", "i-2")

    asking = await ada.container.threads.get_thread(ada.principal, T)
    assert (asking.active_run, asking.pending_interrupts) == (None, 2)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("lisbon", ["a"]),
        ("LIS", ["a"]),
        ("trip lisbon", ["a"]),
        ("trip", ["b", "a"]),
        ("tri lisbon", []),
        ("t", []),
        ("holidays", ["b"]),
        ("hi", ["b", "a"]),
        ("?!", []),
    ],
)
async def test_threads_are_found_by_their_words(ada: Client, query: str, found: list[str]) -> None:
    await ada.run("r-a", text="A trip to Lisbon", thread="a")
    await ada.succeeds("a")
    await ada.run("r-b", text="A trip to Porto", thread="b")
    await ada.succeeds("b")
    await ada.container.threads.rename_thread(ada.principal, "b", "My holidays")

    assert await ada.threads(query) == found


async def test_a_deleted_thread_is_gone_and_its_ids_are_free(ada: Client) -> None:
    await ada.run("r-1")
    await ada.works(ada.started())
    await ada.run("r-2", forwardedProps={"onBusy": "enqueue"})
    frames = await ada.follow("r-1")
    assert frames is not None
    read: list[bytes] = []
    async with asyncio.timeout(HUNG_SECONDS):
        while not parsed(read):
            read.append(await anext(frames))

        await ada.container.threads.delete_thread(ada.principal, T)

        read += [frame async for frame in frames]
    assert [kind for _, kind in parsed(read)] == ["RUN_STARTED", "RUN_FINISHED"]
    assert await ada.threads() == []
    with pytest.raises(NotFound):
        await ada.history()
    assert (await ada.run("r-1", text="anew")).cursor == "1-0"
    assert [message["content"] for message in (await ada.history())["messages"]] == ["anew"]


# --- others ----------------------------------------------------------------------


async def test_what_is_another_users_looks_absent(ada: Client) -> None:
    await ada.run("r-1")
    eve = ada.stranger()
    container, who = eve.container, eve.principal
    calls = [
        eve.follow(),
        eve.follow("r-1", "1-0"),
        eve.history(),
        eve.status("r-1"),
        eve.cancel("r-1"),
        runs_of(eve),
        container.threads.get_thread(who, T),
        container.threads.rename_thread(who, T, "Mine"),
        container.threads.delete_thread(who, T),
    ]

    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await eve.threads() == []
    assert await eve.threads("hello") == []
    assert await ada.threads() == [T]


async def test_a_refused_request_leaves_nothing_behind(ada: Client) -> None:
    await ada.run("r-1")
    await ada.succeeds()
    before = await ada.history()

    with pytest.raises(AgentBackendError):
        await ada.answer("r-2", ("i-9", "resolved", 1))

    assert await ada.history() == before
    with pytest.raises(NotFound):
        await ada.status("r-2")
