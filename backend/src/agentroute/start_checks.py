"""What each process checks before it starts. ``doctor`` runs the same checks, so it names what a start refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog

from agentroute.check_result import CheckResult, refused
from agentroute.own_packages import shadowed_packages
from agentroute.pooler_check import check_pooler
from agentroute.preflight import check_migrations, check_postgres
from agentroute.profile_check import check_profile, check_profile_of_worker, check_public_url, check_secrets
from agentroute.redis_check import check_redis
from core.config import Settings
from core.errors import ConfigurationError, FilesUnavailable
from core.files.opening import open_store
from core.identity import Authenticator
from core.transcription.endpoint import find_endpoint

log = structlog.get_logger(__name__)

_FILES_SECONDS = 20

Check = Callable[[Settings], Awaitable[CheckResult]]


async def check_identity(settings: Settings) -> CheckResult:
    """Check that an API process may serve with this authentication on this address."""
    name = "Identity"
    try:
        Authenticator(settings.identity, server=settings.server)
    except ConfigurationError as exc:
        return refused(name, str(exc))
    if settings.identity.mode == "local":
        return CheckResult(name, True, "local: all callers are one user of this machine")
    if not settings.identity.has_public_keys:
        count = len(settings.identity.secrets)
        return CheckResult(name, True, "tokens (HS256)" if count == 1 else f"tokens (HS256, {count} secrets)")
    if (file := settings.identity.jwks_path) is not None:
        # Here, because a file does not become better by waiting. An issuer that is away does: see ``probe_identity``.
        from core.tokens.fetched_keys import KeysUnavailable
        from core.tokens.issuer_http import fetch_keys

        try:
            await fetch_keys(settings.identity)
        except KeysUnavailable as exc:
            return refused(name, f"AGENT_IDENTITY__JWKS_PATH: {exc}")
        return CheckResult(name, True, f"tokens signed with the keys in {file}")
    return CheckResult(name, True, f"tokens of {settings.identity.issuer}")


async def check_transcription(settings: Settings) -> CheckResult:
    """Check that speech can be transcribed as the settings say. The weights of a local model are not loaded."""
    name = "Transcription"
    try:
        if settings.transcription.engine == "whisper":
            # Imported here: only the local model needs this module.
            from agentroute.whisper_engine import require_whisper

            require_whisper()
            return CheckResult(name, True, f"whisper, {settings.transcription.name}")
        endpoint = find_endpoint(settings.transcription, settings.model)
    except ConfigurationError as exc:
        return refused(name, str(exc))
    if endpoint is None:
        return CheckResult(name, True, "off: no AGENT_TRANSCRIPTION__BASE_URL")
    return CheckResult(name, True, f"{endpoint.url.host}, model {endpoint.model}")


async def check_files(settings: Settings) -> CheckResult:
    """Check that the file store takes, gives back and removes a few bytes."""
    name = "Files"
    try:
        store = open_store(settings.files)
    except ConfigurationError as exc:
        return refused(name, str(exc))
    if store is None:
        return CheckResult(name, True, "off: no AGENT_FILES__URL")
    place = urlsplit(settings.files.url.get_secret_value())
    shown = f"{place.scheme}://{place.netloc}{place.path}"
    try:
        async with asyncio.timeout(_FILES_SECONDS):
            await store.check()
    except (FilesUnavailable, TimeoutError) as exc:
        cause = exc.__cause__ or exc
        # Of a library's text the first line only: the rest are its own structures.
        why = str(cause).partition("\n")[0][:200] or "no answer in time"
        return CheckResult(
            name, False, f"{shown}: {why}", "Check AGENT_FILES__URL, the keys and the permissions."
        )
    return CheckResult(name, True, shown)


# The migrations after Postgres: they can be checked only if Postgres answers.
SERVE_CHECKS: tuple[Check, ...] = (
    check_identity,
    check_profile,
    check_secrets,
    check_public_url,
    check_transcription,
    check_files,
    check_postgres,
    check_pooler,
    check_migrations,
    check_redis,
)
"""Of ``agentroute serve``, in the order in which a user fixes problems."""

WORKER_CHECKS: tuple[Check, ...] = (
    check_profile_of_worker,
    check_secrets,
    check_public_url,
    check_files,
    check_postgres,
    check_pooler,
    check_migrations,
    check_redis,
)
"""Of ``agentroute worker``. A worker authenticates nobody."""


def warn_of_shadowed_packages() -> None:
    """Log what of the user's code cannot be imported because of its name."""
    for package in shadowed_packages():
        log.warning("package_shadowed", name=package.name, path=str(package.path), fix="rename it")


_MAY_PASS_LATER = frozenset({check_postgres, check_pooler, check_migrations, check_redis})
"""A server may still be starting, and the migration with it. What the settings say stays as it is."""
_PAUSE_SECONDS = 0.05


async def first_failure(
    settings: Settings, checks: tuple[Check, ...], *, wait_seconds: float = 0.0
) -> CheckResult | None:
    """Run checks one after the other; return the first that failed.

    Args:
        settings: Of the process.
        checks: In the order in which a user fixes problems.
        wait_seconds: How long in all the checks of servers are repeated before they count as failed.
    """
    deadline = time.monotonic() + wait_seconds
    for check in checks:
        while not (result := await check(settings)).ok:
            if check not in _MAY_PASS_LATER or time.monotonic() >= deadline:
                return result
            await asyncio.sleep(_PAUSE_SECONDS)
    return None
