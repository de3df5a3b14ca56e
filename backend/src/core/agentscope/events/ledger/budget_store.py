"""The daily budgets of users in Postgres: reserve before a model call, settle with the call's row in the ledger.

Rules:

1. A call starts only if its estimate, the usage and the reservations of other calls fit into the limit together. This
   is
   one conditional update, so concurrent runs cannot reserve more than the limit.
2. One transaction writes the call's row in the ledger, adds the real usage and deletes the reservation.
3. So the budget can be exceeded only by the difference between the last calls and their estimates.
4. The reservations of a dead run are released at its end, or when they expire.

The lock order is thread, run, budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.schemas.internal_events import ModelUsage
from core.erased_users import ERASED_LATELY_SQL, subject_of
from core.identity import Principal

_BATCH = 500


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """What a model call may use."""

    tokens: int
    """Input and longest output."""
    cost: Decimal | None
    """US dollars; ``None`` when the model's price is not known."""


@dataclass(frozen=True, slots=True)
class DayLimits:
    """What a user may use in a day (UTC); ``None`` is no limit."""

    tokens: int | None = None
    cost: Decimal | None = None

    @property
    def any(self) -> bool:
        return self.tokens is not None or self.cost is not None


async def reserve(
    connection: AsyncConnection,
    principal: Principal,
    limits: DayLimits,
    *,
    run_pk: int,
    call_id: str,
    estimate: CallEstimate,
    seconds: float,
) -> bool:
    """Reserve what a call may use. Returns False, and writes nothing, if the reservation does not fit.

    Raises:
        sqlalchemy.exc.IntegrityError: The call has its reservation already.
    """
    row = await connection.execute(
        _RESERVE,
        {
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "token_limit": limits.tokens,
            "cost_limit": limits.cost,
            "run_pk": run_pk,
            "call_id": call_id,
            "tokens": estimate.tokens,
            # A call of unknown cost needs a budget that is not exhausted yet.
            "cost": estimate.cost or Decimal(0),
            "cost_known": estimate.cost is not None,
            "seconds": seconds,
            "subject": subject_of(principal.tenant_id, principal.user_id),
        },
    )
    return row.one_or_none() is not None


async def settle(connection: AsyncConnection, usages: Sequence[ModelUsage]) -> None:
    """Turn the reservations of calls into what they used; a call without one changes nothing."""
    if not usages:
        return
    await connection.execute(
        _SETTLE,
        {
            "call_ids": [usage.call_id for usage in usages],
            "tokens": [usage.input_tokens + usage.output_tokens for usage in usages],
            "costs": [usage.cost or Decimal(0) for usage in usages],
        },
    )


async def charge(connection: AsyncConnection, principal: Principal, usage: ModelUsage) -> None:
    """Count a call whose reservation was given back before it ended; today's budget pays."""
    await connection.execute(
        _CHARGE,
        {
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "call_id": usage.call_id,
            "tokens": usage.input_tokens + usage.output_tokens,
            "cost": usage.cost or Decimal(0),
        },
    )


async def release(connection: AsyncConnection, call_id: str) -> None:
    """Release the reservation of a call that used nothing."""
    await connection.execute(_SETTLE, {"call_ids": [call_id], "tokens": [0], "costs": [Decimal(0)]})


async def release_run(connection: AsyncConnection, run_pk: int) -> None:
    """Release the remaining reservations of a run, because no worker will settle them."""
    await connection.execute(_RELEASE_RUN, {"run_pk": run_pk})


async def release_expired(engine: AsyncEngine) -> int:
    """Release the reservations of dead processes; returns their number."""
    async with engine.connect() as connection:
        run_pks = (await connection.execute(_EXPIRED, {"batch": _BATCH})).scalars().all()
    for run_pk in run_pks:
        # One transaction each, so that two reapers cannot deadlock.
        async with engine.begin() as connection:
            await connection.execute(_RELEASE_EXPIRED, {"run_pk": run_pk})
    return len(run_pks)


async def used_up_for(connection: AsyncConnection, principal: Principal, limits: DayLimits) -> float | None:
    """Return how many seconds a user has to wait for the next budget; ``None`` while some is left."""
    seconds: float | None = (
        await connection.execute(
            _USED_UP,
            {
                "tenant_id": principal.tenant_id,
                "user_id": principal.user_id,
                "token_limit": limits.tokens,
                "cost_limit": limits.cost,
            },
        )
    ).scalar_one_or_none()
    return seconds


