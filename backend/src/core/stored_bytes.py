"""How many bytes users and tenants have stored, and the limits of it.

Rules:

1. Counted are ready files (bytes), messages (content, tool calls and other members as JSON text), the shared state of
   threads, and notes that the agent was asked to remember. Not counted is what the service keeps beside them for a time
   or for itself: the log of events, bodies of requests, states of the agent, reports.
2. Triggers of the database append a change in the transaction that writes or deletes (migration 0025). So what is
   counted and what is stored are never different for anybody who looks.
3. Nobody waits for a count: changes are rows of their own. One worker adds them up every few seconds (:func:`add_up`).
4. Who has reached a limit starts no run and uploads nothing. A run that was accepted ends in order: its messages may
   exceed the limit by as much as one run may write.

See docs/adr/0057.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.config import LimitSettings
from core.identity import Principal
from core.storage_errors import StorageQuotaExceeded

ADDED_AT_ONCE = 5000
"""Changes."""
_REPAIR_LOCK = 0x41475342
"""Of an advisory lock: "AGSB" in ASCII."""


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """What a principal and its tenant may store; ``None`` is no limit."""

    user_bytes: int | None
    tenant_bytes: int | None

    @classmethod
    def of(cls, principal: Principal, limits: LimitSettings) -> StorageLimits:
        """Return the limits of a principal. Local mode has none."""
        if principal.trusted:
            return cls(None, None)
        return cls(limits.user_stored_bytes or None, limits.tenant_stored_bytes or None)

    @property
    def any(self) -> bool:
        return self.user_bytes is not None or self.tenant_bytes is not None


async def refuse_full(
    connection: AsyncConnection, principal: Principal, limits: LimitSettings, more: int = 1
) -> None:
    """Refuse to store more for a principal; takes no lock, and asks nothing where there is no limit.

    Args:
        connection: Of the transaction that will store it.
        principal: Who asks.
        limits: Of this deployment.
        more: How many bytes come, as far as is known.

    Raises:
        StorageQuotaExceeded: The user or the tenant has no room for them.
    """
    most = StorageLimits.of(principal, limits)
    if not most.any:
        return
    values = {
        "tenant_id": principal.tenant_id,
        "user_id": principal.user_id,
        "of_user": most.user_bytes is not None,
        "of_tenant": most.tenant_bytes is not None,
    }
    used = (await connection.execute(_USED, values)).one()
    for whose, has, limit in (
        ("You have", used.of_user, most.user_bytes),
        ("Your organisation has", used.of_tenant, most.tenant_bytes),
    ):
        if limit is not None and has + more > limit:
            raise StorageQuotaExceeded(
                f"{whose} {has} bytes stored, of at most {limit}. Delete files or threads, then send this again.",
                usedBytes=has,
                maxBytes=limit,
            )


async def stored_by(connection: AsyncConnection, principal: Principal) -> int:
    """Return how many bytes a principal has stored."""
    key = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
    return int((await connection.execute(_STORED, key)).scalar_one())


async def add_up(engine: AsyncEngine) -> int:
    """Add the changes up to the counts; returns how many there were. Any number of workers may do it at once."""
    added = 0
    while True:
        async with engine.begin() as connection:
            count = int((await connection.execute(_ADD_UP, {"batch": ADDED_AT_ONCE})).scalar_one())
        added += count
        if count < ADDED_AT_ONCE:
            return added


@dataclass(frozen=True, slots=True)
class Drift:
    """A user whose count was wrong."""

    tenant_id: str
    user_id: str
    counted: int
    stored: int


async def find_drift(connection: AsyncConnection, *, repair: bool) -> list[Drift]:
    """Count everything anew, and compare. Reads all messages: not on a connection with a time limit.

    One snapshot shows what is counted and what is stored, so nobody who writes meanwhile makes a difference. Repairs
    wait for each other: two at once would both write the same differences.

    Args:
        connection: In a transaction, which the caller commits.
        repair: Also write the differences, as changes.
    """
    if repair:
        await connection.execute(_LOCK_REPAIR, {"lock": _REPAIR_LOCK})
    rows = await connection.execute(_REPAIR if repair else _DRIFT)
    return [Drift(row.tenant_id, row.user_id, row.counted, row.stored) for row in rows]


_STORED = text("SELECT agent_stored(:tenant_id, :user_id)")
_USED = text("""
SELECT CASE WHEN CAST(:of_user AS boolean) THEN agent_stored(:tenant_id, :user_id) END AS of_user,
    CASE WHEN CAST(:of_tenant AS boolean) THEN agent_stored(:tenant_id, NULL) END AS of_tenant
""")
# In the order of the owners: two workers at once wait for each other, and do not deadlock.
_ADD_UP = text("""
WITH gone AS (
    DELETE FROM agent_stored_change WHERE id = ANY(ARRAY(
        SELECT id FROM agent_stored_change ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED))
    RETURNING tenant_id, user_id, bytes
), users AS (
    INSERT INTO agent_stored_user AS u (tenant_id, user_id, bytes)
    SELECT tenant_id, user_id, sum(bytes) FROM gone GROUP BY tenant_id, user_id ORDER BY tenant_id, user_id
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET bytes = u.bytes + excluded.bytes
), tenants AS (
    INSERT INTO agent_stored_tenant AS t (tenant_id, bytes)
    SELECT tenant_id, sum(bytes) FROM gone GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET bytes = t.bytes + excluded.bytes
)
SELECT count(*) FROM gone
""")
_DRIFT = text(
    "SELECT tenant_id, user_id, counted, stored FROM agent_stored_drift() ORDER BY tenant_id, user_id"
)
_LOCK_REPAIR = text("SELECT pg_advisory_xact_lock(:lock)")
_REPAIR = text("""
WITH drift AS (SELECT * FROM agent_stored_drift()), repaired AS (
    INSERT INTO agent_stored_change (tenant_id, user_id, bytes)
    SELECT tenant_id, user_id, stored - counted FROM drift
)
SELECT tenant_id, user_id, counted, stored FROM drift ORDER BY tenant_id, user_id
""")
