"""Each invariant on evidence made by hand: nothing to say about a sound run, and the right word for each flaw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tests.faults.checker import INVARIANTS, check
from tests.faults.evidence import Evidence, Line

RUN = "run-1"


def event(seq: int, body: dict[str, Any], *, attempt: int = 1) -> Line:
    return {
        "session_id": 1,
        "ordinal": 1,
        "seq": seq,
        "attempt": attempt,
        "type": body["type"],
        "payload": orjson.dumps(body | {"timestamp": 1}).decode(),
        "created_at": 100.0 + seq / 100,
    }


BODIES: list[dict[str, Any]] = [
    {"type": "RUN_STARTED", "threadId": "thread-1", "runId": RUN, "protocolVersion": "1.0"},
    {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
    {"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "effect", "parentMessageId": "m1"},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{}"},
    {"type": "TOOL_CALL_END", "toolCallId": "c1"},
    {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
    {"type": "TOOL_CALL_RESULT", "messageId": "t1", "toolCallId": "c1", "content": "done", "role": "tool"},
    {"type": "TEXT_MESSAGE_START", "messageId": "m2", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m2", "delta": "well done"},
    {"type": "TEXT_MESSAGE_END", "messageId": "m2"},
    {"type": "RUN_FINISHED", "threadId": "thread-1", "runId": RUN, "outcome": {"type": "success"}},
]


def message(position: int, id_: str, role: str, content: str, **members: Any) -> Line:
    return {
        "session_id": 1,
        "ordinal": 1,
        "position": position,
        "id": id_,
        "role": role,
        "content": content,
        "tool_calls": None,
        "tool_call_id": None,
        "incomplete": False,
    } | members


def http(kind: str, status: int, **members: Any) -> Line:
    return {
        "kind": kind,
        "run_id": RUN,
        "tenant": "t",
        "user": "u",
        "status": status,
        "retry_after": "",
        "task_id": "",
        "body": "{}",
        "absent": False,
        "t": 100.0,
    } | members


def sound() -> Evidence:
    """One run with a tool call, all in order."""
    call = {"id": "c1", "type": "function", "function": {"name": "effect", "arguments": "{}"}}
    events = [event(seq, body) for seq, body in enumerate(BODIES, start=1)]
    return Evidence(
        runs=[
            {
                "pk": 1,
                "session_id": 1,
                "thread_id": "thread-1",
                "tenant": "t",
                "user": "u",
                "run_id": RUN,
                "segment": 0,
                "ordinal": 1,
                "status": "succeeded",
                "attempt": 1,
                "released": 0,
                "last_seq": len(events),
                "error_code": None,
                "worker_id": "w",
                "key": RUN,
                "input": "{}",
                "input_tokens": 5,
                "output_tokens": 2,
                "created_at": 99.0,
                "started_at": 99.5,
                "ended_at": 101.0,
            }
        ],
        events=events,
        messages=[
            message(1, "u1", "user", "go"),
            message(2, "m1", "assistant", "", tool_calls=[call]),
            message(3, "t1", "tool", "done", tool_call_id="c1"),
            message(4, "m2", "assistant", "well done"),
        ],
        calls=[
            {
                "run_pk": 1,
                "call_id": "x",
                "stage": "execution",
                "input_tokens": 5,
                "output_tokens": 2,
                "estimated": False,
            }
        ],
        interrupts=[],
        accepted=[{"run_id": RUN, "thread": "thread-1", "tenant": "t", "user": "u", "t202": 99.1}],
        reader=[
            {
                "reader": "r",
                "run_id": RUN,
                "cursor_start": "",
                "events": [(f"1-{line['seq']}", line["payload"]) for line in events],
                "end": "terminal",
            }
        ],
        http=[
            http("post", 202, task_id="a"),
            http("foreign-events", 404),
            http("foreign-events", 404, absent=True),
        ],
        llm=[
            {
                "run_id": RUN,
                "call_id": "y",
                "stage": "answer",
                "text": "well done",
                "tools": [],
                "tokens_in": 5,
                "tokens_out": 2,
                "completed": True,
            }
        ],
        tool=[{"run_id": RUN, "tool_call_id": "c1", "key": f"{RUN}:c1", "note": "", "t": 100.06, "pid": 7}],
    )


Flaw = Callable[[Evidence], object]

FLAWS: list[tuple[str, Flaw]] = [
    ("I1", lambda e: e.accepted[0].update(run_id="run-none")),
    ("I2", lambda e: e.runs[0].update(status="running", ended_at=None)),
    ("I2", lambda e: e.runs[0].update(ended_at=10_000.0)),
    ("I3", lambda e: e.events.pop(3)),
    ("I4", lambda e: (e.events.append(event(12, BODIES[-1])), e.runs[0].update(last_seq=12))),
    ("I5", lambda e: e.events.insert(1, event(2, BODIES[0]))),
    ("I6", lambda e: e.runs[0].update(attempt=2)),
    ("I6", lambda e: e.events[4].update(attempt=2)),
    ("I7", lambda e: e.events.pop(5)),
    ("I8", lambda e: e.runs[0].update(status="failed", error_code="worker-lost")),
    ("I8", lambda e: (
        e.runs[0].update(status="failed", error_code="internal-error"),
        e.events.__setitem__(-1, event(11, {"type": "RUN_ERROR", "message": "no", "code": "internal-error"})),
    )),
    ("I9", lambda e: e.messages[3].update(content="well")),
    ("I9", lambda e: e.messages.pop(2)),
    ("I10", lambda e: e.llm[0].update(text="well done indeed")),
    ("I11", lambda e: e.calls.append(dict(e.calls[0]))),
    ("I11", lambda e: e.llm.append(dict(e.llm[0], tokens_in=9))),
    ("I12", lambda e: e.tool.append(dict(e.tool[0]))),
    ("I12", lambda e: e.tool[0].update(t=100.01)),
    ("I12", lambda e: e.tool[0].update(t=103.0)),
    ("I13", lambda e: e.reader[0]["events"].pop(4)),
    ("I13", lambda e: e.reader[0]["events"].append(e.reader[0]["events"][-1])),
    ("I13", lambda e: e.reader.append(dict(e.reader[0]))),
    ("I14", lambda e: e.http.append(http("foreign-events", 200))),
    ("I14", lambda e: e.http.append(http("foreign-events", 404, body='{"detail":"not yours"}'))),
    ("I15", lambda e: e.runs.append(dict(e.runs[0], pk=2, run_id="run-2", key="run-2", ordinal=2, started_at=100.0))),
    ("I16", lambda e: e.interrupts.append(
        {"session_id": 1, "run_pk": 1, "interrupt_id": "i", "status": "resolved", "resolved_by_run_pk": 9}
    )),
    ("I17", lambda e: e.http.append(http("post", 500))),
    ("I17", lambda e: e.http.append(http("post", 503, retry_after="1"))),
    ("I17", lambda e: e.http.append(http("repeat", 202, task_id="b"))),
    ("I17", lambda e: e.http.append(http("mismatch", 202))),
    ("I18/19", lambda e: e.rest.append({"what": "idle in transaction", "found": "1"})),
    ("I20", lambda e: e.runs[0].update(created_at=30.0)),
]  # fmt: skip


def test_a_sound_run_keeps_every_promise() -> None:
    assert [str(violation) for violation in check(sound())] == []


@pytest.mark.parametrize(
    ("invariant", "flaw"), FLAWS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(FLAWS)]
)
def test_a_flaw_is_reported(invariant: str, flaw: Flaw) -> None:
    evidence = sound()
    flaw(evidence)
    assert invariant in {violation.invariant for violation in check(evidence)}


def test_every_invariant_has_a_flaw() -> None:
    assert {name for name, _ in FLAWS} == set(INVARIANTS)
