"""When a request is sent again, and when its caller is told. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from agentroute.client.backoff import CAP_SECONDS, LONGEST_WAIT_SECONDS, Random, pause
from agentroute.client.errors import (
    AgentRouteError,
    ConnectionFailed,
    NotFound,
    ProblemError,
    UnexpectedAnswer,
    refusal,
)

_FIRST_PAUSE_SECONDS = 0.5
# What a proxy says while the service behind it restarts.
_OF_PROXIES = (502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Told before each wait: something failed, and is tried again."""

    failures: int
    """How many in a row; 1 for the first."""
    pause_seconds: float
    reason: str
    """What happened, in one line. Empty if a stream ended in order at its greatest age."""
    thread_id: str | None = None
    """The thread whose stream it is; ``None`` for any other request."""


OnRetry = Callable[[Retry], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a client tries."""

    max_retries: int = 4
    """Of a request; the waits add up to at most 7.5 seconds, unless the service names longer ones."""
    reconnect_seconds: float | None = 300.0
    """How long a stream tries to come back. ``None``: for ever."""
    max_pause_seconds: float = CAP_SECONDS
    random: Random = random.random
    on_retry: OnRetry | None = None

    def tell(self, retry: Retry) -> None:
        """Tell of a wait."""
        if self.on_retry is not None:
            self.on_retry(retry)


def may_pass(error: AgentRouteError) -> bool:
    """Say whether the same request may succeed a little later, without anybody's doing."""
    if isinstance(error, ProblemError):
        # 409 `run-active` is retryable, too, but the caller chooses between waiting and stopping the run.
        return (
            error.retryable
            and error.status in (429, *_OF_PROXIES)
            and named_wait_seconds(error) <= LONGEST_WAIT_SECONDS
        )
    return isinstance(error, UnexpectedAnswer) and error.status in _OF_PROXIES


def named_wait_seconds(error: AgentRouteError) -> float:
    """Return how long the service asks to wait; 0 if it does not say."""
    return (error.retry_after_seconds or 0.0) if isinstance(error, ProblemError) else 0.0


def unreachable(exc: httpx.RequestError, address: str) -> ConnectionFailed:
    """Return the error for a service that cannot be reached."""
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(f"Nothing answers at {address}. Is AgentRoute running there? ({_words(exc)})")
    return ConnectionFailed(f"The connection to {address} broke: {_words(exc)}")


class Attempts:
    """The attempts of one request."""

    def __init__(self, patience: Patience, address: str, *, is_deletion: bool = False) -> None:
        self._patience = patience
        self._address = address
        self._is_deletion = is_deletion
        self._failures = 0

    def broke(self, exc: httpx.RequestError) -> float:
        """Note that no answer came; returns how many seconds to wait before the next attempt.

        Raises:
            ConnectionFailed: There is no next attempt.
        """
        error = unreachable(exc, self._address)
        if isinstance(exc, httpx.UnsupportedProtocol):
            raise error from exc
        return self._next(error)

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> float | None:
        """Note an answer that is no success.

        Returns:
            How many seconds to wait before the next attempt; ``None`` if it is a success all the same.

        Raises:
            ProblemError: There is no next attempt.
            UnexpectedAnswer: The same.
        """
        error = refusal(status, headers, body)
        if self._is_deletion and self._failures and isinstance(error, NotFound):
            return None
        if not may_pass(error):
            raise error
        return self._next(error)

    def _next(self, error: AgentRouteError) -> float:
        self._failures += 1
        if self._failures > self._patience.max_retries:
            raise error
        seconds = pause(
            self._failures,
            base_seconds=_FIRST_PAUSE_SECONDS,
            at_least_seconds=named_wait_seconds(error),
            cap_seconds=self._patience.max_pause_seconds,
            random=self._patience.random,
        )
        self._patience.tell(Retry(failures=self._failures, pause_seconds=seconds, reason=str(error)))
        return seconds


def _words(exc: httpx.RequestError) -> str:
    return str(exc) or type(exc).__name__
