"""The example of ``GET /runs/{runId}/why``."""

from __future__ import annotations

from typing import Any

from core.agentscope.events.run_status import RUNNING

WHY_EXAMPLE: dict[str, Any] = {
    "threadId": "thread-1",
    "runId": "run-1",
    "status": RUNNING,
    "cause": "waiting-for-model",
    "explanation": "The model demo has not begun to answer for 21 s. This is try 2: the one before failed (model-unavailable).",
    "advice": "Wait, or cancel the run.",
    "changesAt": "2026-11-22T18:06:14.102551Z",
    "evidence": {
        "now": "2026-11-22T18:05:35.110243Z",
        "createdAt": "2026-11-22T18:05:12.482113Z",
        "startedAt": "2026-11-22T18:05:12.501020Z",
        "attempt": 1,
        "maxAttempts": 2,
        "workerSeenAt": "2026-11-22T18:05:32.501020Z",
        "leaseUntil": "2026-11-22T18:06:02.501020Z",
        "deadlineAt": "2026-11-22T18:15:12.501020Z",
        "lastEventAt": "2026-11-22T18:05:13.610077Z",
        "lastEventType": "CUSTOM",
        "modelCall": {
            "model": "demo",
            "stage": "execution",
            "since": "2026-11-22T18:05:14.102551Z",
            "answering": False,
            "attempt": 2,
            "failedCode": "model-unavailable",
            "failedAt": "2026-11-22T18:05:13.610077Z",
        },
    },
}
