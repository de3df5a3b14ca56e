"""Acceptance within the rates of a user and a tenant: what routes and schedules share."""

from __future__ import annotations

from typing import Protocol

from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import RunCommand
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.webhooks.run_webhook import RunWebhook


class Gateway(Protocol):
    """Makes runs durable; described by ``v1.agent.ports.RunGateway``."""

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun: ...

    async def find_accepted(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun | None: ...


class RatedAcceptance:
    """Accepts runs, and counts them.

    Args:
        gateway: Makes them durable.
        rates: Of the process.
    """

    def __init__(self, gateway: Gateway, rates: RateLimits) -> None:
        self._gateway = gateway
        self._rates = rates

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun:
        """Make a run durable, or find the one that the request has made.

        Raises:
            RateLimited: The principal has started too many lately.
            AgentBackendError: As ``v1.agent.ports.RunGateway.accept``.
        """
        if (refusal := self._rates.refusal(principal, "runs")) is not None:
            # A repeat starts no run, so the rate of runs does not refuse it.
            found = await self.find_accepted(
                principal, command, idempotency_key=idempotency_key, request_hash=request_hash
            )
            if found is None:
                raise refusal
            return found
        with self._rates.reserve(principal, "runs") as place:
            accepted = await self._gateway.accept(
                principal,
                command,
                idempotency_key=idempotency_key,
                request_hash=request_hash,
                webhook=webhook,
            )
            place.used = accepted.created
        return accepted

    async def find_accepted(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun | None:
        """Find the run that a request has made. See ``v1.agent.ports.RunGateway.find_accepted``."""
        return await self._gateway.find_accepted(
            principal, command, idempotency_key=idempotency_key, request_hash=request_hash
        )
