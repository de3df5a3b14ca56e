"""The rates of routes: what a request counts as, and what its answer says of what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from core.agentscope.schemas.links import API_PREFIX, FILES_PATH
from core.identity import Principal
from core.rates.rate_limits import Counted, RateLimits, rate_headers

RUN_ROUTES = frozenset(
    f"{API_PREFIX}{path}"
    for path in (
        "/runs",
        "/resume",
        "/agents/{agentId}/runs",
        "/agents/{agentId}/resume",
        "/schedules/{scheduleId}/trigger",
    )
)
UPLOAD_ROUTES = frozenset({FILES_PATH, f"{API_PREFIX}/transcribe"})
_HEADERS = "rate_headers"


def counts_as(method: str, path: str) -> tuple[Counted, ...]:
    """Return what a request to a route counts as."""
    if method == "POST" and path in RUN_ROUTES:
        return "requests", "runs"
    if method == "POST" and path in UPLOAD_ROUTES:
        return "requests", "upload-bytes"
    return ("requests",)


def admit(
    rates: RateLimits, principal: Principal, method: str, path: str, state: MutableMapping[str, Any]
) -> None:
    """Admit a request, and count it.

    The run or the bytes it is about are counted where they are known. Whether a run is one too many is known there, too:
    a repeat starts none, and is answered however many its user has started.

    Args:
        rates: Of the process.
        principal: Who asks.
        method: Of HTTP.
        path: Of the route, with the names of its parameters.
        state: Of the request: its answer, a refusal too, says what is left.

    Raises:
        RateLimited: Too many requests or bytes.
    """
    counted = counts_as(method, path)
    state[_HEADERS] = partial(_headers, rates, principal, counted)
    for kind in counted:
        if kind == "runs":
            continue
        rates.check(principal, kind)
    rates.take(principal, "requests")


def told_rates(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the answer to a request: none before its principal is known, or without limits."""
    headers: Callable[[], dict[str, str]] | None = state.get(_HEADERS)
    return {} if headers is None else headers()


def _headers(rates: RateLimits, principal: Principal, counted: tuple[Counted, ...]) -> dict[str, str]:
    return rate_headers(rates.levels(principal, counted))
