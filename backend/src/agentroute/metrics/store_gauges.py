"""Figures that only the database has, such as the length of the queue.

Rules:

1. All of them are read by one statement, on a connection that nobody else uses, and not more often than every five
   seconds, however many ask. The pool of the routes is not touched.
2. Only API processes have them. Each says the same: take the maximum of all instances, never the sum.
3. To add a figure, add a row to ``STORE_GAUGES``. Its query returns one number, or rows ``(label, number)`` as jsonb, from
   an index: it is executed every few seconds for ever. ``test_query_plans.py`` explains it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from agentroute.shared_look import KeptConnection, SharedLook
from core.agentscope.events.status_sql import status_sql
from core.config import DatabaseSettings
from core.metrics.instruments import Gauge

KEEP_SECONDS = 5.0
"""How long an answer is given again. Prometheus asks every 15 s or less often."""
_LOOK_SECONDS = 4.0

Readings = dict[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class StoreGauge:
    """A figure and its query: an expression that gives one number, or an object of jsonb with a number for each label."""

    gauge: Gauge
    sql: str


STORE_GAUGES: tuple[StoreGauge, ...] = (
    StoreGauge(
        Gauge("agentroute_runs", "Runs that have not ended, by status.", ("status",)),
        status_sql(
            """(SELECT jsonb_build_object(
                'queued', count(*) FILTER (WHERE status = {queued}),
                'running', count(*) FILTER (WHERE status = {running}),
                'waiting', count(*) FILTER (WHERE status = {waiting}))
            FROM agent_run WHERE status IN {unended})"""
        ),
    ),
    StoreGauge(
        Gauge("agentroute_queue_oldest_seconds", "Age of the oldest run that no worker has; 0 without one."),
        status_sql(
            """(SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
            FROM agent_run WHERE status = {queued})"""
        ),
    ),
    StoreGauge(
        Gauge(
            "agentroute_runs_overdue",
            "Running runs whose lease is over: their worker is lost, nobody has noticed.",
        ),
        status_sql(
            """(SELECT count(*) FROM agent_run
            WHERE status = {running} AND lease_until < clock_timestamp())"""
        ),
    ),
    StoreGauge(
        Gauge("agentroute_webhooks_pending", "Webhook messages that no endpoint has taken yet."),
        # Of an endpoint that was taken out of the settings, nothing: its messages wait for nobody.
        """(SELECT count(*) FROM agent_webhook_message AS m WHERE m.state = 'pending' AND (
                m.lane LIKE 'host:%' OR EXISTS (SELECT 1 FROM agent_webhook_endpoint AS e WHERE e.name = m.lane)))""",
    ),
    StoreGauge(
        Gauge(
            "agentroute_webhook_oldest_seconds",
            "Age of the oldest webhook message that no endpoint has taken yet; 0 without one.",
        ),
        """(SELECT coalesce(extract(epoch FROM clock_timestamp() - min(m.created_at)), 0)
            FROM agent_webhook_message AS m WHERE m.state = 'pending' AND (
                m.lane LIKE 'host:%' OR EXISTS (SELECT 1 FROM agent_webhook_endpoint AS e WHERE e.name = m.lane)))""",
    ),
    StoreGauge(
        Gauge("agentroute_webhooks_given_up", "Webhook messages whose last try has failed."),
        "(SELECT count(*) FROM agent_webhook_message WHERE state = 'failed')",
    ),
    StoreGauge(
        Gauge("agentroute_webhook_endpoints_disabled", "Webhook endpoints that have answered 410."),
        "(SELECT count(*) FROM agent_webhook_endpoint WHERE disabled_at IS NOT NULL)",
    ),
    StoreGauge(
        Gauge("agentroute_log_parts", "Parts of the log of events; 0 if it is one table."),
        "(SELECT count(*) FROM agent_log_part)",
    ),
    StoreGauge(
        Gauge(
            "agentroute_log_part_age_seconds",
            "Age of the newest part: above two days, no worker opens the next; 0 if the log is one table.",
        ),
        """(SELECT coalesce(extract(epoch FROM clock_timestamp() - max(opened_at)), 0) FROM agent_log_part)""",
    ),
    StoreGauge(
        Gauge(
            "agentroute_schedule_lag_seconds",
            "How late the oldest fire of a schedule is that nobody has settled; 0 without one.",
        ),
        """(SELECT coalesce(extract(epoch FROM clock_timestamp() - least(
            (SELECT min(next_at) FROM agent_schedule WHERE next_at <= statement_timestamp()),
            (SELECT min(fire_at) FROM agent_schedule_fire WHERE state = 'pending'))), 0))""",
    ),
)


class StoreFigures:
    """Reads the figures for all who ask meanwhile and shortly after. Belongs to one event loop.

    Args:
        settings: Where Postgres is.
        gauges: What is read.
        clock: Seconds.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        gauges: Sequence[StoreGauge] = STORE_GAUGES,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gauges = gauges
        self._connection = KeptConnection(
            settings, "agentroute-metrics", _LOOK_SECONDS, statement_timeout=str(int(_LOOK_SECONDS * 1000))
        )
        self._found = SharedLook(self._look, KEEP_SECONDS, clock)

    async def read(self) -> dict[Gauge, Readings]:
        """Return the figures; none while the database cannot be read."""
        return await self._found.read() if self._gauges else {}

    async def aclose(self) -> None:
        """End a look that is under way, and close the connection."""
        await self._found.aclose()
        self._connection.give_up()

    async def _look(self) -> dict[Gauge, Readings]:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                row = await (await self._connection.get()).fetchrow(figures_sql(self._gauges))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            # The state of the connection is unknown.
            self._connection.give_up()
            return {}
        return (
            {}
            if row is None
            else {
                each.gauge: _readings(json.loads(value))
                for each, value in zip(self._gauges, row, strict=True)
            }
        )


def figures_sql(gauges: Sequence[StoreGauge]) -> str:
    """Return the statement that reads the figures, each as jsonb."""
    return "SELECT " + ", ".join(f"to_jsonb({each.sql}) AS figure_{at}" for at, each in enumerate(gauges))


def _readings(value: object) -> Readings:
    if isinstance(value, dict):
        return {(str(label),): float(number) for label, number in value.items()}
    return {(): float(str(value))}
