"""How far a server is, and on which history: the question to the primary, and the one to the replica.

Two servers are on one history if they have the same epoch, begun at the same place (``events/epoch.py``): an epoch begins
with a row, on the timeline of whoever was promoted, and a replica of anybody else never gets that row.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

PLACE_SQL = """
SELECT e.epoch, e.place AS began_at, e.place <> '' AND e.place = agent_place() AS is_told, v.version_num AS revision,
    -- A commit that anybody can see is flushed, unless commits do not wait for that.
    (CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
        ELSE pg_current_wal_flush_lsn() END) - '0/0'::pg_lsn AS written,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS visible_before,
    $1::bigint IS NULL OR EXISTS (
        SELECT FROM agent_chat_session AS s
        WHERE s.id = $1 AND (s.pruned_ordinal = 0 OR s.pruned_ordinal < $2::int)) AS is_kept
FROM agent_epoch AS e CROSS JOIN alembic_version AS v WHERE e.id = 1
"""
"""Asked of the primary. ``$1`` and ``$2``: a thread, and the run from which its log is read; or neither."""

LOOK_SQL = """
SELECT e.epoch, e.place AS began_at, v.version_num AS revision, pg_is_in_recovery() AS is_replica,
    pg_last_wal_replay_lsn() - '0/0'::pg_lsn AS replayed,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS complete_before,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS age,
    (SELECT pg_backend_pid() || ' ' || a.backend_start::text FROM pg_stat_get_activity(pg_backend_pid()) AS a) AS server
FROM agent_epoch AS e CROSS JOIN alembic_version AS v WHERE e.id = 1
"""
"""Asked of the replica, as the first statement of a transaction: what it says of rows is in the snapshot of the others."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the primary had come at one moment."""

    epoch: int
    began_at: str
    """Server and timeline on which the epoch began."""
    revision: str
    """Of the schema."""
    written: Decimal
    """Bytes of WAL: every commit that could be seen is before it."""
    visible_before: int
    """Every transaction that could be seen has a lower number."""
    is_told: bool
    """Whether the server is the one on which the epoch began. A managed Postgres may keep that to itself."""
    is_kept: bool
    """Whether the thread that was asked about is there, with its log."""

    @classmethod
    def of(cls, row: Any) -> Place:
        """Read a row of ``PLACE_SQL``."""
        return cls(
            row["epoch"],
            row["began_at"],
            row["revision"],
            row["written"],
            row["visible_before"],
            row["is_told"],
            row["is_kept"],
        )


@dataclass(frozen=True, slots=True)
class Look:
    """What a replica says of itself at the beginning of a transaction."""

    epoch: int
    began_at: str
    revision: str
    is_replica: bool
    replayed: Decimal
    """Bytes of WAL. Said after the snapshot was taken, so the snapshot may be older."""
    complete_before: int
    """Of the snapshot: every transaction with a lower number has ended in it."""
    lag_seconds: float
    """Age of the newest commit that it has."""
    server: str
    """The server process that said it: it does not outlive a restart, and what it has replayed stays replayed."""

    @classmethod
    def of(cls, row: Any) -> Look:
        """Read a row of ``LOOK_SQL``."""
        return cls(
            row["epoch"],
            row["began_at"],
            row["revision"],
            row["is_replica"],
            row["replayed"] or Decimal(0),
            row["complete_before"],
            max(float(row["age"] or 0), 0.0),
            row["server"],
        )
