"""The open streams of a process whose credential can be withdrawn: of API keys, of tickets, of tokens of an issuer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from core.agentscope.events.sse import StreamEnd, last_words
from core.stream_tickets import TicketUse

REVOKED = last_words(StreamEnd.KEY_REVOKED, 1000)
"""A client that comes back without a good credential gets 401."""
SIGNER_WITHDRAWN = last_words(StreamEnd.SIGNER_WITHDRAWN, 1000)
TAKEN_OVER = last_words(StreamEnd.TAKEN_OVER, 60_000)
"""A minute: if two clients share the ticket of a stream, each takes it from the other when it comes back."""


class Endable(Protocol):
    """A stream that can be ended before its time."""

    def end(self, last: bytes) -> None:
        """End soon, in order, with these bytes as the last ones. May be called again."""
        ...


class OpenStreams:
    """Knows streams by their credentials, for as long as they exist."""

    def __init__(self) -> None:
        self._of_keys: dict[str, WeakSet[Endable]] = {}
        self._of_signers: dict[str, WeakSet[Endable]] = {}
        self._of_tickets: WeakValueDictionary[str, Endable] = WeakValueDictionary()
        self._uses: dict[str, int] = {}

    def enter(
        self, stream: Endable, key: str | None, ticket: TicketUse | None, *, signer: str | None = None
    ) -> None:
        """Know a stream.

        Args:
            stream: Has just been opened.
            key: The ``credential_id`` of the API key that opened it, or that asked for its ticket.
            ticket: What opened it. The stream that the ticket opened before ends.
            signer: The key of the issuer that has signed the token that opened it, or that asked for its ticket.
        """
        if signer is not None:
            self._of_signers.setdefault(signer, WeakSet()).add(stream)
        if key is not None:
            self._of_keys.setdefault(key, WeakSet()).add(stream)
        if ticket is None:
            return
        if self._uses.get(ticket.name, 0) > ticket.number:
            # Opened more slowly than the next use of the ticket.
            stream.end(TAKEN_OVER)
            return
        if (before := self._of_tickets.get(ticket.name)) is not None:
            before.end(TAKEN_OVER)
        self._of_tickets[ticket.name], self._uses[ticket.name] = stream, ticket.number

    def keys(self) -> list[str]:
        """Return the ``credential_id`` of every key that has a stream."""
        self._of_keys = _with_streams(self._of_keys)
        return list(self._of_keys)

    def signers(self) -> list[str]:
        """Return every key of an issuer on which a stream depends."""
        self._of_signers = _with_streams(self._of_signers)
        return list(self._of_signers)

    def tickets(self) -> dict[str, int]:
        """Return the tickets that have a stream, and which use of each has it."""
        self._uses = {name: number for name, number in self._uses.items() if name in self._of_tickets}
        return dict(self._uses)

    def end_keys(self, keys: Iterable[str]) -> None:
        """End the streams of these credentials."""
        _end(self._of_keys, keys, REVOKED)

    def end_signers(self, signers: Iterable[str]) -> None:
        """End the streams of tokens that were signed with these keys."""
        _end(self._of_signers, signers, SIGNER_WITHDRAWN)

    def end_ticket(self, name: str) -> None:
        """End the stream of a ticket: it has another one elsewhere."""
        if (stream := self._of_tickets.get(name)) is not None:
            stream.end(TAKEN_OVER)


def _with_streams(found: dict[str, WeakSet[Endable]]) -> dict[str, WeakSet[Endable]]:
    return {name: streams for name, streams in found.items() if len(streams)}


def _end(found: dict[str, WeakSet[Endable]], names: Iterable[str], last: bytes) -> None:
    for name in names:
        for stream in found.pop(name, ()):
            stream.end(last)
