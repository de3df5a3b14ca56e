"""What ``doctor`` says of a log that is partitioned: whether workers still open parts, and drop old ones."""

from __future__ import annotations

import asyncpg

from agentroute.check_result import CheckResult
from agentroute.preflight import TIMEOUT_SECONDS
from core.agentscope.events.log_parts import PART_SECONDS
from core.config import Settings
from core.postgres_connection import direct_dsn, open_connection

_PARTS = """
SELECT count(*) AS parts, extract(epoch FROM clock_timestamp() - max(opened_at))::float8 AS age,
    -- A part is closed when the next one is opened.
    (SELECT extract(epoch FROM clock_timestamp() - opened_at)::float8 FROM agent_log_part
        ORDER BY log_part OFFSET 1 LIMIT 1) AS closed
FROM agent_log_part
"""

_DAY_SECONDS = 86_400
_LOOK = "Look for `log_parts_failed`, `prune_failed` and `log_part_busy` in the workers' logs."


async def check_log_parts(settings: Settings) -> list[CheckResult]:
    """Return how many parts the log has; nothing if it is one table, or the database cannot be read."""
    if not settings.database.url.get_secret_value():
        return []
    try:
        connection = await open_connection(
            direct_dsn(settings.database),
            application_name="agentroute-check",
            connect_seconds=TIMEOUT_SECONDS,
            statement_seconds=TIMEOUT_SECONDS,
        )
        try:
            found = await connection.fetchrow(_PARTS)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        # The checks of Postgres and of the migrations tell.
        return []
    if found is None or not found["parts"]:
        return []
    line = f"{found['parts']} parts, the newest {found['age'] / 3600:.0f} h old"
    # Two periods: the chore of the workers looks every ten minutes, and a run can end in the next period.
    fix = ""
    if found["age"] > 2 * PART_SECONDS:
        fix = f"Nothing is lost, but no part is opened. {_LOOK}"
    longest = settings.worker.event_retention_days * _DAY_SECONDS + 2 * PART_SECONDS
    if (found["closed"] or 0) > longest:
        line += f", the oldest closed {found['closed'] / 3600:.0f} h ago"
        fix = f"Nothing is lost, but nothing old is dropped. {_LOOK}"
    return [CheckResult("Log", not fix, line, fix)]
