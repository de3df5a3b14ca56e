"""The receipt of an erasure, as the routes send it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from core.agentscope.schemas.messages import WireModel
from core.user_data.erasures import Erasure
from core.user_data.receipt import receipt_lines


class StoreReceipt(WireModel):
    """What became of one store."""

    store: str
    removed: int
    kept: int = 0
    """Rows that stay without the user."""
    note: str | None = None


class ErasureResponse(WireModel):
    """An erasure: what was removed so far, store by store."""

    erasure_id: str
    state: Literal["erasing", "erased"]
    asked_by: Literal["owner", "admin", "operator"]
    asked_at: datetime
    finished_at: datetime | None = None
    waits_for: str | None = None
    """A store that does not answer now, or uploads that are under way. The erasure goes on by itself."""
    stores: list[StoreReceipt]

    @classmethod
    def of(cls, erasure: Erasure, waits_for: str | None = None) -> Self:
        """Return the receipt of an erasure."""
        return cls(
            erasure_id=erasure.erasure_id,
            state="erasing" if erasure.finished_at is None else "erased",
            asked_by=erasure.asked_by,
            asked_at=erasure.asked_at,
            finished_at=erasure.finished_at,
            waits_for=None if erasure.finished_at is not None else waits_for,
            stores=[
                StoreReceipt(store=line.store, removed=line.removed, kept=line.kept, note=line.note or None)
                for line in receipt_lines(erasure)
            ],
        )

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return super().wire() | {"stores": [store.wire() for store in self.stores]}


ERASURE_EXAMPLE: dict[str, Any] = {
    "erasureId": "8f14e45f-ceea-4671-8b6d-1c5a7d3f9a20",
    "state": "erased",
    "askedBy": "owner",
    "askedAt": "2026-11-28T09:12:44.120512Z",
    "finishedAt": "2026-11-28T09:12:44.871904Z",
    "stores": [
        {"store": "postgres: agent_chat_message", "removed": 214, "kept": 0},
        {
            "store": "postgres: agent_model_call",
            "removed": 0,
            "kept": 96,
            "note": "for accounting: tenant, model, amounts and time; the user is taken out",
        },
        {"store": "file store: files", "removed": 3, "kept": 0},
    ],
}
ERASING_EXAMPLE: dict[str, Any] = {
    name: value for name, value in ERASURE_EXAMPLE.items() if name != "finishedAt"
} | {
    "state": "erasing",
    "waitsFor": "redis",
}
