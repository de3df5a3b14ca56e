"""Decides whether a database error means that Postgres is unavailable, or is a fault of this service.

Postgres is unavailable if a later try of the same statement may succeed: the connection broke or was refused, the
server starts, stops or is a standby, resources are missing, a time limit was exceeded, or another transaction won a
race. Every other error is a fault of this service (a wrong statement, a violated constraint, an invalid value), and a
retry cannot succeed.

The module handles errors of SQLAlchemy and of asyncpg. ``core/outage.py`` waits according to this decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
from sqlalchemy import exc as sa

# PostgreSQL, appendix A: 08 connection trouble, 53 no resources, 57 an operator's or a time limit's intervention.
_CLASSES = ("08", "53", "57")
# 22 data exception, 54 program limit exceeded.
_DATA_CLASSES = ("22", "54")
_RACES = frozenset({"40001", "40P01"})
_CODES = frozenset(
    {
        "25006",  # a standby cannot write
        "25P03",  # the transaction was idle for too long: the process was held up
        "25P04",  # the transaction took too long
        "40000",  # rolled back
        "40001",  # serialisation failure
        "40003",  # unknown whether the statement was completed
        "40P01",  # deadlock
        "55P03",  # a lock was not available in time
    }
)


def is_store_failure(error: BaseException) -> bool:
    """Return whether an exception means that Postgres is unavailable.

    An ``OSError`` (including ``TimeoutError``) counts only if it comes from the driver: any other one is not about
    Postgres.
    """
    return any(_is_store_failure(link) for link in chain(error))


def is_crowd(error: BaseException) -> bool:
    """Say whether the pool had no free connection in time: too much work at once, not an outage."""
    return any(isinstance(link, sa.TimeoutError) for link in chain(error))


def is_lost_race(error: BaseException) -> bool:
    """Say whether another transaction won: nothing was written, and the same transaction may be tried again at once."""
    return any(getattr(link, "sqlstate", None) in _RACES for link in chain(error))


def is_time_limit(error: BaseException) -> bool:
    """Say whether Postgres stopped a statement that took too long: with less data, it may succeed."""
    return any(getattr(link, "sqlstate", None) == "57014" for link in chain(error))


def is_locked(error: BaseException) -> bool:
    """Say whether a lock was not available in time: whoever needs no such lock may succeed."""
    return any(getattr(link, "sqlstate", None) == "55P03" for link in chain(error))


def is_refused_data(error: BaseException) -> bool:
    """Say whether a value was refused: it is not valid for its column, or beyond a limit of Postgres."""
    for link in chain(error):
        state = getattr(link, "sqlstate", None)
        if isinstance(state, str) and state.startswith(_DATA_CLASSES):
            return True
        if _is_refused_by_driver(link):
            return True
    return False


def _is_refused_by_driver(error: BaseException) -> bool:
    """Return whether asyncpg could not encode an argument. The error is an ``InterfaceError``, its text has the value."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


def _is_store_failure(error: BaseException) -> bool:
    if isinstance(error, sa.TimeoutError):  # the pool has no free connection
        return True
    if isinstance(error, sa.DBAPIError) and (error.connection_invalidated or isinstance(error.orig, OSError)):
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CLASSES) or state in _CODES
    if isinstance(error, asyncpg.InterfaceError):
        if _is_refused_by_driver(error):
            return False
        # The driver raises this class for a closed connection and for misuse of its API; only the text differs.
        return "clos" in str(error) and not isinstance(error, asyncpg.ClientConfigurationError)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):  # several hosts, and all are standbys
        return True
    if isinstance(error, asyncpg.InternalClientError):
        # The server ended the idle connection (a restart), and the connection is used before the driver sees its end.
        return "another operation" in str(error)
    # asyncpg raises the socket's error if it cannot connect. We do the same for a host name that does not resolve.
    return isinstance(error, OSError) and (_came_from_driver(error) or _timed_out_in_driver(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, the driver's error within one of SQLAlchemy included."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (link.orig if isinstance(link, sa.DBAPIError) else None)


def _timed_out_in_driver(error: OSError) -> bool:
    """Return whether a timeout of ours (``asyncio.timeout``) interrupted the driver."""
    cause = error.__cause__
    return isinstance(cause, asyncio.CancelledError) and _came_from_driver(cause)


def _came_from_driver(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] == "asyncpg":
            return True
        trace = trace.tb_next
    return False
