"""Encrypts everything anew with the first key, so that an older key can be taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.connections.vault import HEAD_BYTES, NO_KEY, CannotOpen, Vault
from core.errors import ConfigurationError

_BATCH = 100


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with a column ``sealed``."""

    name: str
    purpose: str
    bound: tuple[str, ...]
    """What its values are bound to beside the purpose: columns, in the order in which they are sealed."""

    def binding(self, row: RowMapping) -> tuple[str, ...]:
        """Return what the value of a row is bound to."""
        return self.purpose, *(row[column] for column in self.bound)


SEALED_TABLES = (
    SealedTable("agent_connection", "connection", ("kind", "tenant_id", "user_id", "server", "resource")),
    SealedTable("agent_oauth_client", "oauth-client", ("issuer", "redirect_uri")),
    SealedTable("agent_run_webhook", "run-webhook", ("tenant_id", "user_id", "host")),
)
"""What is sealed for longer than a login takes."""


@dataclass(slots=True)
class Rotation:
    """What a rotation has found."""

    values: int = 0
    written: int = 0
    """Encrypted anew."""
    unreadable: int = 0
    """Of a key that is not there."""


async def rotate(engine: AsyncEngine, vault: Vault) -> Rotation:
    """Encrypt every value anew that another key than the first one has encrypted. The service may run meanwhile.

    May be repeated: what is done stays done.

    Raises:
        ConfigurationError: There is no key.
    """
    if not vault.is_on:
        raise ConfigurationError(NO_KEY)
    rotation = Rotation()
    for table in SEALED_TABLES:
        after = 0
        while rows := await _page(engine, table, after):
            after = rows[-1]["id"]
            rotation.values += len(rows)
            for row in rows:
                await _renew(engine, vault, table, row, rotation)
    return rotation


async def _page(engine: AsyncEngine, table: SealedTable, after: int) -> list[RowMapping]:
    columns = ", ".join(("id", "sealed", *table.bound))
    statement = f"SELECT {columns} FROM {table.name} WHERE id > :after ORDER BY id LIMIT {_BATCH}"  # noqa: S608
    async with engine.connect() as connection:
        return list((await connection.execute(text(statement), {"after": after})).mappings())


async def _renew(
    engine: AsyncEngine, vault: Vault, table: SealedTable, row: RowMapping, rotation: Rotation
) -> None:
    old = bytes(row["sealed"])
    try:
        plain = vault.open(old, *table.binding(row))
    except CannotOpen:
        rotation.unreadable += 1
        return
    if old[:HEAD_BYTES] == vault.heads[0]:
        return
    values: dict[str, Any] = {"id": row["id"], "old": old, "new": vault.seal(plain, *table.binding(row))}
    # Unless it was replaced meanwhile: then it is newer.
    statement = f"UPDATE {table.name} SET sealed = :new WHERE id = :id AND sealed = :old"  # noqa: S608
    async with engine.begin() as connection:
        rotation.written += (await connection.execute(text(statement), values)).rowcount
