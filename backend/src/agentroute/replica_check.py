"""What ``doctor`` says of the replica: whether it answers, is one of this database, and how far it is behind.

No start asks: the service works without it.
"""

from __future__ import annotations

import asyncpg

from agentroute.check_result import CheckResult
from agentroute.preflight import TIMEOUT_SECONDS, place_of
from core.config import Settings
from core.postgres_connection import direct_dsn, dsn_of, open_connection
from core.replica.place import LOOK_SQL, PLACE_SQL, Look, Place

_NAME = "Replica"
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
_MUCH_SECONDS = 30.0


async def check_replica(settings: Settings) -> list[CheckResult]:
    """Return what the replica is like; nothing if there is none, or the primary cannot be read."""
    database = settings.database
    if not database.has_replica:
        return []
    url = database.replica_url.get_secret_value()
    try:
        place = Place.of(await _row(direct_dsn(database), PLACE_SQL, None, None))
    except _FAILURES:
        # The checks of Postgres and of the migrations tell.
        return []
    try:
        look = Look.of(await _row(dsn_of(url), LOOK_SQL))
    except _FAILURES as exc:
        away = isinstance(exc, OSError)
        found = f"{place_of(url)} {'does not answer' if away else f'refuses: {exc}'}"
        return [CheckResult(_NAME, False, found, "Until it does, all reads are made at the primary.")]
    return [CheckResult(_NAME, not fix, found, fix) for found, fix in [_judged(place_of(url), place, look)]]


def _judged(where: str, place: Place, look: Look) -> tuple[str, str]:
    """Return what was found, and what to do; empty if all is well."""
    if not look.is_replica:
        return (
            f"{where} is no replica: it takes writes itself",
            "Set AGENT_DATABASE__REPLICA_URL to a streaming replica, or to nothing.",
        )
    if not place.is_told:
        return (
            "the primary does not tell its timeline, or is a new one that no run has come to yet",
            "Without it nothing is read from the replica. See docs/how-to/postgres.md.",
        )
    if (look.epoch, look.began_at) != (place.epoch, place.began_at):
        return (
            f"{where} is on another history than the primary",
            "Wait until it has caught up. If it does not, make it anew from the primary.",
        )
    if look.revision != place.revision:
        return f"{where} has another schema than the primary", "Wait until it has caught up."
    if look.complete_before >= place.visible_before or look.replayed >= place.written:
        return "has all that the primary has", ""
    megabytes = float(place.written - look.replayed) / (1 << 20)
    found = f"{megabytes:.1f} MB behind, its newest commit is {look.lag_seconds:.0f} s old"
    if look.lag_seconds > _MUCH_SECONDS:
        return found, "Until it catches up, most reads are made at the primary: look at its log and its disk."
    return found, ""


async def _row(dsn: str, sql: str, *arguments: object) -> asyncpg.Record:
    connection = await open_connection(
        dsn,
        application_name="agentroute-check",
        connect_seconds=TIMEOUT_SECONDS,
        statement_seconds=TIMEOUT_SECONDS,
        # Also where there is no pooler: nothing here needs a session.
        pooled=True,
    )
    try:
        row = await connection.fetchrow(sql, *arguments)
    finally:
        connection.terminate()
    if row is None:
        raise ValueError("there is no epoch: it was never migrated")
    return row
