"""The outbox: which messages are due, and what became of them. The only file of the workers that writes its rows.

A message comes into it by a trigger, in the transaction that ends a run (docs/adr/0067).

Rules:

1. A message is claimed by moving the time at which it is due behind the longest try: a lease. A worker that dies sends
   nothing more, and after the lease another worker sends the message again, with the same id.
2. A try counts once its outcome is known. So no message is given up because workers died.
3. Only a message that is pending changes: whoever comes late, behind a lease that has ended, changes nothing.
4. Messages of a lane that is off stay pending until it works again, or until retention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.webhooks.schedule import pause_after

LEASE_SECONDS = 90.0
"""Three times the longest try."""
GONE_SECONDS = 60.0
"""Pause of a message behind a 410: an endpoint that newer settings do not name has no row that could be switched off."""

# Endpoints that have answered 410 are read once, not for each of their messages.
_CLAIM = text("""
UPDATE agent_webhook_message AS m SET next_at = clock_timestamp() + :lease * interval '1 second'
WHERE m.id = ANY(ARRAY(
    SELECT due.id FROM unnest(CAST(:lanes AS text[]), CAST(:rooms AS integer[])) AS l(lane, room)
    CROSS JOIN LATERAL (
        SELECT d.id FROM agent_webhook_message AS d
        WHERE d.lane = l.lane AND d.state = 'pending' AND d.next_at <= statement_timestamp()
            AND NOT EXISTS (
                SELECT 1 FROM agent_webhook_endpoint AS e WHERE e.name = l.lane AND e.disabled_at IS NOT NULL)
        ORDER BY d.next_at LIMIT l.room FOR UPDATE OF d SKIP LOCKED
    ) AS due))
RETURNING m.id, m.message_id, m.run_pk, m.lane, m.type, m.attempts
""")

_RUNS = text("""
SELECT r.id AS run_pk, r.run_id, r.parent_run_id, coalesce(r.agent_id, s.agent_id) AS agent_id, r.tenant_id, r.user_id,
    r.status, r.error_code, r.created_at, r.started_at, r.ended_at, r.input_tokens, r.output_tokens, r.cost, s.thread_id,
    m.id AS message_pk, m.type, w.host, w.sealed
FROM agent_webhook_message AS m JOIN agent_run AS r ON r.id = m.run_pk JOIN agent_chat_session AS s ON s.id = r.session_id
    LEFT JOIN agent_run_webhook AS w ON w.run_pk = r.id AND m.lane = 'host:' || w.host
WHERE m.id = ANY(CAST(:ids AS bigint[]))
""")

_QUESTIONS = text("""
SELECT id, run_pk, interrupt_id, reason, message, tool_call_id, tool_name, response_schema::text AS response_schema, expires_at
FROM agent_interrupt WHERE run_pk = ANY(CAST(:runs AS bigint[])) ORDER BY id
""")

_DELIVERED = text("""
WITH done AS (
    UPDATE agent_webhook_message SET state = 'delivered', done_at = clock_timestamp(), last_error = NULL
    WHERE id = :id AND state = 'pending' RETURNING lane
)
UPDATE agent_webhook_endpoint AS e SET
    failures = 0, failing_since = NULL, last_error = NULL, delivered_at = clock_timestamp()
FROM done WHERE e.name = done.lane
    -- The row is shared by all messages of the endpoint: it is not written for each.
    AND (e.failures > 0 OR e.delivered_at IS NULL OR e.delivered_at < clock_timestamp() - interval '10 seconds')
""")

_FAILED = text("""
WITH done AS (
    UPDATE agent_webhook_message SET
        attempts = :attempts, last_error = :error,
        state = CASE WHEN CAST(:pause AS float8) IS NULL THEN 'failed' ELSE 'pending' END,
        done_at = CASE WHEN CAST(:pause AS float8) IS NULL THEN clock_timestamp() END,
        next_at = clock_timestamp() + coalesce(CAST(:pause AS float8), 0) * interval '1 second'
    WHERE id = :id AND state = 'pending' RETURNING lane
)
UPDATE agent_webhook_endpoint AS e SET
    failures = e.failures + 1, failing_since = coalesce(e.failing_since, clock_timestamp()), last_error = :error,
    disabled_at = CASE WHEN :gone THEN coalesce(e.disabled_at, clock_timestamp()) ELSE e.disabled_at END
