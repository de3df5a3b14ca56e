"""How a call to an MCP server fails, by what is known about the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FailureKind = Literal["not-delivered", "session-gone", "refused", "failed", "lost", "unreadable"]
"""What is known of a request that has no answer:

* ``not-delivered``: nothing reached the server. It may be sent again.
* ``session-gone``: the server does not know the session, so it did nothing. It may be sent again in a new session.
* ``refused``: the server wants other credentials. It did nothing, and will do nothing.
* ``failed``, ``lost``, ``unreadable``: an HTTP error, a connection that broke, an answer that nobody understands. The
  call may have acted, so it is never sent again.
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no answer. ``reason`` is for the log: it holds no secret and no text of the server."""

    kind: FailureKind
    reason: str

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
    """There is no connection to the server, and none could be made. Nothing was sent."""


Report = Callable[[int, Failure], None]
"""Takes the id of a request that will have no answer."""
