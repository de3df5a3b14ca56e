"""Facts in, exactly one cause out; and what is said of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.events.why.causes import _RULES, CAUSES, cause_of
from core.agentscope.events.why.diagnosis import operator_advice, operator_evidence, why
from core.agentscope.events.why.facts import (
    Limits,
    LiveRun,
    ModelCall,
    Progress,
    Question,
    Questions,
    Retry,
    RunFacts,
    Surroundings,
    ToolCall,
)
from core.agentscope.schemas.agent_runtime import RunStatus
from core.config import Settings
from core.error_codes import known_codes

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LIMITS = Limits.of(Settings())
DOCUMENT = Path(__file__).parents[7] / "docs" / "how-to" / "stuck-runs.md"
HIDDEN = ("tenant-canary", "user-canary", "host-canary", "provider-canary")
"""What an owner is never told: names of hosts, and whose the runs beside it are."""


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def run(status: RunStatus, *, around: Surroundings | None = None, **members: Any) -> RunFacts:
    """Return a run that was accepted ten seconds ago, in a deployment where nothing is wrong."""
    values: dict[str, Any] = {
        "status": status,
        "around": around or Surroundings(now=NOW, next_repair_at=at(3), store_started_at=at(-9000)),
        "tenant_id": HIDDEN[0],
        "user_id": HIDDEN[1],
        "worker_id": HIDDEN[2],
        "thread_id": "t-1",
        "run_id": "r-1",
        "next_hint_at": at(2),
        "queue_deadline_at": at(-10) + LIMITS.queue,
        "created_at": at(-10),
    }
    if status == "running":
        values |= {
            "attempt": 1,
            "started_at": at(-9),
            "deadline_at": at(591),
            "lease_until": at(25),
            "last_seq": 5,
            "progress": Progress(last_at=at(-1), last_type="STEP_STARTED"),
        }
    return RunFacts(**values | members)


def surroundings(**members: Any) -> Surroundings:
    return replace(run("queued").around, **members)


CALL = ModelCall("execution", HIDDEN[3], "m-1", at(-8))
TOOL = ToolCall("call-1", "fetch_url", at(-5))
RETRY = Retry(2, "model-unavailable", at(-1), timedelta(seconds=4))
ASKED = Question("int-1", "tool_approval", at(900), "fetch_url")


def questions(*open_: Question, **members: Any) -> Questions:
    return Questions(open_, **members)


SHOWN: dict[str, RunFacts] = {
    "store-read-only": run("running", around=surroundings(read_only=True)),
    "cancel-requested": run("running", cancel_requested_at=at(-2)),
    "behind-run": run("waiting", live=LiveRun("r-0", "running"), place=2),
    "behind-question": run("waiting", questions=questions(ASKED)),
    "turn-due": run("waiting"),
    "queue-time-over": run("queued", queue_deadline_at=at(-1)),
    "no-attempt-left": run("queued", attempt=2),
    "no-worker": run("queued", around=surroundings(workers=0)),
    "workers-full": run("queued", around=surroundings(running=50), place=7),
    "share-used-up": run("queued", around=surroundings(running=38), user_running=38),
    "not-picked-up": run("queued", next_hint_at=at(-6)),
    "redis-away": run("queued", around=surroundings(hints_away=True)),
    "retried": run("queued", attempt=1),
    "hint-lost": run("queued", created_at=at(-1.5), queue_deadline_at=at(-1.5) + LIMITS.queue),
    "queued": run("queued", created_at=at(-0.5), queue_deadline_at=at(-0.5) + LIMITS.queue),
    "lost-unnoticed": run("running", lease_until=at(-1), around=surroundings(workers=0)),
    "repairs-paused": run("running", lease_until=at(-1), around=surroundings(next_repair_at=at(-60))),
    "lease-expired": run("running", lease_until=at(-1)),
    "worker-silent": run("running", lease_until=at(10)),
    "deadline-passed": run("running", deadline_at=at(-1)),
    "cancel-not-obeyed": run("running", cancel_requested_at=at(-20)),
    "tool-overdue": run(
        "running",
        started_at=at(-200),
        progress=Progress(at(-100), "TOOL_CALL_END", (replace(TOOL, since=at(-100)),)),
    ),
    "waiting-for-tool": run("running", progress=Progress(at(-5), "TOOL_CALL_END", (TOOL,))),
    "model-retrying": run("running", progress=Progress(at(-1), "CUSTOM", retry=RETRY)),
    "model-overdue": run("running", started_at=at(-90), call=replace(CALL, since=at(-80))),
    "waiting-for-model": run("running", call=CALL),
    "model-silent": run("running", call=CALL, progress=Progress(at(-7), "TEXT_MESSAGE_CONTENT")),
    "streaming": run("running", call=CALL, progress=Progress(at(-1), "TEXT_MESSAGE_CONTENT")),
    "no-progress": run("running", progress=Progress(at(-40), "STEP_STARTED")),
    "starting": run("running", last_seq=1),
    "working": run("running"),
    "waiting-for-login": run(
        "interrupted", questions=questions(replace(ASKED, reason="connection_required"))
    ),
    "waiting-for-budget": run(
        "interrupted", questions=questions(Question("int-1", "budget-exhausted", at(900)))
    ),
    "waiting-for-approval": run("interrupted", questions=questions(ASKED)),
    "question-expired": run("interrupted", questions=questions(expired=1)),
    "question-answered": run("interrupted", questions=questions(resolved=1)),
    "question-withdrawn": run("interrupted"),
    "waiting-for-client-tool": run("succeeded", client_tools=1),
    "succeeded": run("succeeded"),
    "cancelled": run("cancelled"),
    "attempts-used-up": run("failed", error_code="worker-lost", last_seq=2, attempt=2),
    "failed": run("failed", error_code="of-the-agent"),
}
"""A run for each cause."""


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_found_in_a_run_that_has_it(cause: str) -> None:
    assert cause_of(SHOWN[cause], LIMITS) == cause


def test_there_is_no_cause_without_a_run_that_shows_it() -> None:
    assert set(SHOWN) == set(CAUSES)
    # A cause that is looked for after one without a condition would never be found.
    assert all(rules[-1][1](SHOWN["queued"], LIMITS) for rules in _RULES.values())
    assert set(_RULES) == set(get_args(RunStatus))


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        # What explains more comes first.
        (run("running", lease_until=at(-1), cancel_requested_at=at(-20)), "lease-expired"),
        (run("running", lease_until=at(5), deadline_at=at(-1)), "worker-silent"),
        (run("running", lease_until=at(-1), around=surroundings(store_started_at=at(-5))), "repairs-paused"),
        (run("queued", around=surroundings(workers=0, running=50, hints_away=True)), "no-worker"),
        # Nobody knows how many workers there are: what is said follows from the run alone.
        (run("queued", around=surroundings(workers=None, running=900)), "hint-lost"),
        # A tool that is an agent asks its model: the model is what it waits for.
        (run("running", call=replace(CALL, since=at(-2)), progress=Progress(at(-5), "TOOL_CALL_END", (TOOL,))), "waiting-for-model"),
        # A tool that tells how far it is may take longer.
        (run("running", started_at=at(-200), progress=Progress(at(-1), "CUSTOM", (replace(TOOL, since=at(-100)),))), "waiting-for-tool"),
        # The next try has begun.
        (run("running", call=replace(CALL, since=at(-0.5)), progress=Progress(at(-1), "CUSTOM", retry=RETRY)), "waiting-for-model"),
        # It was due long ago: the word of the failed try says nothing any more.
        (run("running", progress=Progress(at(-40), "CUSTOM", retry=replace(RETRY, at=at(-40)))), "no-progress"),
        # The end of what an earlier call has said.
        (run("running", call=replace(CALL, since=at(-1.5)), progress=Progress(at(-1.4), "TEXT_MESSAGE_END")), "waiting-for-model"),
        (run("interrupted", questions=questions(replace(ASKED, expires_at=at(-1)))), "question-expired"),
        (run("failed", error_code="worker-lost", last_seq=40, attempt=2), "worker-lost"),
        (run("failed", error_code="model-timeout"), "model-timeout"),
        (run("failed"), "failed"),
    ],
)  # fmt: skip
def test_of_several_causes_the_one_that_explains_more(facts: RunFacts, cause: str) -> None:
    assert cause_of(facts, LIMITS) == cause


def test_a_run_that_waited_behind_another_is_queued_since_its_turn_came() -> None:
    facts = run("queued", created_at=at(-500), queue_deadline_at=at(-0.2) + LIMITS.queue)

    assert facts.queued_at(LIMITS) == at(-0.2)
    assert cause_of(facts, LIMITS) == "queued"


def test_what_an_owner_is_told_names_no_host_and_nobody_else() -> None:
    for cause, facts in SHOWN.items():
        told = why(facts, LIMITS).model_dump_json()
        assert not [word for word in HIDDEN if word in told], cause
    shown = operator_evidence(SHOWN["waiting-for-model"], LIMITS)
    assert (shown.worker_id, shown.provider) == (HIDDEN[2], HIDDEN[3])


# --- any facts ---

TIMES = st.floats(-5000, 5000).map(at)
COUNTS = st.integers(0, 60)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


TOOLS = st.builds(ToolCall, st.just("call-1"), maybe(st.just("t")), TIMES)
PROGRESSES = st.builds(
    Progress,
    last_at=maybe(TIMES),
    last_type=maybe(st.sampled_from(["CUSTOM", "TEXT_MESSAGE_CONTENT", "TOOL_CALL_RESULT", "REASONING_END"])),
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    retry=maybe(st.builds(Retry, st.integers(2, 9), st.just("c"), TIMES, st.timedeltas(timedelta(0), timedelta(minutes=1)))),
)  # fmt: skip
ANY = st.builds(
    RunFacts,
    around=st.builds(
        Surroundings,
        now=st.just(NOW),
        queued=COUNTS,
        running=COUNTS,
        workers=maybe(st.integers(0, 2)),
        next_repair_at=maybe(TIMES),
        store_started_at=maybe(TIMES),
        read_only=st.booleans(),
        hints_away=st.sampled_from([None, False, True]),
    ),
    thread_id=st.just("t"),
    run_id=st.just("r"),
    status=st.sampled_from(get_args(RunStatus)),
    attempt=st.integers(0, 3),
    released=st.integers(0, 1),
    lease_until=maybe(TIMES),
    last_seq=st.integers(0, 4),
    next_hint_at=TIMES,
    queue_deadline_at=TIMES,
    deadline_at=maybe(TIMES),
    cancel_requested_at=maybe(TIMES),
    error_code=maybe(st.sampled_from(["worker-lost", "model-timeout", "of-the-agent"])),
    created_at=TIMES,
    started_at=maybe(TIMES),
    ended_at=maybe(TIMES),
    live=maybe(st.just(LiveRun("r-0", "running"))),
    place=maybe(st.integers(1, 9)),
    user_running=COUNTS,
    questions=st.builds(
        Questions,
        st.lists(
            st.builds(Question, st.just("i"), st.sampled_from(["tool_approval", "connection_required", "budget-exhausted", "other"]), TIMES, maybe(st.just("t"))),
            max_size=2,
        ).map(tuple),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    client_tools=st.integers(0, 1),
    call=maybe(st.builds(ModelCall, st.just("execution"), st.just("p"), st.just("m"), TIMES)),
    progress=PROGRESSES,
)  # fmt: skip


@given(ANY)
def test_any_facts_have_exactly_one_cause_and_words_for_it(facts: RunFacts) -> None:
    cause = cause_of(facts, LIMITS)

    # Exactly one: it is the first that holds, and it is one of the status, or the code of its failure.
    first = next(code for code, holds in _RULES[facts.status] if holds(facts, LIMITS))
    assert cause == first or (first == "failed" and cause == facts.error_code in known_codes())
    told = why(facts, LIMITS).wire()
    assert told["cause"] == cause
    assert told["explanation"].endswith(".")
    assert told["advice"].endswith(".")
    assert "None" not in told["explanation"]
    operator_advice(cause)
    operator_evidence(facts, LIMITS).wire()


# --- the document ---


def test_the_document_lists_every_cause() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(listed) == sorted(CAUSES)
