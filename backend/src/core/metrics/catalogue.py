"""Everything that a process counts, with the names that Prometheus shows. Rules and dashboards of ``deploy/`` use them.

A name is never used for anything else later: dashboards outlive versions. Both kinds of processes have all counters;
what a kind never does stays at 0, or shows nothing.
"""

from __future__ import annotations

from core.error_codes import known_codes
from core.metrics.instruments import Counter, Gauge, Histogram, one_of

_ENDS = one_of("succeeded", "interrupted", "cancelled", "failed")
_STATUSES = one_of(*(str(status) for status in range(400, 600)))

_SHORT = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

RUNS_ENDED = Counter(
    "agentroute_runs_ended",
    "Runs that this process has ended, by their end; the code is that of a failure, or empty.",
    {"status": _ENDS, "code": lambda: known_codes() | {""}},
)
RUN_SECONDS = Histogram("agentroute_run_seconds", "From acceptance to the end of a run.", _LONG)
QUEUE_SECONDS = Histogram("agentroute_run_queue_seconds", "From acceptance to the first claim.", _WAITS)
FIRST_EVENT_SECONDS = Histogram(
    "agentroute_run_first_event_seconds",
    "From acceptance until the first event of a run is committed.",
    _WAITS,
)
FIRST_TOKEN_SECONDS = Histogram(
    "agentroute_run_first_token_seconds",
    "From acceptance until the first token of a run is committed.",
    _WAITS,
)

APPEND_SECONDS = Histogram(
    "agentroute_append_seconds",
    "One statement that appends the events of a flush, failed ones included.",
    _SHORT,
)
APPENDED_EVENTS = Counter("agentroute_appended_events", "Events that were committed.")
FENCED = Counter(
    "agentroute_fenced",
    "Writes of a worker that had lost its run, and that were refused, by what they were.",
    {"write": one_of("append", "end")},
    from_zero=True,
)
LEASES_EXPIRED = Counter(
    "agentroute_leases_expired",
    "Runs whose worker was lost, by what became of them.",
    {"outcome": one_of("requeued", "ended")},
    from_zero=True,
)
LEDGER_LOST = Counter(
    "agentroute_ledger_lost_calls",
    "Model calls whose worker was lost before it knew what they cost: what the ledger has of them is an estimate.",
)

MODEL_CALLS = Counter(
    "agentroute_model_calls",
    "Model calls in the ledger, by how they ended.",
    {"outcome": one_of("completed", "cancelled", "failed")},
    from_zero=True,
)
MODEL_ERRORS = Counter(
    "agentroute_model_errors", "Failed tries of model calls, by code.", {"code": known_codes}
)
MODEL_TOKENS = Counter(
    "agentroute_model_tokens", "Tokens of model calls.", {"kind": one_of("input", "output")}, from_zero=True
)
MODEL_COST = Counter("agentroute_model_cost_dollars", "Known cost of model calls, in US dollars.")

SCHEDULE_FIRES = Counter(
    "agentroute_schedule_fires",
    "Fires of schedules that this process has settled, by what became of them.",
    {"outcome": one_of("accepted", "skipped", "failed", "missed")},
    from_zero=True,
)

PROBLEMS = Counter(
    "agentroute_problems",
    "Requests that were answered with a problem document, by status and code.",
    {"status": _STATUSES, "code": known_codes},
)
GATE_WAIT_SECONDS = Histogram(
    "agentroute_gate_wait_seconds",
    "Waits at the gates in front of the connections.",
    _SHORT,
    {"gate": one_of("streams", "usual", "careful")},
)
POOL_WAIT_SECONDS = Histogram(
    "agentroute_pool_wait_seconds", "Waits for a connection of the pool; a new one is made meanwhile.", _SHORT
)
REPLICA_READS = Counter(
    "agentroute_replica_reads",
    "Reads that the replica may answer, by what they are and who answered: the replica, or why it was the primary.",
    {
        "read": one_of("events", "export", "history", "search", "usage"),
        "answer": one_of(
            "replica",
            "behind",
            "conflict",
            "gone",
            "live",
            "other-history",
            "other-schema",
            "promoted",
            "refused",
            "resting",
            "slow",
            "unavailable",
            "untold",
        ),
    },
)
WEBHOOK_TRIES = Counter(
    "agentroute_webhook_tries",
    "Tries to deliver a webhook message, by what became of them; gone is an endpoint that wants no more.",
    {"outcome": one_of("delivered", "failed", "gone")},
    from_zero=True,
)
LOOP_LAG_SECONDS = Histogram(
    "agentroute_event_loop_lag_seconds",
    "How late the event loop began what was due; looked at once a second.",
    _SHORT,
)

REDIS_FAILOVERS = Counter(
    "agentroute_redis_failovers",
    "Primaries of Redis, behind Sentinels or in a cluster, that this process found replaced by another server.",
)
REDIS_SUBSCRIPTIONS_LOST = Counter(
    "agentroute_redis_subscriptions_lost",
    "Connections on which this process listened to Redis, and that it had to make anew.",
)

COUNTERS = (
    RUNS_ENDED,
    APPENDED_EVENTS,
    FENCED,
    LEASES_EXPIRED,
    LEDGER_LOST,
    MODEL_CALLS,
    MODEL_ERRORS,
    MODEL_TOKENS,
    MODEL_COST,
    SCHEDULE_FIRES,
    PROBLEMS,
    REDIS_FAILOVERS,
    REDIS_SUBSCRIPTIONS_LOST,
    WEBHOOK_TRIES,
    REPLICA_READS,
)
HISTOGRAMS = (
    RUN_SECONDS,
    QUEUE_SECONDS,
    FIRST_EVENT_SECONDS,
    FIRST_TOKEN_SECONDS,
    APPEND_SECONDS,
    GATE_WAIT_SECONDS,
    POOL_WAIT_SECONDS,
    LOOP_LAG_SECONDS,
)

OPEN_STREAMS = Gauge("agentroute_open_streams", "Event streams that this API process has open.")
POOL_CONNECTIONS = Gauge("agentroute_pool_connections", "Connections of the pool, by state.", ("state",))
WORKER_RUNS = Gauge("agentroute_worker_runs", "Runs that this worker executes.")
WORKER_SLOTS = Gauge("agentroute_worker_slots", "Runs that this worker may execute at once.")
HUNG_RUNS = Gauge(
    "agentroute_worker_hung_runs",
    "Runs of this worker that go on although their time was up 30 s ago or more.",
)
LOOP_STALL = Gauge("agentroute_event_loop_stall_seconds", "For how long the event loop has not answered now.")
BUILD = Gauge("agentroute_build_info", "The version of the process, as a label.", ("version", "process"))
REPLICA_UP = Gauge("agentroute_replica_up", "Whether reads may come from the replica now: 1 or 0.")
REPLICA_LAG = Gauge(
    "agentroute_replica_lag_seconds",
    "Age of the newest commit that the replica has, if it lacked one when it was looked at; else 0.",
)
STORE_UP = Gauge("agentroute_store_up", "Whether Postgres could be read for the figures below: 1 or 0.")

PROCESS_GAUGES = (
    OPEN_STREAMS,
    POOL_CONNECTIONS,
    WORKER_RUNS,
    WORKER_SLOTS,
    HUNG_RUNS,
    LOOP_STALL,
    REPLICA_UP,
    REPLICA_LAG,
    BUILD,
    STORE_UP,
)
