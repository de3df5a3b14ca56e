"""The service that the commands talk to: its address and the user's token."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentroute.client import AgentRouteClient, NotFound, Retry, ThreadItem
from agentroute.client.connection import DEFAULT_URL, URL_VARIABLE

TOKEN_VARIABLE = "AGENTROUTE_TOKEN"  # noqa: S105  a name
_MAX_PAUSE_SECONDS = 3.0
"""Somebody looks at the terminal: a service that is back is noticed soon."""


class TerminalError(Exception):
    """What a user can mend, in one line."""


def existing_thread(client: AgentRouteClient, thread_id: str) -> ThreadItem:
    """Return a thread that the command was given.

    Raises:
        AgentRouteError: The service cannot be reached, or refuses.
        TerminalError: There is no such thread.
    """
    try:
        return client.thread(thread_id)
    except NotFound:
        raise TerminalError(f"there is no thread {thread_id}: `agentroute threads` lists yours") from None


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is and who asks."""

    url: str
    token_file: Path | None = None

    @classmethod
    def of(cls, url: str | None, token_file: Path | None) -> Service:
        """Return the service of the options of a command, and of the environment."""
        return cls(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL, token_file)

    def token(self) -> str:
        """Return the user's token, as the file has it now; empty without any.

        Raises:
            TerminalError: The file cannot be read.
        """
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "").strip()
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise TerminalError(f"the token file {self.token_file} cannot be read: {reason}") from exc

    def client(
        self,
        *,
        max_retries: int = 0,
        reconnect_seconds: float | None = 0,
        on_retry: Callable[[Retry], object] | None = None,
    ) -> AgentRouteClient:
        """Return a client. Without options it tells at once that the service is not there.

        Args:
            max_retries: How often a request is sent again.
            reconnect_seconds: How long a stream tries to come back; ``None``: for ever.
            on_retry: Is told of each wait.

        Raises:
            TerminalError: The address is none.
        """
        token = self.token()
        try:
            return AgentRouteClient(
                self.url,
                token=self.token if token else None,
                max_retries=max_retries,
                reconnect_seconds=reconnect_seconds,
                max_pause_seconds=_MAX_PAUSE_SECONDS,
                on_retry=on_retry,
            )
        except ValueError as exc:
            raise TerminalError(str(exc)) from exc
