"""The promises as predicates over recorded evidence: pure functions, one an invariant.

Each yields what it found wrong. An invariant that does not apply to a piece of
evidence finds nothing, so a checker that sees nothing proves nothing by itself:
``mutants`` break the promises on purpose, and each has to be seen here.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from ag_ui_validate.pytest_plugin import validate_agui
from tests.faults.evidence import Evidence, Line

ENDED = {"succeeded", "interrupted", "cancelled", "failed"}
TERMINAL = {"RUN_FINISHED", "RUN_ERROR"}
LONGEST_SECONDS = 660.0
"""A run's deadline and a minute."""
CLAIM_SECONDS = 60.0
"""A run nobody claims. That it takes seven seconds at most, ``bench/recovery.py`` measures."""
GRACE_SECONDS = 5.0
"""A fault is still felt this long after its end."""
MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    invariant: str
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.about}: {self.what}"


Found = Iterator[tuple[str, str]]


class Case:
    """Evidence, indexed."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.runs = evidence.runs

    @cached_property
    def by_place(self) -> dict[tuple[int, int], list[Line]]:
        """Events of each (session, ordinal) by sequence."""
        log: dict[tuple[int, int], list[Line]] = defaultdict(list)
        for event in self.evidence.events:
            log[event["session_id"], event["ordinal"]].append(event)
        return log

    def log(self, run: Line) -> list[Line]:
        """E(r)."""
        return self.by_place.get((run["session_id"], run["ordinal"]), [])

    def bodies(self, run: Line) -> list[dict[str, Any]]:
        return [orjson.loads(event["payload"]) for event in self.log(run)]

    @cached_property
    def run_of(self) -> dict[str, Line]:
        """The first segment of each run id; the kit's run ids are unique."""
        return {run["run_id"]: run for run in reversed(self.runs)}

    def in_fault(self, since: float, until: float) -> bool:
        """Tell whether a fault was felt in this time."""
        return any(
            fault["since"] - 1.0 <= until and since <= fault["until"] + GRACE_SECONDS
            for fault in self.evidence.faults
        )

    @cached_property
    def zombies(self) -> set[int]:
        """Ids of processes that were held by SIGSTOP."""
        return {fault["pid"] for fault in self.evidence.faults if fault["kind"] == "zombie"}


def i1_accepted_exists_once(case: Case) -> Found:
    counts = Counter((run["tenant"], run["user"], run["key"], run["segment"]) for run in case.runs)
    for line in case.evidence.accepted:
        found = counts[line["tenant"], line["user"], line["run_id"], 0]
        if found != 1:
            yield line["run_id"], f"accepted, and there are {found} runs of it"


def i2_ends(case: Case) -> Found:
    for run in case.runs:
        if run["status"] not in ENDED:
            yield run["run_id"], f"is {run['status']} at rest (attempt {run['attempt']})"
        elif run["ended_at"] - run["created_at"] > LONGEST_SECONDS:
            yield run["run_id"], "took longer than its deadline and a minute"


def i3_dense(case: Case) -> Found:
    for run in case.runs:
        seqs = [event["seq"] for event in case.log(run)]
        if seqs != list(range(1, run["last_seq"] + 1)):
            yield run["run_id"], f"has the sequences {seqs[:3]}..{seqs[-3:]} and last_seq {run['last_seq']}"


def i4_one_terminal_last(case: Case) -> Found:
    for run in case.runs:
        if run["status"] not in ENDED:
            continue
        places = [place for place, event in enumerate(case.log(run)) if event["type"] in TERMINAL]
        if places != [len(case.log(run)) - 1]:
            yield run["run_id"], f"has terminal events at {places} of {len(case.log(run))}"


def i5_started_first(case: Case) -> Found:
    for run in case.runs:
        bodies = case.bodies(run)
        places = [place for place, body in enumerate(bodies) if body["type"] == "RUN_STARTED"]
        if run["status"] in ENDED and places != [0]:
            yield run["run_id"], f"has RUN_STARTED at {places}"
        elif places and (bodies[0]["runId"], bodies[0]["threadId"]) != (run["run_id"], run["thread_id"]):
            yield run["run_id"], "has a RUN_STARTED with another id"


def i6_attempts(case: Case) -> Found:
    for run in case.runs:
        attempts = [event["attempt"] for event in case.log(run)]
        if attempts != sorted(attempts):
            yield run["run_id"], f"has attempts that go back: {attempts}"
        if attempts and max(attempts) > run["attempt"]:
            yield run["run_id"], f"has an event of attempt {max(attempts)}, the row says {run['attempt']}"
        tries = run["attempt"] - run["released"]
        if tries > MAX_ATTEMPTS:
            yield run["run_id"], f"was tried {tries} times"
        shown = {
            event["type"]
            for event in case.log(run)
            if event["attempt"] < run["attempt"] and event["type"] != "RUN_STARTED"
        }
        if shown:
            yield run["run_id"], f"was tried again after it had shown {sorted(shown)}"