FROM done WHERE e.name = done.lane
""")

_FORGET = text("""
DELETE FROM agent_webhook_message WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM agent_webhook_message WHERE created_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY created_at LIMIT :rows FOR UPDATE SKIP LOCKED))
""")
_FORGET_RUNS = text("""
DELETE FROM agent_run_webhook WHERE ctid = ANY(ARRAY(
    SELECT w.ctid FROM agent_run_webhook AS w JOIN agent_run AS r ON r.id = w.run_pk
    WHERE w.created_at < statement_timestamp() - :days * interval '1 day' AND r.ended_at IS NOT NULL
        AND r.ended_at < statement_timestamp() - :days * interval '1 day'
    ORDER BY w.created_at LIMIT :rows FOR UPDATE OF w SKIP LOCKED))
""")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this worker sends."""

    id: int
    message_id: str
    lane: str
    type: str
    failures: int
    """Tries that have failed before."""
    run: RowMapping
    questions: Sequence[RowMapping]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try has failed."""

    error: str
    retry_after_seconds: float | None = None
    gone: bool = False
    """410: the endpoint wants no more messages."""


class Outbox:
    """The messages, as a worker sees them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, rooms: Mapping[str, int]) -> list[Claimed]:
        """Take what is due, the longest due first.

        Args:
            rooms: How many of each lane.
        """
        values = {"lanes": list(rooms), "rooms": list(rooms.values()), "lease": LEASE_SECONDS}
        async with self._engine.begin() as connection:
            claimed = (await connection.execute(_CLAIM, values)).all()
        if not claimed:
            return []
        async with self._engine.connect() as connection:
            found = (await connection.execute(_RUNS, {"ids": [row.id for row in claimed]})).mappings().all()
            runs = {row["message_pk"]: row for row in found}
            asking = [row["run_pk"] for row in found if row["type"] == "run.interrupted"]
            asked: list[RowMapping] = []
            if asking:
                asked += (await connection.execute(_QUESTIONS, {"runs": asking})).mappings().all()
        return [
            Claimed(
                row.id,
                f"msg_{row.message_id.hex}",
                row.lane,
                row.type,
                row.attempts,
                runs[row.id],
                [each for each in asked if each["run_pk"] == row.run_pk],
            )
            for row in claimed
            # Its thread may have been deleted just now.
            if row.id in runs
        ]

    async def delivered(self, message: Claimed) -> None:
        """Note that the endpoint has taken a message."""
        async with self._engine.begin() as connection:
            await connection.execute(_DELIVERED, {"id": message.id})

    async def failed(self, message: Claimed, failure: Failure) -> None:
        """Note that a try has failed, and when the next one is."""
        attempts = message.failures + 1
        pause = pause_after(attempts, failure.retry_after_seconds, name=message.message_id)
        # What an endpoint leaves behind waits until somebody enables it: it is not given up.
        if failure.gone and not message.lane.startswith("host:"):
            pause = GONE_SECONDS
            attempts = message.failures
        elif failure.gone:
            pause = None
        values = {
            "id": message.id,
            "attempts": attempts,
            "error": failure.error,
            "pause": pause,
            "gone": failure.gone,
        }
        async with self._engine.begin() as connection:
            await connection.execute(_FAILED, values)

    async def forget(self, *, days: int, rows: int) -> int:
        """Delete what is past its retention; returns how many rows, at most ``rows`` of each kind."""
        async with self._engine.begin() as connection:
            gone = [
                (await connection.execute(statement, {"days": days, "rows": rows})).rowcount
                for statement in (_FORGET, _FORGET_RUNS)
            ]
        return max(gone)
