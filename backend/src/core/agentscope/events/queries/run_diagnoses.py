"""Says why runs are where they are: one run to its owner, and any runs of a tenant to operators. Writes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.queries.run_facts import find_run, read_facts
from core.agentscope.events.run_status import UNENDED
from core.agentscope.events.status_sql import status_sql
from core.agentscope.events.why.causes import cause_of
from core.agentscope.events.why.diagnosis import operator_advice, operator_evidence, why
from core.agentscope.events.why.facts import Limits, RunFacts
from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.page_place import NumberPlace
from core.agentscope.schemas.run_diagnosis import (
    OperatorRunItem,
    OperatorRunListResponse,
    OperatorRunResponse,
    RunWhyResponse,
)
from core.direct_sql import fetch
from core.errors import InvalidRequest, NotFound
from core.identity import Principal
from core.validation import read_parameter

LOOKED_AT = 2000
"""Runs that one page looks at, at most. A page of runs that are rare may have few, or none, and still be followed by more."""
DIAGNOSED = 100
"""Runs that are diagnosed at once."""
_LAST = 2**63 - 1

HintsAway = Callable[[], Awaitable[bool | None]]
"""Returns whether Redis does not answer; None if nobody knows."""

_SELECT = """
WITH looked_at AS MATERIALIZED (
    SELECT id, status, tenant_id, user_id, created_at, attempt, worker_id
    FROM agent_run WHERE <which> AND id < $1 ORDER BY id DESC LIMIT $8
)
SELECT (SELECT count(*) FROM looked_at) AS looked_at, (SELECT min(id) FROM looked_at) AS lowest,
    array(SELECT id FROM looked_at
        WHERE status = ANY($2::text[]) AND ($3::text IS NULL OR tenant_id = $3) AND ($4::text IS NULL OR user_id = $4)
            AND created_at <= clock_timestamp() - $5::float8 * interval '1 second' AND attempt >= $6
            AND ($7::text IS NULL OR worker_id = $7)
        ORDER BY id DESC) AS ids
"""
_ALL = _SELECT.replace("<which>", "true")
_UNDER_WAY = _SELECT.replace("<which>", status_sql("status IN {unended}"))
_OF_THREAD = _SELECT.replace(
    "<which>",
    """session_id = (
        SELECT id FROM agent_chat_session WHERE tenant_id = $3 AND user_id = $4 AND thread_id = $9)""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs an operator asks for. None leaves out nothing."""

    statuses: Sequence[RunStatus] = UNENDED
    tenant_id: str | None = None
    user_id: str | None = None
    thread_id: str | None = None
    """With tenant and user."""
    older_than_seconds: float = 0.0
    min_attempts: int = 0
    worker_id: str | None = None
    cause: str | None = None


class RunDiagnoses:
    """Diagnoses runs.

    Args:
        engine: Of the database that is written.
        limits: The settings that count.
        default_agent: The agent of threads without an id of one.
        hints_away: Looks at Redis.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        limits: Limits,
        *,
        default_agent: str | None = None,
        hints_away: HintsAway | None = None,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._default_agent = default_agent
        self._hints_away = hints_away

    async def why(self, principal: Principal, thread_id: str, run_id: str) -> RunWhyResponse:
        """Say why the newest segment of a run is where it is.

        Raises:
            NotFound: The caller has no such thread, or the thread no such run.
        """
        run_pk = await find_run(self._engine, principal, thread_id, run_id, self._default_agent)
        return why(await self._one(run_pk), self._limits)

    async def get_run(self, run_pk: int, *, tenant_id: str | None) -> OperatorRunResponse:
        """Return a run with everything that operators are told.

        Args:
            run_pk: Row of the run.
            tenant_id: Whose operator asks; None: of all tenants.

        Raises:
            NotFound: There is no such run.
        """
        facts = await self._one(run_pk)
        if tenant_id not in (None, facts.tenant_id):
            raise NotFound("No such run.")
        told = why(facts, self._limits)
        return OperatorRunResponse(
            **self._item(facts).model_dump(),
            why=told,
            operator_advice=operator_advice(told.cause),
            operator_evidence=operator_evidence(facts, self._limits),
        )

    async def list_runs(
        self, wanted: RunFilter, *, limit: int, before: str | None = None
    ) -> OperatorRunListResponse:
        """Return a page of runs, newest first.

        A page looks at so many runs only. If few of them are wanted, it has fewer than ``limit``; ``nextBefore`` goes on.

        Raises:
            InvalidRequest: ``before`` comes from no page, or a thread is named without its user.
        """
        if wanted.thread_id is not None and None in (wanted.tenant_id, wanted.user_id):
            raise InvalidRequest("A thread is one of a user: name the user, too.")
        place = read_parameter("before", before, NumberPlace.parse)
        row = await self._select(wanted, _LAST if place is None else place.number)
        left: list[int] = row["ids"]
        found: list[OperatorRunItem] = []
        last = 0
        # One look for all batches: a Redis that is silent costs its whole time limit.
        away = await self._away() if left else None
        while left and len(found) < limit:
            several = DIAGNOSED if wanted.cause is not None else min(DIAGNOSED, limit - len(found))
            looked_at, left = left[:several], left[several:]
            for facts in await read_facts(self._engine, looked_at, hints_away=away):
                if len(found) == limit:
                    break
                last = facts.run_pk
                item = self._item(facts)
                if wanted.cause in (None, item.cause):
                    found.append(item)
        if len(found) == limit and (last > min(row["ids"]) or row["looked_at"] == LOOKED_AT):
            return OperatorRunListResponse(runs=found, next_before=str(NumberPlace(last)))
        more = row["looked_at"] == LOOKED_AT
        return OperatorRunListResponse(
            runs=found, next_before=str(NumberPlace(row["lowest"])) if more else None
        )

    async def _select(self, wanted: RunFilter, before: int) -> Any:
        statement, more = _UNDER_WAY, ()
        if wanted.thread_id is not None:
            statement, more = _OF_THREAD, (wanted.thread_id,)
        elif not set(wanted.statuses) <= set(UNENDED):
            statement = _ALL
        [row] = await fetch(
            self._engine,
            statement,
            before,
            list(wanted.statuses),
            wanted.tenant_id,
            wanted.user_id,
            wanted.older_than_seconds,
            wanted.min_attempts,
            wanted.worker_id,
            LOOKED_AT,
            *more,
        )
        return row

    async def _away(self) -> bool | None:
        return None if self._hints_away is None else await self._hints_away()

    async def _one(self, run_pk: int) -> RunFacts:
        found = await read_facts(self._engine, [run_pk], hints_away=await self._away())
        if not found:
            raise NotFound("No such run.")
        return found[0]

    def _item(self, facts: RunFacts) -> OperatorRunItem:
        return OperatorRunItem(
            id=facts.run_pk,
            tenant_id=facts.tenant_id,
            user_id=facts.user_id,
            thread_id=facts.thread_id,
            run_id=facts.run_id,
            agent_id=facts.agent_id or self._default_agent,
            status=facts.status,
            cause=cause_of(facts, self._limits),
            age_seconds=round((facts.around.now - facts.created_at).total_seconds(), 3),
            attempt=facts.attempt,
            worker_id=facts.worker_id,
            queue_position=facts.place,
            last_event_at=facts.progress.last_at,
            error_code=facts.error_code,
            created_at=facts.created_at,
        )