def i7_protocol(case: Case) -> Found:
    threads: dict[int, list[Line]] = defaultdict(list)
    for run in case.runs:
        if run["status"] in ENDED and run["ordinal"] is not None:
            threads[run["session_id"]].append(run)
    for runs in threads.values():
        ordered = sorted(runs, key=lambda run: run["ordinal"])
        report = validate_agui([body for run in ordered for body in case.bodies(run)])
        errors = [item for item in report.diagnostics if str(item.severity) == "error"]
        if errors:
            yield ordered[0]["run_id"], f"the protocol's validator says {errors[0]}"


def i8_status(case: Case) -> Found:
    for run in case.runs:
        if run["status"] not in ENDED or not case.log(run):
            continue
        end = case.bodies(run)[-1]
        outcome = end.get("outcome", {}).get("type", "success")
        said = {"success": "succeeded", "interrupt": "interrupted", "cancelled": "cancelled"}.get(outcome)
        said = "failed" if end["type"] == "RUN_ERROR" else said
        if said != run["status"]:
            yield run["run_id"], f"is {run['status']} and its end says {said}"
        if end["type"] == "RUN_ERROR" and end.get("code") != run["error_code"]:
            yield run["run_id"], f"failed with {run['error_code']} and said {end.get('code')}"
        if run["error_code"] == "internal-error":
            yield run["run_id"], "failed for a reason that nobody foresaw"


def i9_history(case: Case) -> Found:
    kept: dict[tuple[int, int], list[Line]] = defaultdict(list)
    for message in case.evidence.messages:
        if message["role"] in ("assistant", "tool"):
            kept[message["session_id"], message["ordinal"]].append(message)
    for run in case.runs:
        if run["status"] not in ENDED:
            continue
        folded = _fold(case.bodies(run))
        rows = {
            row["id"]: (
                row["role"],
                row["content"] or "",
                [
                    (call["id"], call["function"]["name"], call["function"]["arguments"])
                    for call in row["tool_calls"] or ()
                ],
                row["tool_call_id"],
            )
            for row in kept[run["session_id"], run["ordinal"]]
        }
        if rows != folded:
            different = sorted(
                name for name in rows.keys() | folded.keys() if rows.get(name) != folded.get(name)
            )
            yield run["run_id"], f"its history is not the fold of its log: {different}"
        order = [row["id"] for row in kept[run["session_id"], run["ordinal"]] if row["role"] == "assistant"]
        if order != [name for name, message in folded.items() if message[0] == "assistant"]:
            yield run["run_id"], "its messages are in another order than they were shown"


def _fold(bodies: list[dict[str, Any]]) -> dict[str, tuple[str, str, list[tuple[str, str, str]], str | None]]:
    """Fold a run's events into (role, content, calls, answered call) by message id; not the product's own fold."""
    texts: dict[str, str] = {}
    owners: dict[str, str] = {}
    names: dict[str, str] = {}
    arguments: dict[str, str] = {}
    results: dict[str, tuple[str, str]] = {}
    for body in bodies:
        match body["type"]:
            case "TEXT_MESSAGE_START":
                texts.setdefault(body["messageId"], "")
            case "TEXT_MESSAGE_CONTENT":
                texts[body["messageId"]] = texts.get(body["messageId"], "") + body["delta"]
            case "TOOL_CALL_START":
                owner = body.get("parentMessageId") or body["toolCallId"]
                texts.setdefault(owner, "")
                owners[body["toolCallId"]] = owner
                names[body["toolCallId"]] = body["toolCallName"]
                arguments[body["toolCallId"]] = ""
            case "TOOL_CALL_ARGS":
                arguments[body["toolCallId"]] = arguments.get(body["toolCallId"], "") + body["delta"]
            case "TOOL_CALL_RESULT":
                results[body["messageId"]] = (body["toolCallId"], body["content"])
            case _:
                pass
    folded: dict[str, tuple[str, str, list[tuple[str, str, str]], str | None]] = {
        name: (
            "assistant",
            text,
            [(call, names[call], arguments[call]) for call, owner in owners.items() if owner == name],
            None,
        )
        for name, text in texts.items()
    }
    return folded | {name: ("tool", content, [], call) for name, (call, content) in results.items()}


