"""What ``doctor`` says of a log that is partitioned: whether workers still open parts."""

from __future__ import annotations

import asyncpg

from agentroute.check_result import CheckResult
from agentroute.preflight import TIMEOUT_SECONDS
from core.agentscope.events.log_parts import PART_SECONDS
from core.config import Settings
from core.postgres_connection import direct_dsn, open_connection

_PARTS = """
SELECT count(*) AS parts, extract(epoch FROM clock_timestamp() - max(opened_at))::float8 AS age FROM agent_log_part
"""


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
    # Two periods: the chore of the workers looks every ten minutes.
    if found["age"] <= 2 * PART_SECONDS:
        return [CheckResult("Log", True, line)]
    fix = "Nothing is lost, but nothing old is dropped. Look for `prune_failed` and `log_part_busy` in the workers' logs."
    return [CheckResult("Log", False, line, fix)]
