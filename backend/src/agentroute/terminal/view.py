"""What a chat shows, without how: the same for a terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from agentroute.client import Event


class View(Protocol):
    """Shows what happens in a thread. A context manager for as long as something happens."""

    @property
    def calls(self) -> Mapping[str, tuple[str, str]]:
        """Name and arguments of the tool calls seen, by id."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def see(self, event: Event) -> None:
        """Show the next event of a run."""
        ...

    def show_messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Show messages that were said before."""
        ...

    def note(self, text: str, *, is_error: bool = False) -> None:
        """Say something that the agent does not say, and that stays."""
        ...

    def wait_for(self, what: str) -> None:
        """Say what is waited for, until the next event."""
        ...
