"""Errors of API keys and of tickets. As in ``core/errors.py``, each class defines its own code, title and status."""

from __future__ import annotations

from core.errors import AgentBackendError, Conflict, Unauthenticated


class KeyEnded(Conflict):
    """The API key was revoked or has expired, and cannot be rotated. Create a new one."""

    code, title = "key-ended", "The API key has ended"


class TicketInvalid(Unauthenticated):
    """The ticket is unknown, used up, expired, or for another stream. Ask ``POST /events/ticket`` for a new one."""

    code, title = "ticket-invalid", "The ticket is not valid"
    challenge = 'Bearer realm="agentroute", error="invalid_token"'


class TicketsUnavailable(AgentBackendError):
    """Stream tickets are kept in Redis, which did not answer. Retry, or stream with the ``Authorization`` header."""

    code, title, status, retryable = "tickets-unavailable", "Stream tickets are not available", 503, True
    default_retry_after_seconds = 5
