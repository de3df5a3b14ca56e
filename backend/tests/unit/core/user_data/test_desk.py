"""What a process remembers of erasures ends with them, whoever ends them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from core.identity import Principal
from core.user_data.desk import ErasureDesk
from core.user_data.eraser import Eraser, ErasureWaits
from core.user_data.erasures import AskedBy, Erasure

ADA = Principal("default", "ada")
ASKED_AT = datetime(2026, 11, 28, tzinfo=UTC)


class _Eraser:
    """One erasure, which waits for Redis at this process."""

    def __init__(self) -> None:
        self.erasures = self
        self.finished_at: datetime | None = None

    async def begin(self, principal: Principal, asked_by: AskedBy) -> Erasure:
        return await self.get("e-1")

    async def complete(self, erasure: Erasure) -> Erasure:
        raise ErasureWaits("redis")

    async def get(self, erasure_id: str) -> Erasure:
        user = "ada" if self.finished_at is None else None
        return Erasure(erasure_id, "default", user, "admin", {}, ASKED_AT, self.finished_at)

    async def unfinished(self) -> list[Erasure]:
        return [] if self.finished_at else [await self.get("e-1")]

    async def take(self, erasure_id: str) -> bool:
        return False


async def test_what_another_process_ended_is_forgotten() -> None:
    eraser = _Eraser()
    desk = ErasureDesk(cast("Eraser", cast("Any", eraser)))
    erasure, waits_for = await desk.erase(ADA, "admin", within_seconds=30)
    assert (erasure.finished_at, waits_for) == (None, "redis")
    await desk.look()
    assert (desk._waits.keys(), desk._not_before.keys()) == ({"e-1"}, {"e-1"})

    eraser.finished_at = ASKED_AT
    await desk.look()

    assert (desk._waits, desk._not_before) == ({}, {})


class _EndedElsewhere(_Eraser):
    async def complete(self, erasure: Erasure) -> Erasure:
        self.finished_at = ASKED_AT
        raise ErasureWaits("redis")


async def test_what_is_over_waits_for_nothing() -> None:
    desk = ErasureDesk(cast("Eraser", cast("Any", _EndedElsewhere())))

    erasure, waits_for = await desk.erase(ADA, "admin", within_seconds=30)

    assert (erasure.finished_at, waits_for) == (ASKED_AT, None)
