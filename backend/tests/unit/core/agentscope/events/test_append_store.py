"""What the append's connection raises: Postgres is away, or the fault is ours; in either case it is not used again."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from tests.support.failing_engine import OURS

from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import AppendBatch
from core.config import DatabaseSettings
from core.errors import StoreUnavailable

BATCH = AppendBatch(1, 2, 3, 1, 0, ["CUSTOM"], ["{}"])


class Connection:
    """A connection that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.terminated = False

    async def fetch(self, *_arguments: Any, **_options: Any) -> list[Any]:
        raise self._error

    def is_closed(self) -> bool:
        return self.terminated

    def terminate(self) -> None:
        self.terminated = True


def store(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[PostgresAppendStore, list[Connection]]:
    opened: list[Connection] = []

    async def connect(*_arguments: Any, **_options: Any) -> Connection:
        opened.append(Connection(error))
        return opened[-1]

    monkeypatch.setattr(asyncpg, "connect", connect)
    return PostgresAppendStore(
        DatabaseSettings(url=SecretStr("postgresql://a@b/c")), lease_seconds=30.0
    ), opened


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        asyncpg.InterfaceError("connection is closed"),
    ],
    ids=repr,
)
async def test_an_outage_is_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    appends, opened = store(monkeypatch, error)

    with pytest.raises(StoreUnavailable):
        await appends.append([BATCH])
    with pytest.raises(StoreUnavailable):
        await appends.owned_seqs([(1, 1)])

    assert [connection.terminated for connection in opened] == [True, True]


@pytest.mark.parametrize("error", [asyncpg.UndefinedColumnError("no such column"), *OURS], ids=repr)
async def test_a_fault_of_ours_passes(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    appends, opened = store(monkeypatch, error)

    with pytest.raises(type(error)) as caught:
        await appends.append([BATCH])

    assert caught.value is error
    assert [connection.terminated for connection in opened] == [True]
