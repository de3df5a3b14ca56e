"""Why a login at an MCP server, or the refresh of one, did not succeed."""

from __future__ import annotations

from typing import Literal

FailureKind = Literal["unreachable", "unusable", "refused", "invalid-grant", "invalid-client"]
"""What is known:

* ``unreachable``: no answer, or one that says "later". What the user has stays as it is.
* ``unusable``: the server's answers or addresses do not allow a login. Its operator can help.
* ``refused``: the authorization server said no.
* ``invalid-grant``: what the user once granted is not valid any more. The user logs in again.
* ``invalid-client``: the authorization server does not know this service any more.
"""


class OAuthFailed(Exception):
    """A step of the protocol failed.

    Args:
        kind: What is known.
        words: One sentence for people, without any part of a token.
    """

    def __init__(self, kind: FailureKind, words: str) -> None:
        super().__init__(words)
        self.kind: FailureKind = kind
        self.words = words
