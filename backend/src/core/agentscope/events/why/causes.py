"""Says why a run is where it is: facts in, exactly one cause out. Pure.

Rules:

1. Each status has a list of causes, and the first whose condition holds is the one. The last has no condition, so there is
   always one, and never two. See docs/adr/0064.
2. What explains more comes first: a store that takes no writes before a lease that was not renewed, a lost worker before
   a cancel that it does not obey.
3. A code never changes its meaning. ``docs/how-to/stuck-runs.md`` lists all; a test compares.
4. A run that failed has the code of its failure (``docs/problems.md``), unless the facts say more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from core.agentscope.events.repair_times import DEADLINE_GRACE_SECONDS
from core.agentscope.events.run_status import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    WAITING,
)
from core.agentscope.events.why.facts import Limits, Question, RunFacts
from core.agentscope.schemas.agent_runtime import RunStatus
from core.error_codes import known_codes
from core.errors import WorkerLost

SOON = timedelta(seconds=1)
"""A hint takes a few milliseconds. One that takes longer than this is late."""
SLACK = timedelta(seconds=5)
"""How late what is done every second may be, before it is said to be late."""
QUIET = timedelta(seconds=5)
"""A pause in what a model says that is worth a word."""
LONG_QUIET = timedelta(seconds=30)
"""A run that waits for nothing that is known, and says nothing for so long."""
OVERDUE = timedelta(seconds=10)
"""What goes on for so long after its time limit does not heed it."""
DEADLINE_GRACE = timedelta(seconds=DEADLINE_GRACE_SECONDS)

APPROVAL, LOGIN, BUDGET = "tool_approval", "connection_required", "budget-exhausted"
"""Reasons of questions; every other reason counts as an approval."""

_ANSWERS = ("TEXT_MESSAGE_", "REASONING_", "TOOL_CALL_")
"""Types of events that a model's answer becomes."""

Condition = Callable[[RunFacts, Limits], bool]


def cause_of(facts: RunFacts, limits: Limits) -> str:
    """Return the code of the cause."""
    code = next(code for code, holds in _RULES[facts.status] if holds(facts, limits))
    if code == FAILED and facts.error_code in known_codes():
        return facts.error_code or code
    return code


def _always(_facts: RunFacts, _limits: Limits) -> bool:
    return True


def _read_only(facts: RunFacts, _limits: Limits) -> bool:
    return facts.around.read_only


def _cancelled(facts: RunFacts, _limits: Limits) -> bool:
    return facts.cancel_requested_at is not None


# --- waiting behind another run of the thread ---


def _behind_run(facts: RunFacts, _limits: Limits) -> bool:
    return facts.live is not None


def _behind_question(facts: RunFacts, _limits: Limits) -> bool:
    return bool(facts.questions.open)


# --- queued ---


def _queue_time_over(facts: RunFacts, _limits: Limits) -> bool:
    return facts.queue_deadline_at < facts.around.now


def _no_attempt_left(facts: RunFacts, limits: Limits) -> bool:
    return facts.tries >= limits.max_attempts


def _no_worker(facts: RunFacts, _limits: Limits) -> bool:
    return facts.around.workers == 0


def _full(facts: RunFacts, limits: Limits) -> bool:
    return facts.is_full(limits)


def _share_used_up(facts: RunFacts, limits: Limits) -> bool:
    return facts.share_is_used_up(limits)


def _not_picked_up(facts: RunFacts, _limits: Limits) -> bool:
    return facts.next_hint_at + SLACK < facts.around.now


def _hints_away(facts: RunFacts, _limits: Limits) -> bool:
    return facts.around.hints_away is True


def _tried_before(facts: RunFacts, _limits: Limits) -> bool:
    return facts.attempt > 0


def _hint_late(facts: RunFacts, limits: Limits) -> bool:
    return facts.around.now - facts.queued_at(limits) > SOON


# --- running ---


def _lease_over(facts: RunFacts, _limits: Limits) -> bool:
    return facts.lease_until is not None and facts.lease_until < facts.around.now


def _lost_unnoticed(facts: RunFacts, limits: Limits) -> bool:
    return _lease_over(facts, limits) and facts.around.workers == 0


def _repairs_paused(facts: RunFacts, limits: Limits) -> bool:
    if not _lease_over(facts, limits):
        return False
    around, renewed = facts.around, facts.renewed_at(limits)
    started, due = around.store_started_at, around.next_repair_at
    if started is not None and renewed is not None and started > renewed:
        return True
    return due is not None and due + limits.reap + SLACK < around.now


def _silent(facts: RunFacts, limits: Limits) -> bool:
    # Renewed each third of a lease; a beat that is not answered costs a sixth more.
    return facts.lease_until is not None and facts.lease_until - facts.around.now < limits.lease / 2


def _deadline_passed(facts: RunFacts, _limits: Limits) -> bool:
    return facts.deadline_at is not None and facts.deadline_at < facts.around.now


def _not_obeyed(facts: RunFacts, limits: Limits) -> bool:
    asked = facts.cancel_requested_at
    # Without Redis the next heartbeat brings it.
    return asked is not None and asked + limits.lease / 3 + SLACK < facts.around.now


def waits_for_tool(facts: RunFacts) -> bool:
    """Tell whether a tool call is what the run waits for: not while an agent that the tool is asks its model."""
    tools, call = facts.progress.tools, facts.call
    return bool(tools) and (call is None or call.since < tools[-1].since)


def _quiet_for(facts: RunFacts) -> timedelta:
    """Return for how long nothing was written of the run."""
    known = [facts.progress.last_at, facts.started_at, facts.created_at]
    return facts.around.now - next(at for at in known if at is not None)


