"""Opens the port of operators, if the settings name one. Only then are Prometheus' library and the rest imported."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from core.config import MetricsSettings, Settings
from core.metrics.catalogue import REPLICA_LAG, REPLICA_UP
from core.metrics.instruments import Gauge
from core.metrics.readings import LiveReadings, Reading
from core.replica.replica import Replica

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool


@contextmanager
def open_metrics(
    settings: Settings, process: Literal["api", "worker"], live: Callable[[], LiveReadings | None]
) -> Iterator[None]:
    """Show what a process counts while the context is open. ``settings.metrics.port`` is set.

    Args:
        settings: Of the process.
        process: Which kind of process it is.
        live: Returns what the process knows of itself; None while it starts or has stopped.

    Raises:
        OSError: The address or the file of the port cannot be used; ``refusal`` says it in a line.
    """
    metrics = settings.metrics
    with _listen(metrics.host, metrics.port or 0) as listener:
        from agentroute.metrics.process_port import open_port

        with open_port(settings, process, listener, live):
            if metrics.port_path is None:
                yield
                return
            metrics.port_path.write_text(str(listener.getsockname()[1]))
            try:
                yield
            finally:
                metrics.port_path.unlink(missing_ok=True)


def _listen(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family)


def refusal(settings: MetricsSettings, error: OSError) -> str:
    """Return the line that a process prints which cannot use the address."""
    why = error.strerror or str(error)
    if error.filename is not None:
        return f"Cannot write AGENT_METRICS__PORT_PATH ({error.filename}): {why}."
    return (
        f"Cannot listen on {settings.host}:{settings.port} for metrics: {why}. "
        "Each process needs a port of its own: --metrics-port, or AGENT_METRICS__PORT."
    )


def pool_reading(engine: AsyncEngine) -> Reading:
    """Return a function that says how many connections of an engine's pool are in use, and how many rest."""

    def read() -> Mapping[str, float]:
        # Asked anew: an engine that was disposed has another pool.
        pool: Pool = engine.pool
        if not isinstance(pool, QueuePool):
            return {}
        return {"used": float(pool.checkedout()), "free": float(pool.checkedin())}

    return read


def replica_readings(replica: Replica) -> dict[Gauge, Reading]:
    """Return functions that say whether the replica is used, and how far it is behind."""

    def lag() -> float | Mapping[str, float]:
        seconds = replica.lag_seconds
        return {} if seconds is None else seconds

    return {REPLICA_UP: lambda: float(replica.state is None), REPLICA_LAG: lag}
