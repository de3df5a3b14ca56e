"""Runs as lists show them: a page at a time, newest first."""

from __future__ import annotations

from typing import Any

from core.agentscope.schemas.agent_runtime import RunStatusResponse
from core.agentscope.schemas.messages import WireModel


class RunListResponse(WireModel):
    """A page of the runs of a thread."""

    runs: list[RunStatusResponse]
    """Each run as ``GET /runs/{runId}`` shows it."""
    next_before: str | None = None
    """``before`` of the next page; null on the last page."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"runs": [run.wire() for run in self.runs], "nextBefore": self.next_before}