def _tool_overdue(facts: RunFacts, limits: Limits) -> bool:
    if not waits_for_tool(facts):
        return False
    since = facts.progress.tools[-1].since
    return min(facts.around.now - since, _quiet_for(facts)) > limits.tool + OVERDUE


def _tool(facts: RunFacts, _limits: Limits) -> bool:
    return waits_for_tool(facts)


def waits_for_next_try(facts: RunFacts) -> bool:
    """Tell whether a model call has failed, and its next try has not begun."""
    retry, call = facts.progress.retry, facts.call
    if retry is None or retry.next_at + SLACK < facts.around.now:
        return False
    # The line of the failed try goes away in the background.
    return call is None or call.since <= retry.at


def _next_try(facts: RunFacts, _limits: Limits) -> bool:
    return waits_for_next_try(facts)


def is_answering(facts: RunFacts) -> bool:
    """Tell whether the model has begun to answer its open call."""
    call, last, type_ = facts.call, facts.progress.last_at, facts.progress.last_type or ""
    if call is None or last is None or not type_.startswith(_ANSWERS) or type_ == "TOOL_CALL_RESULT":
        return False
    # The end of what the call before has said may be written while this one begins.
    return last > call.since + (SOON if type_.endswith("_END") else timedelta(0))


def _model_overdue(facts: RunFacts, limits: Limits) -> bool:
    if facts.call is None:
        return False
    if is_answering(facts):
        return _quiet_for(facts) > limits.idle + OVERDUE
    return facts.around.now - facts.call.since > limits.first_token + OVERDUE


def _model(facts: RunFacts, _limits: Limits) -> bool:
    return facts.call is not None and not is_answering(facts)


def _model_silent(facts: RunFacts, _limits: Limits) -> bool:
    return facts.call is not None and _quiet_for(facts) > QUIET


def _streaming(facts: RunFacts, _limits: Limits) -> bool:
    return facts.call is not None


def _no_progress(facts: RunFacts, _limits: Limits) -> bool:
    return _quiet_for(facts) > LONG_QUIET


def _starting(facts: RunFacts, _limits: Limits) -> bool:
    return facts.last_seq <= 1


# --- ended ---


def answerable(facts: RunFacts) -> tuple[Question, ...]:
    """Return the questions that can be answered now."""
    return tuple(each for each in facts.questions.open if each.expires_at > facts.around.now)


def _asks_for(reason: str) -> Condition:
    def holds(facts: RunFacts, _limits: Limits) -> bool:
        return any(each.reason == reason for each in answerable(facts))

    return holds


def _asks(facts: RunFacts, _limits: Limits) -> bool:
    return bool(answerable(facts))


def _question_expired(facts: RunFacts, _limits: Limits) -> bool:
    return bool(facts.questions.expired or facts.questions.open)


def _answered(facts: RunFacts, _limits: Limits) -> bool:
    return bool(facts.questions.resolved)


def _client_tool(facts: RunFacts, _limits: Limits) -> bool:
    return facts.client_tools > 0


def _attempts_used_up(facts: RunFacts, limits: Limits) -> bool:
    # RUN_STARTED and the end: no worker got further.
    return facts.error_code == WorkerLost.code and facts.last_seq <= 2 and facts.tries >= limits.max_attempts


_RULES: Mapping[RunStatus, tuple[tuple[str, Condition], ...]] = {
    WAITING: (
        ("store-read-only", _read_only),
        ("cancel-requested", _cancelled),
        ("behind-run", _behind_run),
        ("behind-question", _behind_question),
        ("turn-due", _always),
    ),
    QUEUED: (
        ("store-read-only", _read_only),
        ("cancel-requested", _cancelled),
        ("queue-time-over", _queue_time_over),
        ("no-attempt-left", _no_attempt_left),
        ("no-worker", _no_worker),
        ("workers-full", _full),
        ("share-used-up", _share_used_up),
        ("not-picked-up", _not_picked_up),
        ("redis-away", _hints_away),
        ("retried", _tried_before),
        ("hint-lost", _hint_late),
        (QUEUED, _always),
    ),
    RUNNING: (
        ("store-read-only", _read_only),
        ("lost-unnoticed", _lost_unnoticed),
        ("repairs-paused", _repairs_paused),
        ("lease-expired", _lease_over),
        ("worker-silent", _silent),
        ("deadline-passed", _deadline_passed),
        ("cancel-not-obeyed", _not_obeyed),
        ("cancel-requested", _cancelled),
        ("tool-overdue", _tool_overdue),
        ("waiting-for-tool", _tool),
        ("model-retrying", _next_try),
        ("model-overdue", _model_overdue),
        ("waiting-for-model", _model),
        ("model-silent", _model_silent),
        ("streaming", _streaming),
        ("no-progress", _no_progress),
        ("starting", _starting),
        ("working", _always),
    ),
    INTERRUPTED: (
        ("waiting-for-login", _asks_for(LOGIN)),
        ("waiting-for-budget", _asks_for(BUDGET)),
        ("waiting-for-approval", _asks),
        ("question-expired", _question_expired),
        ("question-answered", _answered),
        ("question-withdrawn", _always),
    ),
    SUCCEEDED: (("waiting-for-client-tool", _client_tool), (SUCCEEDED, _always)),
    CANCELLED: ((CANCELLED, _always),),
    FAILED: (("attempts-used-up", _attempts_used_up), (FAILED, _always)),
}

CAUSES: tuple[str, ...] = tuple(dict.fromkeys(code for rules in _RULES.values() for code, _ in rules))
"""Every cause, without the codes of failures."""
