"""The route of usage. Its docstring is the API reference."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from core import errors
from core.agentscope.schemas.links import API_PREFIX
from core.agentscope.schemas.messages import Id
from core.agentscope.schemas.usage import Grouping, PeriodInvalid, UsagePeriod, UsageResponse
from v1.agent.dependencies import Container, CurrentPrincipal, current_principal
from v1.agent.openapi import USAGE_EXAMPLE, answer, problems
from v1.agent.run_answers import json_answer

_PROBLEMS = (errors.Unauthenticated, errors.InvalidRequest, errors.StoreUnavailable)

FromQuery = Annotated[
    str | None,
    Query(
        alias="from",
        max_length=64,
        description="RFC 3339 date (from 00:00 UTC) or instant. Default: 30 days before `to`.",
        examples=["2026-11-01"],
    ),
]
ToQuery = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=64,
        description="RFC 3339 date (the whole day is included) or instant (excluded). Default: now.",
        examples=["2026-11-22"],
    ),
]
GroupByQuery = Annotated[Grouping, Query(alias="groupBy", description="Grouping: what one row stands for.")]
AgentQuery = Annotated[
    Id | None, Query(alias="agentId", description="Only model calls of this agent.", examples=["sales"])
]

router = APIRouter(prefix=API_PREFIX, tags=["usage"], dependencies=[Depends(current_principal)])


@router.get("/usage", response_model=UsageResponse, responses=answer(USAGE_EXAMPLE) | problems(*_PROBLEMS))
async def read_usage(
    principal: CurrentPrincipal,
    container: Container,
    start: FromQuery = None,
    end: ToQuery = None,
    group_by: GroupByQuery = "day",
    agent_id: AgentQuery = None,
) -> Response:
    """Return the caller's usage in a period of at most 366 days: in total and by day (UTC), model or thread.

    Every model call counts, including the calls of cancelled and failed runs, at the time of its end. The calls of
    threads that were deleted since are one row without an id. Costs are decimals in US dollars. A `cost` is the sum of
    the known costs; `unknownCostCalls` is the number of calls without a known cost. Transcriptions have separate sums
    and belong to no thread. The answer has at most 1,000 rows, those with the highest cost; `totals` counts everything.
    With `agentId`, only the model calls of this agent's runs count: neither transcriptions, which belong to no agent, nor
    the calls of threads that were deleted since. `stored` is what the caller has stored now, whatever the period, and how
    much that may be.
    """
    try:
        period = UsagePeriod.parse(start, end, now=datetime.now(UTC))
    except PeriodInvalid as exc:
        raise errors.InvalidRequest(
            f"The period is invalid: '{exc.name}' {exc}.",
            errors=[{"pointer": f"/query/{exc.name}", "message": str(exc)}],
        ) from exc
    found = await container.usage.usage(principal, period, group_by, agent_id)
    return json_answer(found)
