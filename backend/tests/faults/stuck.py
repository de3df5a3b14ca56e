"""The faults F1-F43 that the service is built for, and what is said of a run that has one. See ``test_why.py``.

``CAUSES`` show in a run: the diagnosis names them. ``ANSWERS`` show in the answer to a request: its code names them.
``ABSORBED`` show in no run, because the service takes care of them: whoever asks is told how the run is, and no cause
that is not there. ``ELSEWHERE`` neither, and other tests inject them.
"""

from __future__ import annotations

CAUSES: dict[str, str] = {
    "F2": "hint-lost",  # an API process dies between commit and hint
    "F4": "redis-away",  # Redis is away when the run is accepted
    "F6": "lease-expired",  # a worker is killed before anything was shown: the run is tried again
    "F7": "lease-expired",  # in the middle of the answer
    "F8": "lease-expired",  # after the commit, before readers are told
    "F9": "lease-expired",  # before the commit
    "F10": "lease-expired",  # after readers were told
    "F11": "lease-expired",  # while the end is written
    "F12": "worker-silent",  # a worker is held
    "F13": "hint-lost",  # Redis comes back empty
    "F14": "hint-lost",  # Redis restarts while the run is accepted
    "F15": "hint-lost",  # a failover loses the last writes
    "F16": "hint-lost",  # Redis is out of memory
    "F17": "hint-lost",  # Redis evicts the stream of hints
    "F19": "hint-lost",  # FLUSHALL
    "F21": "repairs-paused",  # the database was away for longer than a lease
    "F24": "store-read-only",  # the database takes no writes
    "F26": "behind-run",  # a second run in a busy thread
    "F27": "question-expired",  # an answer that nobody gave in time
    "F32": "model-retrying",  # 429 before the first token
    "F33": "model-stream-error",  # the answer breaks off
    "F35": "waiting-for-tool",  # a tool hangs
    "F38": "attempts-used-up",  # a run that kills its workers
    "F40": "worker-shutdown",  # SIGTERM in the middle of the answer
    "F41": "hint-lost",  # a worker drops a hint that it does not know
    "F42": "tool-overdue",  # the event loop is blocked
}
ALSO: dict[str, str] = {
    "F6": "retried",  # after the repair
    "F7": "worker-lost",  # after the repair
    "F12": "lease-expired",  # after the lease
    "F27": "waiting-for-approval",  # before it expires
    "F32": "waiting-for-model",  # a model that does not begin to answer
    "F33": "model-silent",  # a model that stops in the middle
}
"""Other stages of the same faults."""
ANSWERS: dict[str, str] = {
    "F1": "not-found",  # the API process died before the commit: there is no run
    "F20": "store-unavailable",  # the database is away, and nothing can be known
    "F28": "not-found",  # somebody else's run
}
ABSORBED: dict[str, str] = {
    "F3": "succeeded",  # an API process dies after the hint: the run goes on without it
    "F5": "succeeded",  # a hint comes twice: the second claims nothing
    "F25": "succeeded",  # the same request many times at once: one run
    "F34": "succeeded",  # a tool raises: the agent is told, and goes on
    "F36": "succeeded",  # a tool returns too much: it is cut
    "F37": "succeeded",  # a tool returns NUL: it is replaced
    "F43": "cancelled",  # a storm of cancels
}
ELSEWHERE: dict[str, str] = {
    "F18": "of a reader, not of the run: tests/integration/core/agentscope/events/test_exact_replay.py",
    "F22": "the request is refused, so there is no run: tests/integration/core/test_store_failure.py",
    "F23": "tried again within the statement's request: tests/integration/core/test_store_failure.py",
    "F29": "of a reader, not of the run: tests/integration/v1/agent/test_sse_flow_live.py",
    "F30": "of a reader, not of the run: tests/integration/core/agentscope/events/test_hub_faults.py",
    "F31": "between the service and a reader: tests/browser/test_cuts.py",
    "F39": "no clock of a host is ever compared, so there is no effect",
}
