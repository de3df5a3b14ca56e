"""Limits that hold however many requests come at once: unended runs of a user, queued runs of a tenant and of everybody.

Rules:

1. ``refuse_overload`` looks without any lock: a request beyond a limit is refused before it locks or writes anything.
2. ``take_place`` looks again under a lock, right before the run is inserted. Only requests of the same user wait for
   each other. The locks come after the thread's and end with the transaction, and whoever holds one waits for no thread.
3. The queue of all users has a lock that requests share, so that nobody waits. Only in a queue that is nearly full it
   is exclusive. Requests that share it do not see each other, so they stay ``_UNSEEN`` places away from the limit.
4. A tenant may have at most so many times the places of the queue that stay free. A tenant with no run in the queue
   needs one free place alone: the last one goes to nobody else.

See docs/adr/0018 and docs/adr/0054.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.events.status_sql import status_text
from core.config import LimitSettings
from core.errors import Overloaded, QueueFull, RateLimited
from core.gate import soon
from core.identity import Principal

NEARLY_FULL = 200
"""So many free places are given one by one."""
_UNSEEN = 100
"""More than the requests that the API processes of one deployment accept at the same moment: each needs a connection."""

_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Load:
    queued: int
    queued_of_tenant: int
    oldest_seconds: float
    unended: int

    def room(self, principal: Principal, limits: LimitSettings) -> int:
        """Return how many more runs of the principal's tenant the queue takes."""
        free = limits.max_queued_runs - self.queued
        share = limits.tenant_queue_share
        if principal.trusted or share >= 1:
            return free
        # The dynamic threshold of ``work/slots.py``: a tenant holds at most ``weight`` times what then stays free.
        weight = share / (1 - share)
        room = math.floor((weight * free - self.queued_of_tenant) / (1 + weight) + 1e-6)
        return min(free, room if self.queued_of_tenant else max(room, 1))


async def refuse_overload(session: AsyncSession, principal: Principal, limits: LimitSettings) -> int:
    """Refuse what the workers cannot take, and a user who has too many runs already; takes no lock.

    Returns:
        How many more runs of the user's tenant the queue takes.

    Raises:
        Overloaded: Too many runs wait for a worker, or the first has waited too long.
        QueueFull: Too many runs of the user's tenant do.
        RateLimited: Too many of the user's runs have not ended.
    """
    load = await _load(session, principal, limits)
    if load.oldest_seconds > limits.max_queue_age_seconds:
        raise _overloaded()
    _refuse_queue(load, principal, limits)
    refuse_user(load.unended, limits)
    return load.room(principal, limits)


async def take_place(
    session: AsyncSession, principal: Principal, limits: LimitSettings, *, room: int | None
) -> None:
    """Take the place of one more run until the transaction ends.

    Args:
        session: An open transaction that holds the thread's lock, and inserts the run next.
        principal: Whose run.
        limits: Of this deployment.
        room: What ``refuse_overload`` returned; ``None`` for a run that does not enter the queue yet.

    Raises:
        Overloaded: Other requests took the queue's last places.
        QueueFull: Other requests took the last places of the tenant.
        RateLimited: Another request took the user's last place.
    """
    keys = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
    one_by_one = room is not None and room <= NEARLY_FULL
    lock = _LOCK_USER if room is None else _LOCK_USER_AND_QUEUE if one_by_one else _LOCK_USER_SHARE_QUEUE
    await session.execute(lock, keys)
    # A statement of its own: it sees what was committed before the locks were given.
    load = await _load(session, principal, limits)
    refuse_user(load.unended, limits)
    if room is not None:
        _refuse_queue(load, principal, limits, unseen=0 if one_by_one else _UNSEEN)


def sure_places(principal: Principal, limits: LimitSettings) -> int:
    """Return how long the queue may be for a run to find room, whoever has the runs in it, without a place counted alone."""
    share = 1.0 if principal.trusted else limits.tenant_queue_share
    # If all queued runs are of one tenant, it still has room.
    return int(limits.max_queued_runs * share) - NEARLY_FULL


def _refuse_queue(load: _Load, principal: Principal, limits: LimitSettings, *, unseen: int = 0) -> None:
    if load.queued + unseen >= limits.max_queued_runs:
        raise _overloaded()
    if load.room(principal, limits) <= unseen:
        raise QueueFull(
            f"Your organisation already has {load.queued_of_tenant} runs in the queue. Try again when some have begun.",
            retry_after_seconds=soon(),
        )


def refuse_user(unended: int, limits: LimitSettings) -> None:
    """Refuse a user who has all the runs that one may have.

    Raises:
        RateLimited: Until one of them ends.
    """
    if unended >= limits.max_runs_per_user:
        raise RateLimited(
            f"You already have {unended} unfinished runs. Wait for one to end.",
            retry_after_seconds=_RETRY_SECONDS,
        )


def _overloaded() -> Overloaded:
    return Overloaded("Too many runs wait for a worker. Try again shortly.", retry_after_seconds=soon())


async def _load(session: AsyncSession, principal: Principal, limits: LimitSettings) -> _Load:
    values = {
        "tenant_id": principal.tenant_id,
        "user_id": principal.user_id,
        "queue_seconds": limits.queue_seconds,
    }
    row = (await session.execute(_LOAD, values)).one()
    return _Load(row.queued, row.queued_of_tenant, row.oldest_seconds, row.unended)


# By its deadline, not its creation: a run that waited behind another enters the queue when its turn comes.
_LOAD = status_text("""
SELECT queue.queued, queue.queued_of_tenant,
    coalesce(:queue_seconds - extract(epoch FROM queue.first_deadline - clock_timestamp())::float8, 0)
        AS oldest_seconds,
    (SELECT count(*) FROM agent_run AS mine
     WHERE mine.tenant_id = :tenant_id AND mine.user_id = :user_id AND mine.status IN {unended}) AS unended
FROM (SELECT count(*) AS queued, count(*) FILTER (WHERE tenant_id = :tenant_id) AS queued_of_tenant,
             min(queue_deadline_at) AS first_deadline
      FROM agent_run WHERE status = {queued}) AS queue
""")

# Two numbers of 32 bits, so that they meet no other advisory lock of the database: "AGRU" and "AGRQ" in ASCII.
_USER = "SELECT pg_advisory_xact_lock(1095193173, hashtext(length(:tenant_id) || '/' || :tenant_id || '/' || :user_id))"
_LOCK_USER = text(_USER)
_LOCK_USER_SHARE_QUEUE = text(", ".join((_USER, "pg_advisory_xact_lock_shared(1095193169, 0)")))
_LOCK_USER_AND_QUEUE = text(", ".join((_USER, "pg_advisory_xact_lock(1095193169, 0)")))
