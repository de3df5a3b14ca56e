"""The one judge of database errors: is Postgres away, or is the fault ours?

Postgres is away when a later try of the same statement may work: the connection broke or was refused, the server
starts, stops or is a standby, there are no resources, a time limit was met, or another transaction won a race.
Everything else is a fault of ours (a wrong statement, a violated constraint, a value that no column takes), and no
repetition mends it.

Judged are errors of SQLAlchemy and of asyncpg itself. ``core/outage.py`` waits by this judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
from sqlalchemy import exc as sa

# PostgreSQL, appendix A: 08 connection trouble, 53 no resources, 57 an operator's or a time limit's intervention.
_CLASSES = ("08", "53", "57")
_CODES = frozenset(
    {
        "25006",  # a standby cannot write
        "25P03",  # the transaction was idle for too long: the process was held up
        "25P04",  # the transaction took too long
        "40000",  # rolled back
        "40001",  # serialisation failure
        "40003",  # nobody knows whether the statement was completed
        "40P01",  # deadlock
        "55P03",  # a lock was not to be had in time
    }
)


def is_store_failure(error: BaseException) -> bool:
    """Say whether an exception means that Postgres cannot serve now.

    An ``OSError`` (``TimeoutError`` is one) counts only when it came out of the
    driver: any other is not about Postgres.
    """
    return any(_is_store_failure(link) for link in _chain(error))


def _is_store_failure(error: BaseException) -> bool:
    if isinstance(error, sa.TimeoutError):  # the pool has no free connection
        return True
    if isinstance(error, sa.DBAPIError) and (error.connection_invalidated or isinstance(error.orig, OSError)):
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_CLASSES) or state in _CODES
    if isinstance(error, asyncpg.InterfaceError):
        # The driver's own word for "connection is closed" and for misuse of its API;
        # only the text tells them apart.
        return "clos" in str(error) and not isinstance(error, asyncpg.ClientConfigurationError)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):  # several hosts, and all are standbys
        return True
    # asyncpg raises the socket's own error when it cannot connect, and so do we for a host name that does not resolve.
    return isinstance(error, OSError) and (_came_from_driver(error) or _timed_out_in_driver(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (link.orig if isinstance(link, sa.DBAPIError) else None)


def _timed_out_in_driver(error: OSError) -> bool:
    """Tell whether a limit of ours (``asyncio.timeout``) cut the driver off."""
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
