"""The notes of a user as the user sees them: what ``remember`` has stored, to look at and to delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.identity import Principal


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """A note."""

    id: int
    text: str
    created_at: datetime


class MemoryEntries:
    """The notes of a deployment's users."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list_page(
        self, principal: Principal, *, limit: int, before: int | None = None
    ) -> Sequence[MemoryEntry]:
        """Return notes of a user, newest first: those before an id, if one is given."""
        values = {**_key(principal), "limit": limit, "before": (1 << 63) - 1 if before is None else before}
        async with self._engine.connect() as connection:
            return [MemoryEntry(**row) for row in (await connection.execute(_LIST, values)).mappings()]

    async def delete(self, principal: Principal, entry_id: int) -> bool:
        """Delete a note; False if the user has none with this id."""
        async with self._engine.begin() as connection:
            values = {**_key(principal), "id": entry_id}
            return (await connection.execute(_DELETE, values)).rowcount > 0

    async def delete_all(self, principal: Principal) -> None:
        """Delete every note of a user. What a run stores meanwhile stays."""
        async with self._engine.begin() as connection:
            await connection.execute(_DELETE_ALL, _key(principal))


def _key(principal: Principal) -> dict[str, object]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


_LIST = text("""
SELECT id, text, created_at FROM agent_memory
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id < :before ORDER BY id DESC LIMIT :limit
""")
_DELETE = text("DELETE FROM agent_memory WHERE id = :id AND tenant_id = :tenant_id AND user_id = :user_id")
_DELETE_ALL = text("DELETE FROM agent_memory WHERE tenant_id = :tenant_id AND user_id = :user_id")
