"""Tells a database that is away or out of breath from a fault of ours."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
from sqlalchemy import exc as sa

# SQLSTATE classes and codes (PostgreSQL, appendix A) after which a later try may
# work: connection trouble, no resources, going down or starting, a cut statement
# or lock wait, a serialisation loser, a standby that cannot write.
_CLASSES = ("08", "53", "57P")
_CODES = frozenset({"57014", "55P03", "40001", "40P01", "25006"})


def is_store_failure(error: BaseException) -> bool:
    """Say whether an exception means that Postgres cannot serve now.

    True for lost or refused connections, an exhausted pool, statement and lock
    timeouts. False for everything a retry would not mend, such as a violated
    constraint.
    """
    return any(_is_store_failure(link) for link in _chain(error))


def _is_store_failure(error: BaseException) -> bool:
    if isinstance(error, sa.TimeoutError):  # the pool has no free connection
        return True
    if isinstance(error, sa.DBAPIError) and error.connection_invalidated:
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CLASSES) or state in _CODES
    if isinstance(error, asyncpg.InterfaceError):
        # The driver's own word for "connection is closed" and for misuse of its API;
        # only the text tells them apart.
        return "clos" in str(error)
    # asyncpg raises the socket's own error when it cannot connect, and so do we
    # for a host name that does not resolve; elsewhere an OSError is ours to explain.
    return isinstance(error, OSError) and _came_from_driver(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (link.orig if isinstance(link, sa.DBAPIError) else None)


def _came_from_driver(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] == "asyncpg":
            return True
        trace = trace.tb_next
    return False
