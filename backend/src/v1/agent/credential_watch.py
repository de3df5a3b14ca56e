"""Ends streams whose credential is good no more, or has another stream.

That is: API keys that were revoked, rotated or expired; tokens whose signing key the issuer has withdrawn; tickets that
have another stream elsewhere.

One look for the whole process, however many streams it has: one statement at most, and one round trip to Redis. A look
fails while Postgres or Redis is away. Then the streams stay: nobody can revoke a key without Postgres.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from core.api_keys.keyring import Keyring
from core.credential_errors import TicketsUnavailable
from core.outage import report_failure
from core.stream_tickets import StreamTickets
from v1.agent.open_streams import OpenStreams

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
"""With the 30 s for which a key is remembered: a stream ends within 45 s."""


class CredentialWatch:
    """Looks after the credentials of open streams.

    Args:
        streams: Of the process.
        keys: Of the process.
        tickets: Of the deployment.
        is_withdrawn: Says whether the issuer has withdrawn the key that has signed a token.
    """

    def __init__(
        self,
        streams: OpenStreams,
        keys: Keyring,
        tickets: StreamTickets,
        is_withdrawn: Callable[[str], bool] = lambda _signer: False,
    ) -> None:
        self._is_withdrawn = is_withdrawn
        self._streams = streams
        self._keys = keys
        self._tickets = tickets
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Look for ever, and at once when a key was changed here."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await self.look()

    async def look(self) -> None:
        """End the streams whose credential is good no more."""
        # Before what may fail: it asks nobody.
        self._look_at_signers()
        try:
            await self._look_at_keys()
            await self._look_at_tickets()
        except TicketsUnavailable:
            log.warning("tickets_not_looked_at")
        except Exception as exc:  # noqa: BLE001  the top of a background loop
            report_failure("credentials_not_looked_at", exc)

    def look_soon(self) -> None:
        """Look at once: the keys of the issuer have changed."""
        self._changed.set()

    def key_changed(self, key_id: str) -> None:
        """Look a key up anew, for requests and for its streams: it was changed in this process."""
        self._keys.forget(key_id)
        self._changed.set()

    def _look_at_signers(self) -> None:
        withdrawn = [signer for signer in self._streams.signers() if self._is_withdrawn(signer)]
        if withdrawn:
            self._streams.end_signers(withdrawn)
            log.info("streams_of_withdrawn_signing_keys_closed", keys=len(withdrawn))

    async def _look_at_keys(self) -> None:
        if not (keys := self._streams.keys()):
            return
        if ended := await self._keys.ended(keys):
            self._streams.end_keys(ended)
            log.info("streams_of_ended_keys_closed", keys=len(ended))

    async def _look_at_tickets(self) -> None:
        if not (uses := self._streams.tickets()):
            return
        newest = await self._tickets.newest_uses(list(uses))
        for (name, number), use in zip(uses.items(), newest, strict=True):
            if use > number:
                self._streams.end_ticket(name)
