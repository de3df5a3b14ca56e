"""The rows of the deployment's endpoints: what the settings say, what became of each, and what an operator may change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.webhook_settings import WebhookEndpoint

# In the order of names: two workers that start at once lock in the same order.
_SYNC = text("""
INSERT INTO agent_webhook_endpoint AS e (name, events)
SELECT n.name, string_to_array(n.events, ',') FROM unnest(CAST(:names AS text[]), CAST(:events AS text[])) AS n(name, events)
ORDER BY n.name
ON CONFLICT (name) DO UPDATE SET events = excluded.events WHERE e.events IS DISTINCT FROM excluded.events
""")
_DROP = text("DELETE FROM agent_webhook_endpoint WHERE NOT (name = ANY(CAST(:names AS text[])))")

_LIST = text("""
SELECT e.name, e.disabled_at, e.failures, e.failing_since, e.last_error, e.delivered_at, waiting.pending, waiting.oldest_at,
    (SELECT count(*) FROM agent_webhook_message AS m WHERE m.lane = e.name AND m.state = 'failed') AS given_up
FROM agent_webhook_endpoint AS e CROSS JOIN LATERAL (
    SELECT count(*) AS pending, min(m.created_at) AS oldest_at FROM agent_webhook_message AS m
    WHERE m.lane = e.name AND m.state = 'pending'
) AS waiting ORDER BY e.name
""")

# A 410 is no failed try of its message, but has left an error.
_HURRY = text("""
UPDATE agent_webhook_message AS m SET next_at = clock_timestamp() FROM agent_webhook_endpoint AS e
WHERE e.name = :name AND m.lane = e.name AND m.state = 'pending' AND (m.attempts > 0 OR m.last_error IS NOT NULL)
""")
_ENABLE = text("""
UPDATE agent_webhook_endpoint SET disabled_at = NULL, failures = 0, failing_since = NULL, last_error = NULL
WHERE name = :name
""")

# Each by an index of its own.
_AGAIN = """
WITH again AS (
    UPDATE agent_webhook_message SET state = 'pending', attempts = 0, next_at = clock_timestamp(), done_at = NULL
    WHERE lane = :lane AND {which} RETURNING 1
)
SELECT count(*) FROM again
"""
_REPLAY_FAILED = text(
    _AGAIN.format(which="state = 'failed' AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)")
)
_REPLAY_ALL = text(_AGAIN.format(which="state <> 'pending' AND created_at >= CAST(:since AS timestamptz)"))


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """What is known of an endpoint."""

    name: str
    disabled_at: datetime | None
    failures: int
    failing_since: datetime | None
    last_error: str | None
    delivered_at: datetime | None
    pending: int
    oldest_at: datetime | None
    given_up: int
    """Messages after whose last try there is no further one."""


async def sync_endpoints(engine: AsyncEngine, endpoints: Iterable[WebhookEndpoint]) -> None:
    """Make the rows what the settings say: from now on, ends of runs are told to these endpoints and to no others."""
    wanted = list(endpoints)
    names = [endpoint.name for endpoint in wanted]
    values = {"names": names, "events": [",".join(endpoint.events) for endpoint in wanted]}
    async with engine.begin() as connection:
        await connection.execute(_SYNC, values)
        await connection.execute(_DROP, {"names": names})


async def list_endpoints(engine: AsyncEngine) -> list[KnownEndpoint]:
    """Return all endpoints, in the order of their names."""
    async with engine.connect() as connection:
        return [KnownEndpoint(**row) for row in (await connection.execute(_LIST)).mappings()]


async def enable_endpoint(engine: AsyncEngine, name: str) -> int | None:
    """Let an endpoint have its messages again, and those that have failed at once.

    Returns:
        How many messages are tried at once; ``None`` if there is no such endpoint.
    """
    async with engine.begin() as connection:
        # Messages before their endpoint: workers that note a try lock in this order.
        hurried = (await connection.execute(_HURRY, {"name": name})).rowcount
        enabled = (await connection.execute(_ENABLE, {"name": name})).rowcount
    return hurried if enabled else None


async def replay_failed(engine: AsyncEngine, lane: str, *, since: datetime | None) -> int:
    """Send messages again that were given up, with the ids that they had; returns how many.

    Args:
        engine: Of the database.
        lane: Whose messages.
        since: Only those of runs that ended then or later.
    """
    async with engine.begin() as connection:
        return int((await connection.execute(_REPLAY_FAILED, {"lane": lane, "since": since})).scalar_one())


async def replay_all(engine: AsyncEngine, lane: str, *, since: datetime) -> int:
    """Do the same to all messages of runs that ended then or later, also to those that the endpoint has taken."""
    async with engine.begin() as connection:
        return int((await connection.execute(_REPLAY_ALL, {"lane": lane, "since": since})).scalar_one())
