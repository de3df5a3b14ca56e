"""The notes of a user, as routes send them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.agentscope.schemas.messages import WireModel


class MemoryItem(WireModel):
    """What the agent was asked to remember."""

    memory_id: str
    text: str
    created_at: datetime


class MemoryListResponse(WireModel):
    """A page of the caller's notes, newest first."""

    memories: list[MemoryItem]
    next_before: str | None = None
    """``before`` of the next page; null on the last page."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"memories": [item.wire() for item in self.memories], "nextBefore": self.next_before}
