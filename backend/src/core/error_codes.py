"""Every error of the service by its code."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from core import (
    agent_errors,
    connection_errors,
    credential_errors,
    embedded_errors,
    errors,
    identity_errors,
    operator_errors,
    schedule_errors,
    storage_errors,
    user_data_errors,
)
from core.errors import AgentBackendError

_KNOWN = (
    errors,
    agent_errors,
    connection_errors,
    credential_errors,
    embedded_errors,
    identity_errors,
    operator_errors,
    schedule_errors,
    storage_errors,
    user_data_errors,
)
"""The modules of the catalogue: a class is known once its module is imported."""


def catalogue() -> dict[str, type[AgentBackendError]]:
    """Return the class of each code. If several classes share a code, the most general one."""
    found: dict[str, type[AgentBackendError]] = {}
    for kind in _descendants(AgentBackendError):
        found.setdefault(kind.code, kind)
    return found


@cache
def known_codes() -> frozenset[str]:
    """Return all codes of the service: a fixed number. Codes that the code of users makes up are none of them."""
    return frozenset(catalogue())


def _descendants(kind: type[AgentBackendError]) -> Iterator[type[AgentBackendError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)
