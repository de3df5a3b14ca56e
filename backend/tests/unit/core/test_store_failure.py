"""The judge's table: for every error, whether Postgres is away or the fault is ours."""

from __future__ import annotations

import asyncio
import inspect
import socket

import asyncpg
import pytest
import sqlalchemy.exc as sa
from asyncpg import exceptions
from pydantic import SecretStr
from tests.support.failing_engine import OURS, wrapped

from core.config import DatabaseSettings
from core.database import create_engine
from core.store_failure import is_store_failure

STATES: dict[str, type[asyncpg.PostgresError]] = {
    state: kind
    for kind in vars(exceptions).values()
    if inspect.isclass(kind) and issubclass(kind, asyncpg.PostgresError)
    # Warnings and "no data" are classes, too.
    if (state := getattr(kind, "sqlstate", None)) and state[:2] not in ("00", "01", "02")
}

AWAY_STATES = {
    *("08000", "08001", "08003", "08004", "08006", "08007", "08P01"),
    *("53000", "53100", "53200", "53300", "53400"),
    *("57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05"),
    *("25006", "25P03", "25P04", "40000", "40001", "40003", "40P01", "55P03"),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_sqlstate_is_judged_alike_from_the_driver_and_from_sqlalchemy(state: str) -> None:
    error = STATES[state]("words of the server")
    translated = RuntimeError("as SQLAlchemy's adapter raises it")
    translated.__cause__ = error

    assert is_store_failure(error) == (state in AWAY_STATES)
    assert is_store_failure(wrapped(sa.DBAPIError, error)) == (state in AWAY_STATES)
    assert is_store_failure(wrapped(sa.DBAPIError, translated)) == (state in AWAY_STATES)


def test_the_table_names_states_that_there_are() -> None:
    assert set(STATES) >= AWAY_STATES
    assert len(STATES) > 200


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        asyncpg.InterfaceError("the underlying connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.TargetServerAttributeNotMatched("none of the hosts match the target attribute requirement"),
        wrapped(sa.InterfaceError, asyncpg.InterfaceError("connection is closed")),
        wrapped(sa.OperationalError, OSError("gone")),
        sa.DBAPIError("SELECT 1", {}, Exception("unknown"), connection_invalidated=True),
        sa.TimeoutError("QueuePool limit reached"),
    ],
    ids=repr,
)
def test_postgres_is_away(error: Exception) -> None:
    assert is_store_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        *OURS,
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.ClientConfigurationError("the option is closed to us"),
        wrapped(sa.InterfaceError, asyncpg.InterfaceError("invalid input for query argument $1")),
        wrapped(sa.DBAPIError, Exception("no state")),
        sa.PendingRollbackError("rolled back"),
        sa.NoResultFound("no row"),
        sa.ResourceClosedError("closed"),
        ConnectionResetError("of another server"),
        socket.gaierror("of another server"),
        TypeError("ours"),
        RuntimeError("ours"),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
def test_the_fault_is_ours(error: BaseException) -> None:
    assert not is_store_failure(error)


def test_a_cause_counts() -> None:
    error = RuntimeError("the read failed")
    error.__cause__ = asyncpg.CannotConnectNowError("starting up")

    assert is_store_failure(error)


async def test_a_server_that_does_not_answer_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"postgresql://a:b@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable")
        engine = create_engine(DatabaseSettings(url=url, pool_timeout_seconds=0.05), application_name="test")
        with pytest.raises(TimeoutError) as caught:
            async with engine.connect():
                pass
        await engine.dispose()

    assert is_store_failure(caught.value)
