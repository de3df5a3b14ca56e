"""Routes for the operators of the process. They are public and show nothing about the data."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from agentroute.readiness_report import checks
from core.errors import SchemaIncompatible, StoreUnavailable
from core.readiness import Readiness
from v1.agent.dependencies import Container
from v1.agent.openapi import problems

# 3 s: less than the timeout of a kubelet, so that the answer with the reason arrives first.
_PROBE_SECONDS = 3.0

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Return 200 while the process is alive. Servers are not checked, because a restart does not fix a database."""
    return {"status": "ok"}


@router.get("/readyz", responses=problems(StoreUnavailable))
async def readyz(container: Container) -> dict[str, Any]:
    """Return whether requests can be served: Postgres answers and has a schema that this version can use.

    Redis is reported and not required. So are the workers: without one, runs are accepted and wait. All who ask within a second share one answer.
    """
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            found = await container.readiness()
    except TimeoutError:
        found = Readiness(postgres=False, migrations=False, redis=False)
    report = checks(found)
    if found.schema_ahead:
        raise SchemaIncompatible("A newer version migrated the database.", checks=report)
    if not found.ready:
        raise StoreUnavailable("The database is not available now.", checks=report)
    return {"status": "ready", "checks": report, **_workers(found.workers)}


def _workers(live: int | None) -> dict[str, Any]:
    if live is None:
        return {}
    report: dict[str, Any] = {"live": live}
    if live == 0:
        report["warning"] = "No worker is running: runs are accepted and wait. Start `agentroute worker`."
    return {"workers": report}