def i10_text(case: Case) -> Found:
    said: dict[str, set[str]] = defaultdict(set)
    for line in case.evidence.llm:
        if line["completed"] and line["text"] and line["stage"] == "answer":
            said[line["run_id"]].add(line["text"])
    for run in case.runs:
        if run["status"] == "succeeded":
            text = "".join(
                body["delta"] for body in case.bodies(run) if body["type"] == "TEXT_MESSAGE_CONTENT"
            )
            wished = said.get(run["run_id"]) or said.get(_wish_of(run), set())
            if text not in wished:
                yield (
                    run["run_id"],
                    f"shows a text the model did not say: {text[:60]!r} ({len(text)} characters)",
                )


def _wish_of(run: Line) -> str:
    """Return the run whose wish a resume goes on with: the one it names as its parent."""
    return orjson.loads(run["input"]).get("parentRunId") or ""


def i11_usage(case: Case) -> Found:
    ledger: dict[int, list[Line]] = defaultdict(list)
    for call in case.evidence.calls:
        ledger[call["run_pk"]].append(call)
    for run in case.runs:
        rows = ledger[run["pk"]]
        if run["status"] not in ENDED:
            continue
        sums = (sum(row["input_tokens"] for row in rows), sum(row["output_tokens"] for row in rows))
        if sums != (run["input_tokens"], run["output_tokens"]):
            yield run["run_id"], f"its totals are not the sum of its ledger: {sums}"
        if _wish_of(run) or any(_wish_of(other) == run["run_id"] for other in case.runs):
            # The model knows both halves of an approval by one name.
            continue
        reported = Counter(
            (line["tokens_in"], line["tokens_out"])
            for line in case.evidence.llm
            if line["run_id"] == run["run_id"] and line["completed"]
        )
        booked = Counter((row["input_tokens"], row["output_tokens"]) for row in rows if not row["estimated"])
        if booked - reported:
            yield run["run_id"], f"booked what the model never reported: {dict(booked - reported)}"
        # What the provider sent to a process that died before it could write is nobody's to know.
        if run["status"] == "succeeded" and run["attempt"] == 1 and reported - booked:
            yield run["run_id"], f"did not book {dict(reported - booked)}"


def i12_tools(case: Case) -> Found:
    for call, times in Counter(line["tool_call_id"] for line in case.evidence.tool).items():
        if times > 1:
            yield call, f"had its effect {times} times"
    for line in case.evidence.tool:
        run = case.run_of.get(line["run_id"])
        if run is None:
            yield line["run_id"], "a tool acted for a run that does not exist"
            continue
        # An approved call was shown by the run that was interrupted before.
        shown = [
            event
            for ordinal in range(1, run["ordinal"] + 1)
            for event in case.by_place.get((run["session_id"], ordinal), [])
            if event["type"] == "TOOL_CALL_END"
            and orjson.loads(event["payload"])["toolCallId"] == line["tool_call_id"]
        ]
        if not shown or shown[0]["created_at"] > line["t"]:
            yield run["run_id"], f"{line['tool_call_id']} acted before its call was durable"
        if run["ended_at"] and line["t"] > run["ended_at"] + 1.0 and line["pid"] not in case.zombies:
            yield run["run_id"], f"{line['tool_call_id']} acted after the end"


def i13_readers(case: Case) -> Found:
    seen: dict[str, list[str]] = defaultdict(list)
    for line in case.evidence.reader:
        run = case.run_of.get(line["run_id"])
        if run is None:
            if line["events"]:
                yield line["run_id"], "was shown and does not exist"
            continue
        log = [(f"{event['ordinal']}-{event['seq']}", event["payload"]) for event in case.log(run)]
        start = int(line["cursor_start"].split("-")[1]) if line["cursor_start"] else 0
        got = [(cursor, payload) for cursor, payload in line["events"]]
        if got != log[start : start + len(got)]:
            wrong = next(
                (
                    place
                    for place, pair in enumerate(got)
                    if start + place >= len(log) or pair != log[start + place]
                ),
                0,
            )
            yield (
                run["run_id"],
                f"{line['reader']} from {line['cursor_start']}: not the log at {got[wrong][0]}",
            )
        elif line["end"] == "terminal" and start + len(got) != len(log):
            yield run["run_id"], f"{line['reader']} took {got[-1][0]} for the end"
        seen[line["reader"]].extend(cursor for cursor, _ in got)
    for reader, cursors in seen.items():
        if len(set(cursors)) != len(cursors):
            yield reader, "was shown an event twice"


