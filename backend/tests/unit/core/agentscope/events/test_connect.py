"""A client that connects at any moment of any recorded run holds what one holds that saw every event."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.agui_reducer import AguiClient
from tests.support.agui_verifier import AguiVerifier
from tests.support.connecting import (
    EARLIER,
    ORDINAL,
    RUN,
    THREAD,
    RecordedRun,
    RecordedThread,
    connect,
    peer,
    recorded_runs,
)
from tests.support.dart_decode import decode_stream
from tests.support.recorded_streams import recordings

from core.agentscope.events.connect import ConnectRequest, LoggedRun, Start, start_of
from core.agentscope.events.reopening import RunStructure, reopened
from core.agentscope.events.sse import frames_of
from core.agentscope.schemas.agent_runtime import HistorySnapshotResponse, ThreadUsage
from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.errors import CursorAhead, NotFound

RUNS = list(recorded_runs(recordings()))


def told(start: Start, run: RecordedRun, length: int | None = None) -> list[dict[str, Any]]:
    """Return the events of a connect stream: its opening, and the tail that follows in the log."""
    tail = run.payloads[start.cursor.seq : length] if start.follows else []
    return [orjson.loads(payload) for payload in (*start.events, *tail)]


def see(events: list[dict[str, Any]]) -> tuple[AguiClient, bool]:
    """Return what a client holds that began with nothing, and whether its stream has ended in order."""
    client, verifier = AguiClient(), AguiVerifier()
    for event in events:
        verifier.feed(event)
        client.see(event)
    return client, verifier.ended


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
async def test_at_every_moment_a_client_comes_to_hold_what_one_holds_that_stayed(run: RecordedRun) -> None:
    held = run.held()
    for seen in range(len(run.payloads) + 1):
        thread = RecordedThread(run, held[seen], seen)
        start = await connect(thread)

        opened, _ = see([orjson.loads(payload) for payload in start.events])
        client, ended = see(told(start, run))

        assert (opened.messages, opened.state) == (held[seen].messages, held[seen].state), seen
        assert (client.messages, client.state) == (held[-1].messages, held[-1].state), seen
        assert ended == (thread.last is not None or run.name != "never-ended"), seen
        # The tail begins right behind what the opening has told; RUN_STARTED is told in any case.
        assert start.cursor == Cursor(ORDINAL, max(seen, 1)), seen
        assert start.ids()[-1] == ConnectCursor(start.cursor)


def stages(events: list[dict[str, Any]]) -> dict[str, bool]:
    """Return the stages of a run, in order, and whether each has ended: what a progress of the run shows."""
    seen: dict[str, bool] = {}
    for event in events:
        if event["type"] in ("STEP_STARTED", "STEP_FINISHED") and "subagentRunId" not in event:
            seen.pop(event["stepName"], None)
            seen[event["stepName"]] = event["type"] == "STEP_FINISHED"
    return seen


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
async def test_stages_that_ended_before_a_client_came_are_told(run: RecordedRun) -> None:
    held = run.held()
    for seen in range(1, len(run.payloads) + 1):
        thread = RecordedThread(run, held[seen], seen)
        if thread.last is not None:
            continue

        start = await connect(thread)

        opened = [orjson.loads(payload) for payload in start.events]
        assert stages(opened) == stages(run.events[:seen]), seen


def test_code_of_users_that_names_any_number_of_steps_makes_no_endless_opening() -> None:
    structure = RunStructure()
    for name in (*range(200), 150):
        for type_ in ("STEP_STARTED", "STEP_FINISHED"):
            structure.extend([orjson.dumps({"type": type_, "stepName": f"step {name}"})])

    told = [orjson.loads(event) for event in reopened(structure, {}, 0)]

    assert len(told) == 100
    assert list(stages(told))[-2:] == ["step 199", "step 150"]
    assert all(stages(told).values())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
async def test_a_reader_that_is_cut_off_inside_the_opening_gets_exactly_the_rest(run: RecordedRun) -> None:
    held = run.held()
    length = len(run.payloads)
    for seen in range(0, length + 1, 3):
        first = await connect(RecordedThread(run, held[seen], seen))
        for place, cut in enumerate(first.ids()[:-1], start=1):
            # Nothing has come meanwhile; one event; the end.
            for later in {seen, min(seen + 1, length), length}:
                rest = await connect(RecordedThread(run, held[later], later), str(cut))

                before = [orjson.loads(payload) for payload in first.events[:place]]
                client, _ = see([*before, *told(rest, run)])

                assert (client.messages, client.state) == (held[-1].messages, held[-1].state), (seen, cut)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
async def test_clients_before_1_0_can_read_every_opening(run: RecordedRun) -> None:
    held = run.held()
    for seen in range(len(run.payloads) + 1):
        start = await connect(RecordedThread(run, held[seen], seen))

        body = (await frames_of(start, peer(None))).decode()

        # A drawn error may be without words, which this server never writes and the Dart SDK refuses.
        decodable = body.replace('"type":"RUN_ERROR","message":""', '"type":"RUN_ERROR","message":"."')
        assert len(decode_stream(decodable)) == len(start.events)
        assert [line[4:] for line in body.splitlines() if line.startswith("id: ")] == [
            str(place) for place in start.ids()
        ]


async def test_a_reader_that_has_seen_the_opening_is_not_told_it_again() -> None:
    (run,) = [run for run in RUNS if run.name == "plain-chat"]
    thread = RecordedThread(run, run.held()[4], 4)

    start = await connect(thread, f"{ORDINAL}-3")

    assert (start.events, start.cursor, start.follows) == ((), Cursor(ORDINAL, 3), True)


async def test_an_event_that_does_not_exist_is_refused() -> None:
    (run,) = [run for run in RUNS if run.name == "plain-chat"]
    thread = RecordedThread(run, run.held()[4], 4)

    for ahead in (f"{ORDINAL}-5.1", f"{ORDINAL + 1}-1.1"):
        with pytest.raises(CursorAhead):
            await connect(thread, ahead)


# --- how runs end -----------------------------------------------------------------


def ended(run: RecordedRun, **options: bool) -> RecordedThread:
    return RecordedThread(run, run.held()[-1], len(run.payloads), **options)


@pytest.mark.parametrize(
    "run",
    [run for run in RUNS if RecordedThread(run, AguiClient(), len(run.payloads)).last],
    ids=lambda run: run.name,
)
async def test_the_end_of_a_run_is_told_as_it_was(run: RecordedRun) -> None:
    thread = ended(run)

    start = await connect(thread)

    last = orjson.loads(start.events[-1])
    assert last | {"timestamp": 0} == (thread.last or {}) | {"timestamp": 0}
    assert not start.follows


@pytest.mark.parametrize(
    ("name", "type_", "member"),
    [
        ("plain-chat", "RUN_FINISHED", {"type": "success"}),
        ("approval", "RUN_FINISHED", None),
        ("cancelled-in-everything", "RUN_FINISHED", {"type": "cancelled"}),
        ("failed-at-once", "RUN_ERROR", None),
    ],
)
async def test_a_run_whose_events_are_pruned_is_told_from_what_is_kept(
    name: str, type_: str, member: dict[str, Any] | None
) -> None:
    (run,) = [run for run in RUNS if run.name == name]
    thread = ended(run, pruned=True)

    start = await connect(thread)

    client, is_ended = see([orjson.loads(payload) for payload in start.events])
    last = orjson.loads(start.events[-1])
    assert is_ended
    assert client.messages == run.held()[-1].messages
    assert last["type"] == type_
    if type_ == "RUN_ERROR":
        assert last["code"] == (thread.last or {})["code"]
    else:
        assert last["outcome"] == (member or {"type": "interrupt", "interrupts": thread.pending})


async def test_a_question_that_is_no_longer_open_is_not_asked_again() -> None:
    (run,) = [run for run in RUNS if run.name == "approval"]

    start = await connect(ended(run, withdrawn=True))

    assert orjson.loads(start.events[-1])["outcome"] == {"type": "cancelled"}


class _Overtaken(RecordedThread):
    """A run that was cancelled while it waited has ended after the run whose question is open."""

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        history = await super().history(limit)
        assert history is not None
        return history.model_copy(update={"cursor": f"{ORDINAL + 1}-2"})

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        if ordinal == ORDINAL + 1:
            return LoggedRun(ordinal, "r-2", "cancelled", 2, None)
        return await super().find_run(ordinal)


async def test_the_open_question_of_an_earlier_run_is_asked() -> None:
    (run,) = [run for run in RUNS if run.name == "approval"]
    thread = _Overtaken(run, run.held()[-1], len(run.payloads))

    start = await connect(thread)

    first, last = orjson.loads(start.events[0]), orjson.loads(start.events[-1])
    assert (first["runId"], last["runId"]) == (RUN, RUN)
    assert last["outcome"] == {"type": "interrupt", "interrupts": thread.pending}
    # Nothing is left after it.
    assert str(start.ids()[-1]) == f"{ORDINAL + 1}-2"


class _GoneOn(RecordedThread):
    """The next run has begun."""

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        history = await super().history(limit)
        assert history is not None
        active = {"run_id": "r-2", "status": "running", "events_url": "/"}
        return HistorySnapshotResponse.model_validate(
            history.model_dump() | {"cursor": f"{ORDINAL + 1}-1", "active_run": active}
        )

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        if ordinal == ORDINAL + 1:
            return LoggedRun(ordinal, "r-2", "running", 1, None)
        return await super().find_run(ordinal)


async def test_a_reader_that_comes_back_in_the_next_run_is_told_the_end_of_its_own() -> None:
    (run,) = [run for run in RUNS if run.name == "plain-chat"]
    first = await connect(RecordedThread(run, run.held()[4], 4))
    thread = _GoneOn(run, run.held()[-1], len(run.payloads))

    rest = await connect(thread, str(first.ids()[0]))

    client, is_ended = see([orjson.loads(payload) for payload in (first.events[0], *rest.events)])
    assert is_ended
    assert client.messages == run.held()[-1].messages
    assert orjson.loads(rest.events[-1])["runId"] == RUN
    assert not rest.follows
    assert str(rest.ids()[-1]) == f"{ORDINAL}-{len(run.payloads)}"


# --- threads without runs ----------------------------------------------------------


class _Nothing:
    """A thread that nobody has begun, or an empty one."""

    def __init__(self, *, exists: bool) -> None:
        self._exists = exists

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        if not self._exists:
            return None
        return HistorySnapshotResponse(
            thread_id=THREAD, messages=[], pending_interrupts=[], cursor="0-0", usage=ThreadUsage()
        )

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        raise AssertionError(ordinal)

    async def find_asking_run(self) -> LoggedRun | None:
        raise AssertionError

    async def structure(self, upto: Cursor) -> RunStructure:
        raise AssertionError(upto)

    async def messages(self, upto: Cursor) -> list[dict[str, Any]]:
        raise AssertionError(upto)


@pytest.mark.parametrize("exists", [True, False])
async def test_an_empty_thread_is_an_empty_run_that_has_ended(exists: bool) -> None:
    request = ConnectRequest(THREAD, run_id="mine")

    start = await start_of(_Nothing(exists=exists), request, timestamp_ms=7)

    assert [orjson.loads(payload) for payload in start.events] == [
        {
            "type": "RUN_STARTED",
            "threadId": THREAD,
            "runId": "mine",
            "protocolVersion": "1.0",
            "timestamp": 7,
        },
        {"type": "MESSAGES_SNAPSHOT", "messages": [], "timestamp": 7},
        {
            "type": "RUN_FINISHED",
            "threadId": THREAD,
            "runId": "mine",
            "outcome": {"type": "success"},
            "timestamp": 7,
        },
    ]
    assert [str(place) for place in start.ids()] == ["0-0.2", "0-0.1", "0-0"]
    again = ConnectRequest(THREAD, after=ConnectCursor.parse("0-0"))
    assert (await start_of(_Nothing(exists=exists), again, timestamp_ms=7)).events == ()


async def test_a_thread_that_was_deleted_meanwhile_is_not_found() -> None:
    request = ConnectRequest(THREAD, after=ConnectCursor.parse("3-1.1"))

    with pytest.raises(NotFound):
        await start_of(_Nothing(exists=False), request, timestamp_ms=7)


async def test_who_waited_at_an_empty_thread_is_told_of_its_first_run() -> None:
    (run,) = [run for run in RUNS if run.name == "plain-chat"]
    thread = RecordedThread(run, run.held()[4], 4)

    whole, rest = await connect(thread, "0-0"), await connect(thread, "0-0.2")

    assert whole.events == (await connect(thread)).events
    assert rest.events == whole.events[1:]


# --- long threads -------------------------------------------------------------------


async def test_a_snapshot_that_does_not_reach_back_says_so() -> None:
    (run,) = [run for run in RUNS if run.name == "plain-chat"]
    thread = ended(run)
    held = run.held()[-1].messages

    start = await start_of(thread, ConnectRequest(THREAD, limit=1), timestamp_ms=7)

    types = [orjson.loads(payload)["type"] for payload in start.events]
    assert types == ["RUN_STARTED", "CUSTOM", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    assert orjson.loads(start.events[1]) == {
        "type": "CUSTOM",
        "name": "agentroute.history",
        "value": {"hasMore": True, "nextBefore": held[-1]["id"]},
        "timestamp": 7,
    }
    assert orjson.loads(start.events[2])["messages"] == held[-1:]
    assert EARLIER[0] not in held[-1:]


@pytest.mark.parametrize("text", ["3-17", "3-17.1", "0-0", "12-0.20"])
def test_ids_of_a_connect_stream_are_read_as_they_are_written(text: str) -> None:
    assert str(ConnectCursor.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "3", "3-17.", "3-17.0", "3-17.01", "3-17.1.1", "3-17.-1", ".1", "3-17.x"]
)
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|connect"):
        ConnectCursor.parse(text)