# Of a run that is gone because its user was erased, nothing is written: its worker has not seen its end yet.
_RESERVE = text(f"""
WITH asked AS (
    SELECT CAST(:tokens AS bigint) AS tokens, CAST(:cost AS numeric) AS cost, CAST(:cost_known AS boolean) AS known,
           CAST(:token_limit AS bigint) AS token_limit, CAST(:cost_limit AS numeric) AS cost_limit
), budget AS (
    INSERT INTO user_budget AS b (tenant_id, user_id, day, reserved_tokens, reserved_cost)
    SELECT :tenant_id, :user_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, a.tokens, a.cost FROM asked AS a
    WHERE (a.token_limit IS NULL OR a.tokens <= a.token_limit)
        AND (a.cost_limit IS NULL OR a.cost <= a.cost_limit)
        AND (EXISTS (SELECT FROM agent_run WHERE id = :run_pk) OR NOT {ERASED_LATELY_SQL})
    ON CONFLICT (tenant_id, user_id, day) DO UPDATE SET
        reserved_tokens = b.reserved_tokens + excluded.reserved_tokens,
        reserved_cost = b.reserved_cost + excluded.reserved_cost
    WHERE (SELECT (a.token_limit IS NULL OR b.used_tokens + b.reserved_tokens + a.tokens <= a.token_limit)
               AND (a.cost_limit IS NULL OR b.used_cost + b.reserved_cost + a.cost <= a.cost_limit)
               AND (a.cost_limit IS NULL OR a.known OR b.used_cost + b.reserved_cost < a.cost_limit)
           FROM asked AS a)
    RETURNING b.day
)
INSERT INTO user_budget_reservation (call_id, run_pk, tenant_id, user_id, day, tokens, cost, expires_at)
SELECT :call_id, :run_pk, :tenant_id, :user_id, b.day, a.tokens, a.cost,
       clock_timestamp() + :seconds * interval '1 second'
FROM budget AS b, asked AS a
RETURNING call_id
""")  # noqa: S608  the part is a constant

_TAKE_BACK = """
, sums AS (
    SELECT tenant_id, user_id, day, sum(reserved_tokens) AS reserved_tokens, sum(reserved_cost) AS reserved_cost,
           sum(used_tokens) AS used_tokens, sum(used_cost) AS used_cost
    FROM gone GROUP BY tenant_id, user_id, day
)
UPDATE user_budget AS b SET
    reserved_tokens = b.reserved_tokens - s.reserved_tokens, reserved_cost = b.reserved_cost - s.reserved_cost,
    used_tokens = b.used_tokens + s.used_tokens, used_cost = b.used_cost + s.used_cost
FROM sums AS s WHERE b.tenant_id = s.tenant_id AND b.user_id = s.user_id AND b.day = s.day
"""


def _taking_back(*gone: str) -> TextClause:
    """Return the statement that deletes reservations and moves their budgets on."""
    return text("".join((*gone, _TAKE_BACK)))


_SETTLE = _taking_back("""
WITH gone AS (
    DELETE FROM user_budget_reservation AS r
    USING unnest(CAST(:call_ids AS text[]), CAST(:tokens AS bigint[]), CAST(:costs AS numeric[]))
        AS c(call_id, tokens, cost)
    WHERE r.call_id = c.call_id
    RETURNING r.tenant_id, r.user_id, r.day, r.tokens AS reserved_tokens, r.cost AS reserved_cost,
              c.tokens AS used_tokens, c.cost AS used_cost
)
""")

_GONE_UNUSED = """
    RETURNING r.tenant_id, r.user_id, r.day, r.tokens AS reserved_tokens, r.cost AS reserved_cost,
              0::bigint AS used_tokens, 0::numeric AS used_cost
)
"""

_RELEASE_RUN = _taking_back(
    "WITH gone AS (DELETE FROM user_budget_reservation AS r WHERE r.run_pk = :run_pk", _GONE_UNUSED
)

# Those that are over, alone: the run may go on in a later attempt, with reservations of its own.
_RELEASE_EXPIRED = _taking_back(
    """
WITH gone AS (
    DELETE FROM user_budget_reservation AS r WHERE r.run_pk = :run_pk AND r.expires_at < statement_timestamp()""",
    _GONE_UNUSED,
)

_EXPIRED = text("""
SELECT DISTINCT run_pk FROM user_budget_reservation WHERE expires_at < statement_timestamp() LIMIT :batch
""")

_CHARGE = text("""
UPDATE user_budget SET used_tokens = used_tokens + :tokens, used_cost = used_cost + CAST(:cost AS numeric)
WHERE tenant_id = :tenant_id AND user_id = :user_id AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date
    AND NOT EXISTS (SELECT 1 FROM user_budget_reservation WHERE call_id = :call_id)
""")

_USED_UP = text("""
SELECT extract(epoch FROM ((clock_timestamp() AT TIME ZONE 'UTC')::date + 1)::timestamp - clock_timestamp() AT TIME ZONE 'UTC')::float8
FROM user_budget WHERE tenant_id = :tenant_id AND user_id = :user_id AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date
    AND (used_tokens >= CAST(:token_limit AS bigint) OR used_cost >= CAST(:cost_limit AS numeric))
""")