def i14_foreign(case: Case) -> Found:
    lines = [line for line in case.evidence.http if line["kind"].startswith("foreign")]
    absent = {line["kind"]: line for line in lines if line["absent"] and line["status"] == 404}
    for line in lines:
        if line["status"] < 400:
            yield line["run_id"], f"{line['kind']} was answered with {line['status']}"
        elif line["status"] == 404 and line["body"] != absent.get(line["kind"], line)["body"]:
            yield line["run_id"], f"{line['kind']}: a foreign run does not look like an absent one"


def i15_no_overlap(case: Case) -> Found:
    threads: dict[int, list[Line]] = defaultdict(list)
    for run in case.runs:
        if run["ordinal"] is not None:
            threads[run["session_id"]].append(run)
    for runs in threads.values():
        ordered = sorted(runs, key=lambda run: run["ordinal"])
        for one, other in itertools.pairwise(ordered):
            if (
                one["ended_at"] is None
                or (other["started_at"] or other["ended_at"] or one["ended_at"]) < one["ended_at"]
            ):
                yield other["run_id"], f"ran together with {one['run_id']}"
    orders: dict[int, list[int]] = defaultdict(list)
    for message in case.evidence.messages:
        orders[message["session_id"]].append(message["ordinal"])
    for session_id, ordinals in orders.items():
        if ordinals != sorted(ordinals):
            yield str(session_id), "its messages are not in the order of its runs"


def i16_interrupts(case: Case) -> Found:
    answers: dict[tuple[int, str], list[int]] = defaultdict(list)
    for run in case.runs:
        for answer in orjson.loads(run["input"]).get("resume") or ():
            answers[run["session_id"], answer["interruptId"]].append(run["pk"])
    for interrupt in case.evidence.interrupts:
        by = answers[interrupt["session_id"], interrupt["interrupt_id"]]
        if len(by) > 1:
            yield interrupt["interrupt_id"], f"was answered by {len(by)} runs"
        if interrupt["status"] == "resolved" and by != [interrupt["resolved_by_run_pk"]]:
            yield (
                interrupt["interrupt_id"],
                f"is resolved by {interrupt['resolved_by_run_pk']}, answered by {by}",
            )


def i17_statuses(case: Case) -> Found:
    allowed = {
        "post": {200, 202},
        "repeat": {200, 202},
        "mismatch": {422},
        "second": {202, 409},  # 202 when the first ended just before
        "events": {200, 204},
        "resume": {200, 202, 409},
        "cancel": {202, 409},
    }
    tasks: dict[str, set[str]] = defaultdict(set)
    for line in case.evidence.http:
        status: int = line["status"]
        if status >= 500:
            if status != 503 or not line["retry_after"]:
                yield line["run_id"], f"{line['kind']} was answered with {status} {line['body'][:80]}"
            elif not case.in_fault(line["t"], line["t"]):
                yield line["run_id"], f"{line['kind']} was answered with 503 and nothing was wrong"
            continue
        expected = allowed.get(line["kind"])
        if expected is not None and status not in expected:
            yield line["run_id"], f"{line['kind']} was answered with {status} {line['body'][:80]}"
        if line["task_id"]:
            tasks[line["run_id"]].add(line["task_id"])
    for run_id, names in tasks.items():
        if len(names) > 1:
            yield run_id, "one request became several tasks"


def i18_i19_rest(case: Case) -> Found:
    for line in case.evidence.rest:
        yield line["found"], line["what"]


def i20_claimed(case: Case) -> Found:
    for run in case.runs:
        until = run["started_at"] or run["ended_at"]
        if until is None or until - run["created_at"] <= CLAIM_SECONDS:
            continue
        if not case.in_fault(run["created_at"], until):
            yield run["run_id"], f"waited {until - run['created_at']:.1f} s for a worker"


INVARIANTS: dict[str, Callable[[Case], Found]] = {
    "I1": i1_accepted_exists_once,
    "I2": i2_ends,
    "I3": i3_dense,
    "I4": i4_one_terminal_last,
    "I5": i5_started_first,
    "I6": i6_attempts,
    "I7": i7_protocol,
    "I8": i8_status,
    "I9": i9_history,
    "I10": i10_text,
    "I11": i11_usage,
    "I12": i12_tools,
    "I13": i13_readers,
    "I14": i14_foreign,
    "I15": i15_no_overlap,
    "I16": i16_interrupts,
    "I17": i17_statuses,
    "I18/19": i18_i19_rest,
    "I20": i20_claimed,
}


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation of every invariant."""
    case = Case(evidence)
    return [
        Violation(name, about, what)
        for name, invariant in INVARIANTS.items()
        for about, what in invariant(case)
    ]
