"""The life of a run: its statuses, which may follow which, and which event tells readers of its end.

Rules:

1. A run begins ``queued``; it begins ``waiting`` when its thread has a live run.
2. A thread has at most one live run: ``queued`` or ``running``. The index ``uq_agent_run_live`` holds it.
3. ``waiting`` becomes ``queued`` when the run before it has ended, and nothing else. A run that was cancelled while it
   waited is queued, too, and ends in the same transaction: it needs a place in the thread for its events.
4. ``queued`` becomes ``running`` when a worker claims the run. It ends without a worker when it is cancelled or has
   waited too long: ``cancelled`` or ``failed``.
5. ``running`` becomes any end. It goes back to ``queued`` when its worker is lost or leaves, and only if readers have
   seen no more than ``RUN_STARTED``: the one step back there is.
6. An end is final. A resume is a new row of the run, not a step of the old one.
7. A run's last event is terminal and is committed with its end. ``RUN_ERROR`` means ``failed``; what ``RUN_FINISHED``
   means is its outcome.

Every change of a status is made under the lock of the run's row; the lock of the thread's row is taken before it
(``thread_row.py``). ``status_sql.py`` brings the statuses into SQL. The tables (``models/``) repeat them in their
constraints, because ``models`` imports nothing; tests compare both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from core.agentscope.schemas.agent_runtime import RunStatus

EndStatus = Literal["succeeded", "interrupted", "cancelled", "failed"]
LiveStatus = Literal["queued", "running"]

WAITING: Final = "waiting"
QUEUED: Final = "queued"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
INTERRUPTED: Final = "interrupted"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"

LIVE: Final[tuple[RunStatus, ...]] = (QUEUED, RUNNING)
"""The thread is busy with the run."""
UNENDED: Final[tuple[RunStatus, ...]] = (WAITING, *LIVE)
ENDED: Final[tuple[RunStatus, ...]] = (SUCCEEDED, INTERRUPTED, CANCELLED, FAILED)

FIRST: Final[tuple[RunStatus, ...]] = (QUEUED, WAITING)
"""What an accepted run may begin as."""

TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    WAITING: frozenset({QUEUED}),
    QUEUED: frozenset({RUNNING, CANCELLED, FAILED}),
    RUNNING: frozenset({QUEUED, SUCCEEDED, INTERRUPTED, CANCELLED, FAILED}),
    SUCCEEDED: frozenset(),
    INTERRUPTED: frozenset(),
    CANCELLED: frozenset(),
    FAILED: frozenset(),
}

OUTCOME_STATUS: Final[Mapping[str, EndStatus]] = {
    "success": SUCCEEDED,
    "interrupt": INTERRUPTED,
    "cancelled": CANCELLED,
}
"""What a ``RUN_FINISHED`` with this outcome means."""

TERMINAL_STATUSES: Final[Mapping[str, frozenset[EndStatus]]] = {
    "RUN_FINISHED": frozenset(OUTCOME_STATUS.values()),
    "RUN_ERROR": frozenset({FAILED}),
}
"""The types of a run's last event (``event_types.py``), with the ends that each may mean."""


def may_become(before: RunStatus, after: RunStatus) -> bool:
    """Tell whether a run may go from one status to another in one step; staying is no step."""
    return after in TRANSITIONS[before]
