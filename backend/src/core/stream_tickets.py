"""Tickets for event streams: what a browser's ``EventSource`` sends, which cannot send a header.

Rules:

1. A ticket has 256 random bits. It is kept in Redis, under its SHA-256, and nowhere else; without Redis there are none.
2. It is good for one stream of one user: this thread and this run, or this thread as a whole. It permits nothing else.
3. Its first use must come within ``FIRST_USE_SECONDS``. From then on it is good for as long as a stream may last, because an
   ``EventSource`` reconnects with the same URL; never longer than the credential that asked for it.
4. Each use takes the stream over: the connection before ends. A reconnect whose old connection looks alive to the server
   is such a use, and so is a copied URL. Two of them take turns, slowly, and only until the ticket ends.

Reading and counting a use is one step in Redis: of two first uses at once, neither can be seen as the only one.
See docs/adr/0052.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.api_keys.key_form import random_digits
from core.config import RedisSettings
from core.credential_errors import TicketInvalid, TicketsUnavailable
from core.identity import Principal
from core.owned_keys import note_key
from core.redis_kinds.cluster import execute_many

FIRST_USE_SECONDS = 30
TICKET_PREFIX = "art_"
_MAX_CHARACTERS = 64
_INVALID = "The ticket is unknown, used up or expired, or it is for another stream. Ask POST /events/ticket for a new one."
_AWAY = (
    "Stream tickets are kept in Redis, which did not answer. Try again after the time in Retry-After, or stream with fetch "
    "and the Authorization header."
)

# KEYS: the ticket. ARGV: of which stream, for whom, until when its first use must come (s).
_ISSUE = """
redis.call('HSET', KEYS[1], 'stream', ARGV[1], 'holder', ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
# KEYS: the ticket. ARGV: of which stream, how long it is good after its first use (ms).
# Returns who the ticket is for, which use this is, and how long the ticket is good (ms).
_USE = """
local ticket = redis.call('HMGET', KEYS[1], 'stream', 'holder')
if not ticket[1] or ticket[1] ~= ARGV[1] then return false end
local use = redis.call('HINCRBY', KEYS[1], 'uses', 1)
if use == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {ticket[2], use, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True, slots=True)
class TicketUse:
    """A use of a ticket: the connection that has its stream, until the next use."""

    name: str
    """Names the ticket, and is not the ticket: its hash."""
    number: int
    """1: the first use."""
    principal: Principal
    """Whose stream it is. Valid no longer than the ticket."""


class StreamTickets:
    """The tickets of a deployment.

    Args:
        redis: Client for short commands.
        settings: For the key prefix.
        lasts_seconds: How long a ticket is good after its first use: the greatest age of a stream.
        clock: Unix time.
    """

    def __init__(
        self,
        redis: Redis,
        settings: RedisSettings,
        *,
        lasts_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._owner_prefix = settings.key_prefix
        self._prefix = f"{settings.key_prefix}:ticket:"
        self.lasts_seconds = lasts_seconds
        self._clock = clock
        self._issue = redis.register_script(_ISSUE)
        self._use = redis.register_script(_USE)

    async def issue(self, principal: Principal, thread_id: str, run_id: str | None) -> str:
        """Make a ticket for a stream of a user.

        Raises:
            TicketsUnavailable: Redis did not answer.
        """
        ticket = TICKET_PREFIX + random_digits()
        name = self._prefix + _hash(ticket)
        lasts = self.lasts_seconds + FIRST_USE_SECONDS
        try:
            await note_key(self._redis, self._owner_prefix, principal, name, seconds=lasts)
            await self._issue([name], [_stream(thread_id, run_id), _holder(principal), FIRST_USE_SECONDS])
        except (RedisError, OSError, TimeoutError) as exc:
            raise TicketsUnavailable(_AWAY) from exc
        return ticket

    async def use(self, ticket: str, thread_id: str, run_id: str | None) -> TicketUse:
        """Use a ticket for its stream.

        Raises:
            TicketInvalid: There is no such ticket, or it is for another stream.
            TicketsUnavailable: Redis did not answer.
        """
        if not ticket.startswith(TICKET_PREFIX) or len(ticket) > _MAX_CHARACTERS:
            raise TicketInvalid(_INVALID)
        name = _hash(ticket)
        arguments = [_stream(thread_id, run_id), int(self.lasts_seconds * 1000)]
        try:
            found = await self._use(keys=[self._prefix + name], args=arguments)
        except (RedisError, OSError, TimeoutError) as exc:
            raise TicketsUnavailable(_AWAY) from exc
        if not found:
            raise TicketInvalid(_INVALID)
        holder, number, good_for = found
        return TicketUse(name, number, self._principal(json.loads(holder), good_for / 1000))

    async def newest_uses(self, names: Sequence[str]) -> list[int]:
        """Return how often each ticket was used; 0 for those that are gone.

        Raises:
            TicketsUnavailable: Redis did not answer.
        """
        try:
            commands = [("HGET", self._prefix + name, "uses") for name in names]
            found = await execute_many(self._redis, commands)
            if failed := [error for error in found if isinstance(error, Exception)]:
                raise failed[0]
            return [int(number or 0) for number in found]
        except (RedisError, OSError, TimeoutError) as exc:
            raise TicketsUnavailable(_AWAY) from exc

    def _principal(self, holder: dict[str, Any], good_for_seconds: float) -> Principal:
        ends = self._clock() + good_for_seconds
        valid_until = holder["validUntil"]
        if valid_until is not None and valid_until <= self._clock():
            raise TicketInvalid(_INVALID)
        return Principal(
            holder["tenant"],
            holder["user"],
            ends if valid_until is None else min(ends, valid_until),
            scopes=frozenset(holder["scopes"]),
            kind="ticket",
            credential_id=holder["key"],
            signer=holder.get("signer"),
        )


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def _stream(thread_id: str, run_id: str | None) -> str:
    return json.dumps([thread_id, run_id])


def _holder(principal: Principal) -> str:
    """Return what of a principal a stream needs. Not the claims: they are personal data, and no stream reads them."""
    agents = sorted(scope for scope in principal.scopes if scope.startswith("agent:"))
    return json.dumps(
        {
            "tenant": principal.tenant_id,
            "user": principal.user_id,
            "validUntil": principal.valid_until,
            "scopes": ["read", *agents],
            # A token cannot be revoked: its end counts, and the key of its issuer.
            "key": principal.credential_id if principal.kind == "key" else None,
            "signer": principal.signer,
        }
    )
