"""The routes of operators about runs. They need the scope ``admin``, and see the tenant of the credential.

In no OpenAPI document, like ``admin_routes``. ``docs/how-to/stuck-runs.md`` describes them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from core.agentscope.events.queries.run_diagnoses import RunFilter
from core.agentscope.events.run_status import UNENDED
from core.agentscope.schemas.agent_runtime import RunStatus
from core.errors import NotFound
from v1.agent.container import ApiContainer
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal, who
from v1.agent.operator_desk import OperatorDesk
from v1.agent.route_access import ADMIN_PREFIX
from v1.agent.run_answers import encoded, json_answer

router = APIRouter(
    prefix=f"{ADMIN_PREFIX}/runs",
    tags=["admin"],
    dependencies=[Depends(current_principal)],
    include_in_schema=False,
)

RowPath = Annotated[int, Path(alias="id", ge=1, lt=2**63, description="As the list names it.")]


@router.get("")
async def list_runs(
    principal: CurrentPrincipal,
    container: Container,
    status: Annotated[list[RunStatus] | None, Query()] = None,
    user_id: Annotated[str | None, Query(alias="userId", max_length=200, pattern="^[^\\x00]*$")] = None,
    thread_id: Annotated[str | None, Query(alias="threadId", max_length=200, pattern="^[^\\x00]*$")] = None,
    worker: Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")] = None,
    cause: Annotated[str | None, Query(max_length=64, pattern="^[a-z-]+$")] = None,
    older_than: Annotated[float, Query(alias="olderThanSeconds", ge=0, le=1e9)] = 0.0,
    min_attempts: Annotated[int, Query(alias="minAttempts", ge=0, le=32_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """List the runs of the caller's tenant, newest first; without ``status``, those that have not ended."""
    wanted = RunFilter(
        statuses=status or UNENDED,
        tenant_id=principal.tenant_id,
        user_id=user_id,
        thread_id=thread_id,
        worker_id=worker,
        cause=cause,
        older_than_seconds=older_than,
        min_attempts=min_attempts,
    )
    return json_answer(await _desk(container).reads.list_runs(wanted, limit=limit, before=before))


@router.get("/{id}")
async def read_run(principal: CurrentPrincipal, container: Container, row: RowPath) -> Response:
    """Show a run: why it is where it is, what to do about it, and what is around it."""
    return json_answer(await _desk(container).reads.get_run(row, tenant_id=principal.tenant_id))


@router.post("/{id}/cancel", status_code=202)
async def cancel_run(principal: CurrentPrincipal, container: Container, row: RowPath) -> Response:
    """Stop a run for its user. It is idempotent."""
    status = await _desk(container).writes.cancel(row, tenant_id=principal.tenant_id, by=who(principal))
    return encoded({"id": row, "status": status}, 202)


@router.post("/{id}/requeue", status_code=202)
async def requeue_run(principal: CurrentPrincipal, container: Container, row: RowPath) -> Response:
    """Tell workers of a queued run again; queue a running one whose worker is lost and that showed nothing."""
    return json_answer(
        await _desk(container).writes.requeue(row, tenant_id=principal.tenant_id, by=who(principal)), 202
    )


def _desk(container: ApiContainer) -> OperatorDesk:
    if container.operators is None:
        raise NotFound
    return container.operators
