"""Probes what tokens are checked with, for ``doctor``: whether the issuer answers, its keys, and the clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentroute.check_result import CheckResult
from core.config import Settings

if TYPE_CHECKING:
    from core.tokens.fetched_keys import FetchedKeys

_FIX = "Start the issuer, or correct AGENT_IDENTITY. Until it answers, the keys fetched before are used."


async def probe_identity(settings: Settings) -> list[CheckResult]:
    """Return a line about the issuer; about missing checks of shared secrets; nothing in local mode."""
    identity = settings.identity
    if identity.mode == "local":
        return []
    if not identity.has_public_keys:
        missing = [
            variable
            for variable, value in (
                ("AGENT_IDENTITY__JWT_ISSUER", identity.jwt_issuer),
                ("AGENT_IDENTITY__JWT_AUDIENCE", identity.jwt_audience),
            )
            if not value
        ]
        if not missing or not identity.secrets:
            return []
        # No failure: services run so since before the two were checked.
        told = f"not checked, because {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        return [CheckResult("Issuer", True, told)]
    if identity.jwks_path is not None:
        return []
    # Here: without an issuer, nothing of its keys is imported.
    from core.tokens.fetched_keys import KeysUnavailable
    from core.tokens.issuer_http import fetch_keys

    try:
        found = await fetch_keys(identity)
    except KeysUnavailable as exc:
        return [CheckResult("Issuer", False, str(exc), _FIX)]
    return [_judge(settings, found)]


def _judge(settings: Settings, found: FetchedKeys) -> CheckResult:
    kids = found.keys.kids
    shown = f"{len(kids)} key{'' if len(kids) == 1 else 's'}: {', '.join(kids[:5])}" + (
        ", ..." if len(kids) > 5 else ""
    )
    skew, leeway = found.clock_skew_seconds, settings.identity.leeway_seconds
    # The header has whole seconds, and the answer took a while.
    if skew is not None and abs(skew) > leeway + 2:
        way = "ahead" if skew > 0 else "behind"
        fix = f"Set both clocks by NTP, or raise AGENT_IDENTITY__LEEWAY_SECONDS (now {leeway})."
        return CheckResult("Issuer", False, f"its clock is {abs(skew):.0f} s {way} of ours; {shown}", fix)
    return CheckResult("Issuer", True, shown)
