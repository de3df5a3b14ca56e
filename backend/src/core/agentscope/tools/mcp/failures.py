"""How a call to an MCP server fails, by what is known about the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FailureKind = Literal[
    "not-delivered", "session-gone", "unauthorized", "refused", "failed", "lost", "unreadable"
]
"""What is known of a request that has no answer:

* ``not-delivered``: nothing reached the server. It may be sent again.
* ``session-gone``: the server does not know the session, so it did nothing. It may be sent again in a new session.
* ``unauthorized``: the server does not take the credentials (401), or they allow too little (403 with
  ``insufficient_scope``). It did nothing; with others it may.
* ``refused``: the credentials do not permit this (any other 403). The server did nothing, and will do nothing.
* ``failed``, ``lost``, ``unreadable``: an HTTP error, a connection that broke, an answer that nobody understands. The
  call may have acted, so it is never sent again.
"""


UNAUTHORIZED = "HTTP 401"
"""The reason of ``unauthorized`` where nobody has shown an identity."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no answer. ``reason`` is for the log: it holds no secret and no text of the server."""

    kind: FailureKind
    reason: str
    challenge: str = ""
    """Of ``unauthorized``: which credentials the server wants, in its own words (``WWW-Authenticate``). Never shown."""

    @property
    def repeatable(self) -> bool:
        """Whether the request surely had no effect and may be sent again."""
        return self.kind in ("not-delivered", "session-gone")


class RequestFailed(Exception):
    """A request to the server has no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class ServerRefused(Exception):
    """The server answered that the call is wrong, such as an unknown tool; ``message`` is the server's own text."""

    def __init__(self, message: str) -> None:
        super().__init__("the server answered with an error")
        self.message = message


class ServerUnavailable(Exception):
    """There is no connection to the server, and none could be made. Nothing was sent.

    Args:
        reason: In a few words, without a secret.
        failure: What became of the request that was to open the connection, if that is known.
    """

    def __init__(self, reason: str, failure: Failure | None = None) -> None:
        super().__init__(reason)
        self.failure = failure


Report = Callable[[int, Failure], None]
"""Takes the id of a request that will have no answer."""


def refusal_of(error: RequestFailed | ServerUnavailable) -> Failure | None:
    """Return the failure of a request whose credentials the server did not take; ``None`` for any other."""
    failure = error.failure
    return failure if failure is not None and failure.kind == "unauthorized" else None
