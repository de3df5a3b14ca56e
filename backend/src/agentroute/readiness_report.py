"""What a process says of the servers that it depends on, in words: for ``/readyz`` on every port."""

from __future__ import annotations

from core.readiness import Readiness


def checks(found: Readiness) -> dict[str, str]:
    """Return each check with its result."""
    return {
        "postgres": "ok" if found.postgres else "unreachable",
        "migrations": _migrations(found),
        "redis": "degraded" if found.redis_degraded else "ok" if found.redis else "unreachable",
    }


def _migrations(found: Readiness) -> str:
    if found.migrations:
        return "ok"
    if not found.postgres:
        return "unknown"
    return "incompatible" if found.schema_ahead else "behind"
