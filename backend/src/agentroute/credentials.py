"""What an API process keeps of credentials: how they are checked, and which streams depend on them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.background_loops import running
from core.api_keys.keeper import KeyKeeper
from core.api_keys.key_store import KeyStore
from core.api_keys.keyring import Keyring
from core.api_keys.use_log import KeyUseLog
from core.config import Settings
from core.identity import Authenticator
from core.stream_tickets import StreamTickets
from v1.agent.credential_watch import CredentialWatch
from v1.agent.open_streams import OpenStreams

if TYPE_CHECKING:
    from core.tokens.fetched_keys import FetchKeys


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The parts that routes and streams use."""

    authenticator: Authenticator
    keeper: KeyKeeper
    tickets: StreamTickets
    streams: OpenStreams


async def open_credentials(
    settings: Settings, engine: AsyncEngine, redis: Redis, resources: AsyncExitStack
) -> Credentials:
    """Put the parts together, and begin to look after them until ``resources`` are closed.

    Raises:
        ConfigurationError: Callers cannot be told apart as the settings say.
    """
    store = KeyStore(engine)
    keyring = Keyring(store.load)
    streams = OpenStreams()
    tickets = StreamTickets(redis, settings.redis, lasts_seconds=settings.stream.max_age_seconds)
    authenticator = Authenticator(
        settings.identity, server=settings.server, keys=keyring, fetch_keys=_fetch_keys(settings)
    )
    watch = CredentialWatch(streams, keyring, tickets, authenticator.is_withdrawn)
    uses = KeyUseLog(keyring.take_uses, store.note_uses)
    # Closed in the other order: what was used last is written when nothing more is.
    resources.push_async_callback(uses.flush)
    await resources.enter_async_context(running(credentials=watch.run, key_uses=uses.run))
    await resources.enter_async_context(running(identity=partial(authenticator.run, watch.look_soon)))
    return Credentials(
        authenticator=authenticator,
        keeper=KeyKeeper(store, watch.key_changed),
        tickets=tickets,
        streams=streams,
    )


def _fetch_keys(settings: Settings) -> FetchKeys | None:
    if not settings.identity.has_public_keys:
        return None
    # Here: only with an issuer, the process needs its HTTP and the keys' cryptography.
    from core.tokens.issuer_http import fetch_keys

    return fetch_keys
