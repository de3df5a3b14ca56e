"""What is said of each cause: a sentence, what to do, and when the service itself does something. Pure.

The owner of a run reads the sentence and ``advice``; an operator also ``operator``. No text names a host, a worker or
another user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.agentscope.events.run_status import CANCELLED, FAILED, QUEUED, SUCCEEDED
from core.agentscope.events.why.causes import DEADLINE_GRACE, answerable
from core.agentscope.events.why.facts import Limits, RunFacts
from core.error_codes import catalogue

Sentence = Callable[[RunFacts, Limits], str]
Moment = Callable[[RunFacts, Limits], datetime | None]


@dataclass(frozen=True, slots=True)
class CauseText:
    """The words for a cause."""

    sentence: str | Sentence
    advice: str
    """For the owner."""
    operator: str = ""
    """What an operator can do beside that; empty: nothing."""
    changes_at: Moment | None = None
    """When the service does something by itself, if nothing happens before."""

    def explain(self, facts: RunFacts, limits: Limits) -> str:
        return self.sentence if isinstance(self.sentence, str) else self.sentence(facts, limits)


def text_of(code: str) -> CauseText:
    """Return the words for a cause, or for the code of a failure."""
    return _TEXTS.get(code) or _of_failure(code)


def spoken(time: timedelta) -> str:
    """Return a duration for people: ``45 s``, ``3 min``, ``2 h``."""
    seconds = max(round(time.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _of_failure(code: str) -> CauseText:
    kind = catalogue()[code]
    return CauseText(
        f"The run failed ({code}). {kind.title}.",
        " ".join((kind.__doc__ or "").replace("``", "`").split()),
        "The log of the worker has the reason, under the id of the run.",
    )


# --- moments ---


def _queue_deadline(facts: RunFacts, _limits: Limits) -> datetime:
    return facts.queue_deadline_at


def _next_hint(facts: RunFacts, _limits: Limits) -> datetime:
    return max(facts.next_hint_at, facts.around.now)


def _lease_end(facts: RunFacts, _limits: Limits) -> datetime | None:
    return facts.lease_until


def _next_repair(facts: RunFacts, limits: Limits) -> datetime:
    return max(facts.around.next_repair_at or facts.around.now, facts.around.now) + limits.reap / 5


def _after_rest(facts: RunFacts, limits: Limits) -> datetime:
    # Workers may have seen the outage until now.
    return facts.around.now + limits.lease


def _deadline(facts: RunFacts, _limits: Limits) -> datetime | None:
    return facts.deadline_at


def _forced_end(facts: RunFacts, _limits: Limits) -> datetime | None:
    return None if facts.deadline_at is None else facts.deadline_at + DEADLINE_GRACE


def _heeds_cancel(facts: RunFacts, limits: Limits) -> datetime | None:
    return None if facts.cancel_requested_at is None else facts.cancel_requested_at + limits.lease / 3


def _tool_limit(facts: RunFacts, limits: Limits) -> datetime:
    return facts.progress.tools[-1].since + limits.tool


def _first_token(facts: RunFacts, limits: Limits) -> datetime | None:
    return None if facts.call is None else facts.call.since + limits.first_token


def _idle_end(facts: RunFacts, limits: Limits) -> datetime | None:
    return None if facts.progress.last_at is None else facts.progress.last_at + limits.idle


def _next_try(facts: RunFacts, _limits: Limits) -> datetime | None:
    return None if facts.progress.retry is None else facts.progress.retry.next_at


def _expiry(facts: RunFacts, _limits: Limits) -> datetime | None:
    return min((each.expires_at for each in answerable(facts)), default=None)


# --- sentences ---


def _behind_run(facts: RunFacts, _limits: Limits) -> str:
    place = "next" if facts.place in (None, 1) else f"number {facts.place}"
    ahead = "another run" if facts.live is None else f"the run {facts.live.run_id} ({facts.live.status})"
    return f"The run waits for {ahead} of the same thread. It is {place} in line."


def _since_queued(facts: RunFacts, limits: Limits) -> str:
    return spoken(facts.around.now - facts.queued_at(limits))


def _no_worker(facts: RunFacts, limits: Limits) -> str:
    return f"No worker is running. The run has waited for one for {_since_queued(facts, limits)}."


def _full(facts: RunFacts, limits: Limits) -> str:
    return (
        "Every worker executes as many runs as it may. "
        f"The run is number {facts.place or 1} in the queue and has waited {_since_queued(facts, limits)}."
    )


def _share(facts: RunFacts, _limits: Limits) -> str:
    return f"The user has {facts.user_running} runs that are executed, as many as one user gets. The run waits for one of them."


def _hint_lost(facts: RunFacts, limits: Limits) -> str:
    return (
        f"Workers have room, but none has taken the run for {_since_queued(facts, limits)}: "
        "the message that tells them of it was lost. It is sent again."
    )


def _not_picked_up(facts: RunFacts, _limits: Limits) -> str:
    late = spoken(facts.around.now - facts.next_hint_at)
    return f"Workers are connected and have room, but have not looked at the queue for {late} longer than they should."


def _retried(facts: RunFacts, limits: Limits) -> str:
    left = max(limits.max_attempts - facts.tries, 0)
    why = "gave it back when it was stopped" if facts.released else "was lost"
    return f"The worker that had the run {why} before it showed anything. The run is tried again; {left} tries are left."


def _lease_expired(facts: RunFacts, limits: Limits) -> str:
    again = facts.last_seq <= 1 and facts.tries < limits.max_attempts
    then = (
        "The run showed nothing yet, so it will be tried again."
        if again
        else "The run will end with the error worker-lost, and what it showed is kept."
    )
    return f"The worker that executes the run has not shown that it lives since {_clock(facts.renewed_at(limits))}. {then}"


def _silent(facts: RunFacts, limits: Limits) -> str:
    return f"The worker that executes the run has last shown that it lives at {_clock(facts.renewed_at(limits))}, and is late."


def _cancel_not_obeyed(facts: RunFacts, _limits: Limits) -> str:
    return (
        f"The run was asked to stop at {_clock(facts.cancel_requested_at)}, and goes on. "
        "Its worker lives: a tool or the code of the agent ignores the stop."
    )


def _tool(facts: RunFacts, _limits: Limits) -> str:
    call = facts.progress.tools[-1]
    others = len(facts.progress.tools) - 1
    beside = f" Beside it, {others} more are under way." if others else ""
    name = f"the tool {call.name}" if call.name else "a tool"
    return f"The run has waited for {name} for {spoken(facts.around.now - call.since)}.{beside}"


def _tool_overdue(facts: RunFacts, limits: Limits) -> str:
    return (
        f"{_tool(facts, limits)} That is longer than tools usually may ({spoken(limits.tool)}): "
        "it has a longer limit of its own, or it keeps its worker from doing anything else."
    )


def _retrying(facts: RunFacts, _limits: Limits) -> str:
    retry = facts.progress.retry
    if retry is None:
        return "A model call failed, and is tried again."
    wait = retry.next_at - facts.around.now
    when = f"in {spoken(wait)}" if wait > timedelta(0) else "now"
    return f"A model call failed ({retry.code}). Try {retry.attempt} begins {when}."


def _model_name(facts: RunFacts) -> str:
    return "The model" if facts.call is None else f"The model {facts.call.model}"


def _call_began(facts: RunFacts) -> datetime:
    return facts.around.now if facts.call is None else facts.call.since


def _model(facts: RunFacts, _limits: Limits) -> str:
    retry = facts.progress.retry
    tries = f" This is try {retry.attempt}: the one before failed ({retry.code})." if retry else ""
    waited = spoken(facts.around.now - _call_began(facts))
    return f"{_model_name(facts)} has not begun to answer for {waited}.{tries}"


def _model_silent(facts: RunFacts, _limits: Limits) -> str:
    quiet = spoken(facts.around.now - (facts.progress.last_at or _call_began(facts)))
    return f"{_model_name(facts)} stopped in the middle of its answer {quiet} ago."


def _model_overdue(facts: RunFacts, _limits: Limits) -> str:
    return (
        f"{_model_name(facts)} was called at {_clock(_call_began(facts))}, and the call is past its time limits. "
        "The agent has longer ones of its own, or its worker does nothing but something else."
    )


def _no_progress(facts: RunFacts, _limits: Limits) -> str:
    last = facts.progress.last_at or facts.started_at
    return (
        f"The worker lives, but has written nothing of the run since {_clock(last)}, and waits for no model and no tool: "
        "the agent's own code runs, or it keeps the worker from doing anything else."
    )


def _asked(facts: RunFacts, _limits: Limits) -> str:
    first, *rest = answerable(facts)
    what = f"whether the tool {first.tool} may be called" if first.tool else "whether the run may go on"
    more = f" and {len(rest)} more answers" if rest else ""
    return f"The run waits for an answer{more}: {what}. The question expires at {_clock(first.expires_at)}."


def _attempts_used_up(facts: RunFacts, _limits: Limits) -> str:
    return f"Each of the {facts.tries} workers that executed the run was lost before it showed anything."


def _clock(at: datetime | None) -> str:
    return "an unknown time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


_WAIT = "Nothing: it goes on by itself."
_CANCEL = "Wait, or cancel the run."
_LOOK_AT_WORKER = "Look at the log of the worker and at agentroute_loop_stall_seconds of its metrics. Restart it if it hangs."

_TEXTS: Mapping[str, CauseText] = {
    # Any run that has not ended.
    "store-read-only": CauseText(
        "The database takes no writes, so no run goes on.",
        "Wait. If it lasts, tell the operator.",
        "Make the database writable: look for a full disk, a standby that was not promoted, or default_transaction_read_only.",
    ),
    "cancel-requested": CauseText(
        "The run was asked to stop, and ends as soon as its worker hears of it or its turn comes.",
        _WAIT,
        changes_at=_heeds_cancel,
    ),
    # Waiting.
    "behind-run": CauseText(
        _behind_run, "Wait, or cancel the run that is ahead. Ask why of that run if it takes long."
    ),
    "behind-question": CauseText(
        "The run waits because its thread has a question that nobody has answered.",
        "Answer the question, or cancel the run that asked.",
    ),
    "turn-due": CauseText(
        "It is the run's turn: what it waited for is over, and the next repair puts it into the queue.",
        _WAIT,
        changes_at=_next_repair,
    ),
    # Queued.
    "queue-time-over": CauseText(
        "No worker took the run in time. The next repair ends it with the error queue-timeout.",
        "Start a new run later.",
        "Start more workers, or look why those that run take no runs.",
        _next_repair,
    ),
    "no-attempt-left": CauseText(
        "Workers took the run as often as they may, and were lost each time. No worker takes it any more.",
        "Cancel the run, and ask differently.",
        "The run may be what kills workers: look at their logs. AGENT_WORKER__MAX_ATTEMPTS is the limit.",
        _queue_deadline,
    ),
    "no-worker": CauseText(
        _no_worker,
        "Wait: the run starts as soon as a worker does. If it lasts, tell the operator.",
        "Start `agentroute worker`. If one runs, it is not connected to this database or has another role there.",
        _queue_deadline,
    ),
    "workers-full": CauseText(
        _full,
        "Wait for your turn.",
        "Start more workers, or raise AGENT_WORKER__CONCURRENCY.",
        _queue_deadline,
    ),
    "share-used-up": CauseText(
        _share,
        "Wait for one of your runs, or cancel one.",
        "Start more workers, or raise AGENT_WORKER__USER_SHARE.",
        _queue_deadline,
    ),
    "not-picked-up": CauseText(
        _not_picked_up,
        "Wait. If it lasts, tell the operator.",
        f"The workers hang, or Postgres is too slow for them. {_LOOK_AT_WORKER}",
        _queue_deadline,
    ),
    "redis-away": CauseText(
        "Redis does not answer, so workers are not told of the run. They find it by themselves within seconds.",
        _WAIT,
        "Look at Redis, and at AGENT_REDIS__URL.",
        _next_hint,
    ),
    "retried": CauseText(_retried, _WAIT, changes_at=_next_hint),
    "hint-lost": CauseText(
        _hint_lost,
        _WAIT,
        "Requeue the run to send it at once. If it happens often: is Redis out of memory, or does it evict keys?",
        _next_hint,
    ),
    QUEUED: CauseText("The run was handed to the workers a moment ago.", _WAIT, changes_at=_next_hint),
    # Running.
    "lost-unnoticed": CauseText(
        "The worker that executes the run is lost, and no other one runs that could notice it.",
        "Wait. If it lasts, tell the operator.",
        "Start `agentroute worker`: it repairs the run a third of a lease later.",
    ),
    "repairs-paused": CauseText(
        "The database was away, and the worker has not shown that it lives since. It may only be late: nobody takes the run away yet.",
        _WAIT,
        "Workers repair nothing for one lease after an outage. If it lasts longer, look at their logs.",
        _after_rest,
    ),
    "lease-expired": CauseText(
        _lease_expired,
        _WAIT,
        "Look why the worker was lost. Requeue a run that showed nothing, if you cannot wait.",
        _next_repair,
    ),
    "worker-silent": CauseText(
        _silent,
        _WAIT,
        "Look whether the worker runs: killed, stopped, or cut off from the database.",
        _lease_end,
    ),
    "deadline-passed": CauseText(
        "The run is past its time limit, and was told to stop. If it does not, it is ended without its worker.",
        "Ask for a smaller task.",
        "A tool or the code of the agent ignores the stop. AGENT_LIMITS__RUN_SECONDS is the limit.",
        _forced_end,
    ),
    "cancel-not-obeyed": CauseText(
        _cancel_not_obeyed,
        "Wait: the run ends at its time limit at the latest. Other threads are not affected.",
        "Restart the worker to end the run now: it ends with worker-shutdown.",
        _forced_end,
    ),
    "tool-overdue": CauseText(_tool_overdue, _CANCEL, _LOOK_AT_WORKER, _forced_end),
    "waiting-for-tool": CauseText(_tool, _CANCEL, changes_at=_tool_limit),
    "model-retrying": CauseText(
        _retrying, _CANCEL, "Look at the model's endpoint and its limits of rate.", _next_try
    ),
    "model-overdue": CauseText(_model_overdue, _CANCEL, _LOOK_AT_WORKER, _forced_end),
    "waiting-for-model": CauseText(
        _model, _CANCEL, "Look at the model's endpoint: agentroute_model_errors_total.", _first_token
    ),
    "model-silent": CauseText(_model_silent, _CANCEL, "Look at the model's endpoint.", _idle_end),
    "streaming": CauseText("The model is answering.", _WAIT, changes_at=_deadline),
    "no-progress": CauseText(_no_progress, _CANCEL, _LOOK_AT_WORKER, _forced_end),
    "starting": CauseText("A worker has begun to execute the run.", _WAIT, changes_at=_deadline),
    "working": CauseText("The run makes progress.", _WAIT, changes_at=_deadline),
    # Ended.
    "waiting-for-login": CauseText(
        "The run waits for a login of its user at another service.",
        "Log in by the link of the question, then answer it.",
        changes_at=_expiry,
    ),
    "waiting-for-budget": CauseText(
        "The run has used up its budget, and asks whether it may go on with as much again.",
        "Answer the question.",
        "The budget of a run is in the agent's profile.",
        _expiry,
    ),
    "waiting-for-approval": CauseText(_asked, "Answer the question.", changes_at=_expiry),
    "question-expired": CauseText(
        "The run asked a question, and nobody answered it in time.",
        "Send a new message.",
        "AGENT_LIMITS__INTERRUPT_SECONDS is the time that users have.",
    ),
    "question-answered": CauseText(
        "The run asked a question, which was answered. A later run goes on with the answer.",
        "Follow the later run.",
    ),
    "question-withdrawn": CauseText(
        "The run asked a question, and a cancel or a new message withdrew it.", "Send a new message."
    ),
    "waiting-for-client-tool": CauseText(
        "The run has ended, and its last step waits for a tool that the application has to call.",
        "Let the application call the tool and send the result in the next run.",
    ),
    SUCCEEDED: CauseText("The run has ended with success.", "Nothing is stuck: read the history."),
    CANCELLED: CauseText("The run was cancelled.", "Send a new message to go on."),
    "attempts-used-up": CauseText(
        _attempts_used_up,
        "Do not send the same again: it may be what ends the workers. Ask differently.",
        "The run may be what kills workers. Look at their logs, and for the kernel's out-of-memory killer.",
    ),
    FAILED: CauseText(
        "The run failed with an error of the agent's own.",
        "Read the message of the error in history.",
        "The log of the worker has the reason, under the id of the run.",
    ),
}
